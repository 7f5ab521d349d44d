"""Which results of runs were made from an export: from hash to hash through the manifests."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from fairlead.core.errors import DataError
from fairlead.core.files import sha256_json
from fairlead.lineage import Manifest, read

MODEL = "config.json"
"""A folder below a stage that holds this is a model."""


class AffectedStage(BaseModel):
    """A stage of a run that was made from labels which have changed since."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    stage: str
    models: tuple[str, ...]
    """Folders of the models that it trained."""
    through: str
    """How the labels came in."""


class Affected(BaseModel):
    """What runs made of some exports."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stages: tuple[AffectedStage, ...]
    """In the order of runs; a stage that only wrote the labels down (the export of a recipe) is
    among them."""
    unread: tuple[str, ...]
    """Stages without a manifest that can be trusted, which may be affected, too."""

    @property
    def models(self) -> tuple[str, ...]:
        """Folders of all models that were made from the exports."""
        return tuple(model for stage in self.stages for model in stage.models)


@dataclass(frozen=True)
class _Stage:
    run: Path
    name: str
    manifest: Manifest

    def hashes(self) -> Iterator[str]:
        """Hashes of what it wrote, by which another run names it as an input: files, folders."""
        outputs = self.manifest.outputs
        yield from outputs.values()
        folders = {str(up) for name in outputs for up in Path(name).parents} - {"."}
        for folder in folders:
            inside = {
                name[len(folder) + 1 :]: digest
                for name, digest in outputs.items()
                if name.startswith(f"{folder}/")
            }
            yield sha256_json(inside)

    def models(self) -> tuple[str, ...]:
        """Its folders that hold a model."""
        found = [Path(n).parent for n in self.manifest.outputs if Path(n).name == MODEL]
        folder = self.run / "stages" / self.name
        return tuple(str(folder / one) for one in found if str(one) != ".")


def affected_stages(hashes: Mapping[str, str], runs: Iterable[Path]) -> Affected:
    """Stages that read the labels, and all that was made from these, within runs and across them.

    Args:
        hashes: what an export is, by the hashes of its files and of the folder of its records.
        runs: run folders, or folders that hold some.

    Raises:
        DataError: a folder is not there.
    """
    stages, unread = _stages(_run_folders(runs))
    tainted: dict[str, str] = dict(hashes)
    found: dict[tuple[Path, str], str] = {}
    while newly := {
        (stage.run, stage.name): (stage, through)
        for stage in stages
        if (stage.run, stage.name) not in found
        and (through := _through(stage, tainted, hashes, found))
    }:
        for key, (stage, through) in newly.items():
            found[key] = through
            origin = f"{stage.run.name}: {stage.name}"
            tainted = dict.fromkeys(stage.hashes(), origin) | tainted
    return Affected(
        stages=tuple(
            AffectedStage(
                run=str(stage.run),
                stage=stage.name,
                models=stage.models(),
                through=found[stage.run, stage.name],
            )
            for stage in stages
            if (stage.run, stage.name) in found
        ),
        unread=unread,
    )


def _through(
    stage: _Stage,
    tainted: Mapping[str, str],
    exports: Mapping[str, str],
    found: Mapping[tuple[Path, str], str],
) -> str:
    """How the labels came into a stage; empty if they did not."""
    for name, digest in stage.manifest.inputs.files.items():
        if digest in tainted:
            return f"{name} ({tainted[digest]})"
    for upstream in stage.manifest.inputs.stages:
        if (stage.run, upstream) in found:
            return f"stage {upstream}"
    for digest in stage.manifest.outputs.values():
        if digest in exports:
            return exports[digest]
    return ""


def _run_folders(places: Iterable[Path]) -> list[Path]:
    """The runs at or below some folders.

    Raises:
        DataError: a folder is not there.
    """
    found: list[Path] = []
    for place in places:
        if not place.is_dir():
            raise DataError("no such folder", where=str(place), remedy="check --runs")
        found += sorted({path.parent for path in place.rglob("run.json")})
    return list(dict.fromkeys(found))


def _stages(runs: Sequence[Path]) -> tuple[list[_Stage], tuple[str, ...]]:
    """The complete stages of some runs, and those that cannot be read."""
    stages: list[_Stage] = []
    unread: list[str] = []
    for run in runs:
        for folder in sorted(p for p in (run / "stages").glob("*") if p.is_dir()):
            try:
                stages.append(_Stage(run, folder.name, read(folder)))
            except DataError as error:
                unread.append(f"{folder}: {error.what}")
    return stages, tuple(unread)
