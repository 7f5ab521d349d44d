"""The shape of a stage: frozen settings that name their inputs, and the work."""

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from fairlead.core.errors import ConfigError, DataError, ServiceError
from fairlead.core.results import StageResult
from fairlead.core.seeds import Seed
from fairlead.data.readers import read
from fairlead.data.readers.sources import SUFFIXES
from fairlead.records import Record
from fairlead.records.files import read_records


class LabelsPending(ServiceError):
    """People have not answered everything yet; the same run goes on where it was, with resume."""


@dataclass(frozen=True)
class Context:
    """Where a stage works and how it reaches what came before."""

    run_dir: Path
    folder: Path
    """The stage's own folder."""
    seed: Seed
    resume: bool
    """Go on from the stage's newest checkpoint."""
    record: bool = False
    """Keep what is sampled during training."""
    replay: Path | None = None
    """A run whose recorded samples are taken instead of sampling."""
    say: Callable[[str], None] = lambda _: None
    """Gets a line now and then from work that takes long."""

    def path(self, reference: str) -> Path:
        """`@stage/file` as a path in the run; anything else as it stands."""
        if reference.startswith("@"):
            return self.run_dir / "stages" / reference[1:]
        return Path(reference)

    def model(self, reference: str) -> str:
        """Where a model is: `@stage` is that stage's model, `@stage/x` a folder of it.

        `package:NAME/FOLDER` is a folder inside an installed Python package that carries a model;
        anything else is a path or a hub name.
        """
        if reference.startswith("package:"):
            return str(packaged(reference.removeprefix("package:")))
        if not reference.startswith("@"):
            return reference
        path = self.path(reference)
        return str(path if "/" in reference else path / "model")

    def records(self, reference: str) -> Sequence[Record]:
        """Records of a stage's file, or read from a path or hub name in whatever format.

        Raises:
            DataError: there is nothing of that name, or a row outside the run is malformed (only a
                `records` stage can count such rows and leave them out).
        """
        if not reference.startswith("@"):
            return read(reference, strict=True).records
        path = self.path(reference)
        if not path.is_file():
            wrote = sorted(p.name for p in path.parent.glob("*.jsonl"))
            raise DataError(
                f"{reference} names no file of that stage",
                where=str(path),
                expected=", ".join(wrote) or "a stage that writes records",
                remedy="correct the reference in the recipe",
            )
        return read_records(path)


class Stage(BaseModel, ABC):
    """One step of a recipe. References to earlier stages start with `@`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file_fields: ClassVar[tuple[str, ...]] = ()
    """Fields that name models or data: a stage (`@...`), a path or a hub name, or several."""
    keeps_rollouts: ClassVar[bool] = False
    """Whether it samples during training, so that its rollouts can be recorded and replayed."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    """Name of the stage and of its folder."""

    @abstractmethod
    def run(self, context: Context) -> StageResult:
        """Does the work, writes files into `context.folder`, and says what it found."""

    def references(self) -> list[tuple[str, str]]:
        """(field, name) of everything it reads; unset fields are left out."""
        named: list[tuple[str, str]] = []
        for field in self.file_fields:
            value = getattr(self, field)
            if isinstance(value, dict):
                several = value.values()
            else:
                several = value if isinstance(value, tuple) else [value]
            named += [(field, name) for name in several if name]
        return named

    def upstream(self) -> list[str]:
        """Names of the stages it refers to."""
        names = [name for _, name in self.references()]
        return sorted({name[1:].split("/")[0] for name in names if name.startswith("@")})

    def files(self) -> list[Path]:
        """Local files and folders outside the run that it reads."""
        paths = [
            packaged(name.removeprefix("package:"))
            if name.startswith("package:")
            else Path(name).expanduser()
            for _, name in self.references()
            if not name.startswith("@")
        ]
        return [path for path in paths if path.exists()]

    def check_inputs(self) -> None:
        """Sees to it, before anything is done, that what it reads from outside the run is there.

        Raises:
            ConfigError: a path is not set, or a package is not installed.
            DataError: a local file or folder is missing.
        """
        for field in self.file_fields:
            if type(self).model_fields[field].is_required() and getattr(self, field) is None:
                require_path(None, "data.path" if field == "path" else f"{field}.path")
        for field, name in self.references():
            if name.startswith("package:"):
                packaged(name.removeprefix("package:"))
            elif _looks_local(name) and not Path(name).expanduser().exists():
                raise DataError(
                    "no such file or folder",
                    where=f"stage {self.name}, {field}: {name}",
                    remedy="check the path in the recipe or on the command line",
                )

    def settings(self) -> dict[str, Any]:
        """Its settings as JSON values."""
        return self.model_dump(mode="json")


def _looks_local(value: str) -> bool:
    """Whether it can only be a path outside the run; other names may be on a hub."""
    if value.startswith("@"):
        return False
    return value.startswith((".", "/", "~")) or value.endswith(SUFFIXES)


def packaged(reference: str) -> Path:
    """A folder inside an installed Python package, named as `package/folder`.

    Raises:
        ConfigError: the package is not installed.
    """
    package, _, inside = reference.partition("/")
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise ConfigError(
            f"the Python package {package} is not installed",
            remedy=f"pip install {package.replace('_', '-')}, or name a model with model.path=...",
        )
    return Path(found.origin).parent / inside


def require_path(value: str | None, key: str) -> str:
    """A path that a recipe leaves open and the command line must give."""
    if not value:
        raise ConfigError(
            f"{key} is not set",
            where=key,
            expected="a path or a hub name",
            remedy=f"add {key}=PATH to the command line",
        )
    return value
