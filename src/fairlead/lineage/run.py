"""run.json: what a run was asked to do and how far it came."""

from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from fairlead.core.errors import DataError
from fairlead.core.files import read_json, write_json


class StageRecord(BaseModel):
    """One stage of a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Name in the recipe; also the name of its folder under stages/."""
    kind: str
    """What the stage does."""
    folder: str
    """Its folder, relative to the run folder."""
    seconds: float
    """Time it took; for a cached stage, the time of the run that made it."""
    status: Literal["complete", "running", "failed"]
    """How far it came."""
    cached: bool
    """Whether an earlier run's outputs were used."""


class RunRecord(BaseModel):
    """A run as its run.json records it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Name of the recipe or of the run."""
    seed: int
    """Root seed of everything random."""
    started: AwareDatetime
    """When the run began (UTC)."""
    finished: AwareDatetime | None = None
    """When it ended (UTC); None while it runs or where it was stopped."""
    recipe: dict[str, Any]
    """The resolved recipe."""
    stages: tuple[StageRecord, ...] = ()
    """Stages in the order of their start."""


def write_run(run_dir: Path, run: RunRecord) -> None:
    """Writes RUN/run.json."""
    write_json(run_dir / "run.json", run.model_dump(mode="json"))


def read_run(run_dir: Path) -> RunRecord:
    """Reads RUN/run.json.

    Raises:
        DataError: there is no run.json, or it does not describe a run.
    """
    path = run_dir / "run.json"
    value = read_json(path)
    try:
        return RunRecord.model_validate(value)
    except ValidationError as error:
        raise DataError(
            "not a run record",
            where=str(path),
            got=str(error),
            remedy="name the folder that a run wrote",
        ) from error
