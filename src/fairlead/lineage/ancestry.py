"""Where a model came from: the stages behind it, and the models and data from outside the run."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairlead.core.errors import DataError
from fairlead.core.files import read_json, sha256_json
from fairlead.lineage.manifest import Inputs, Manifest, read
from fairlead.lineage.run import RunRecord, StageRecord, read_run

MODELS = ("model", "policy", "reward", "cost", "critic", "teacher")
"""Settings of stages that name a model."""
DATA = ("data", "train", "test", "labels", "people", "earlier", "harmless", "behaviours")
"""Settings of stages that name data."""
_HUB = re.compile(r"^[\w.-]+/[\w.-]+$")


@dataclass(frozen=True)
class External:
    """A model or data from outside the run."""

    name: str
    """As the recipe names it."""
    path: Path | None
    """Where it lay; None where it came from a hub."""
    digest: str
    """SHA-256 of the file or folder; empty where it came from a hub."""

    @property
    def hub_id(self) -> str | None:
        """Its name on a hub; None for a file."""
        return self.name if self.path is None and _HUB.match(self.name) else None


@dataclass(frozen=True)
class Ancestor:
    """One stage on the way to a model."""

    record: StageRecord
    settings: dict[str, Any]
    manifest: Manifest


@dataclass(frozen=True)
class Ancestry:
    """Everything a stage's outputs follow from."""

    run: RunRecord
    stages: tuple[Ancestor, ...]
    """In the order of the run; the stage itself is the last."""
    models: tuple[External, ...]
    data: tuple[External, ...]

    @property
    def made(self) -> Ancestor:
        """The stage whose ancestry it is."""
        return self.stages[-1]


def ancestry(run_dir: Path, stage: str) -> Ancestry:
    """Follows the manifests of a run back from one stage.

    Raises:
        DataError: there is no such stage, or a stage on the way is not complete.
    """
    run = read_run(run_dir)
    records = {record.name: record for record in run.stages}
    wanted, found = [stage], dict[str, Ancestor]()
    while wanted:
        name = wanted.pop()
        if name not in records:
            raise DataError(
                f"the run has no stage {name!r}", where=str(run_dir), expected=", ".join(records)
            )
        if name not in found:
            found[name] = _ancestor(run_dir, records[name])
            wanted += found[name].manifest.inputs.stages
    stages = tuple(found[name] for name in records if name in found)
    return Ancestry(run, stages, _externals(stages, MODELS), _externals(stages, DATA))


def digest_of(name: str, inputs: Inputs) -> str:
    """The recorded hash of what a recipe calls `name`: a stage's outputs, a file or a folder.

    Returns:
        An empty string where none was recorded, as for names on a hub.
    """
    if name.startswith("@"):
        return inputs.stages.get(name[1:].split("/")[0], "")
    path = recorded_path(name, inputs)
    return inputs.files[path] if path else ""


def recorded_path(name: str, inputs: Inputs) -> str | None:
    """The path under which the hash of a file outside the run was recorded."""
    plain = name.removeprefix("./")
    return next((path for path in inputs.files if f"/{path}".endswith(f"/{plain}")), None)


def made_by(model: Path, digest: str) -> tuple[Path, str] | None:
    """The run folder and the stage that made a model folder; None where it lies in no run.

    Args:
        model: `RUN/stages/STAGE/model`.
        digest: of the folder, as it was recorded when the model was used.

    Raises:
        DataError: the stage made another model than the one that was used.
    """
    run_dir = next((p for p in model.absolute().parents if (p / "run.json").is_file()), None)
    if run_dir is None:
        return None
    for record in read_run(run_dir).stages:
        folder = run_dir / record.folder
        if model.absolute().is_relative_to(folder):
            made = read(folder).outputs
            prefix = f"{model.absolute().relative_to(folder).as_posix()}/"
            own = {n.removeprefix(prefix): h for n, h in made.items() if n.startswith(prefix)}
            if sha256_json(own) != digest:
                raise DataError(
                    "the model that was audited is not the one that this stage made",
                    where=str(folder),
                    expected=digest,
                    got=sha256_json(own),
                    remedy="audit the model that is there now",
                )
            return run_dir, record.name
    return None


def _ancestor(run_dir: Path, record: StageRecord) -> Ancestor:
    folder = run_dir / record.folder
    config = read_json(folder / "config.json")
    return Ancestor(record, dict(config.get("stage") or {}), read(folder))


def _externals(stages: tuple[Ancestor, ...], fields: tuple[str, ...]) -> tuple[External, ...]:
    found: dict[str, External] = {}
    for stage in stages:
        for field in fields:
            name = stage.settings.get(field)
            if isinstance(name, str) and name and not name.startswith("@"):
                inputs = stage.manifest.inputs
                path = recorded_path(name, inputs)
                found[name] = External(name, Path(path) if path else None, digest_of(name, inputs))
    return tuple(found.values())
