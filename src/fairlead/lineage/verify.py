"""Checks a run folder against its manifests, from the last stage back to the first input."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from fairlead.core.errors import DataError
from fairlead.core.files import read_json
from fairlead.lineage.manifest import (
    MANIFEST,
    Manifest,
    output_names,
    outputs_digest,
    read,
    sha256_path,
    stage_key,
)
from fairlead.lineage.run import RunRecord, read_run

PREFIX = 12


class Problem(BaseModel):
    """One thing in a run folder that is not as it was recorded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    """Stage concerned; empty where it is the run as a whole."""
    file: str
    """File or upstream stage concerned."""
    what: str
    """What is wrong."""
    expected: str = ""
    """Beginning of the recorded hash."""
    got: str = ""
    """Beginning of the hash that was found."""

    def __str__(self) -> str:
        hashes = (
            f" (expected {self.expected}, got {self.got or 'nothing'})" if self.expected else ""
        )
        return f"{self.stage or 'run'}: {self.file}: {self.what}{hashes}"


class Verification(BaseModel):
    """Outcome of checking a run folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    """The run folder."""
    stages: int
    """Stages looked at."""
    files: int
    """Recorded files whose content was hashed."""
    problems: tuple[Problem, ...]
    """Everything that differs."""

    @property
    def ok(self) -> bool:
        """Whether every recorded hash was found again."""
        return not self.problems

    def __str__(self) -> str:
        looked = f"{self.run}: {self.stages} stages, {self.files} files"
        if self.ok:
            return f"{looked}: every hash matches"
        return "\n".join([f"{looked}: {len(self.problems)} problems", *map(str, self.problems)])


def verify(run_dir: Path) -> Verification:
    """Walks every stage of a run and compares what is there with what its manifest recorded.

    Found are: missing, changed and extra outputs, changed or missing external inputs, an upstream
    stage whose outputs are not those that were read, changed settings, and unfinished stages.

    Raises:
        DataError: the folder holds no readable run.json.
    """
    run = read_run(run_dir)
    folders = _stage_folders(run_dir, run)
    manifests, problems = {}, [*_run_problems(run, run_dir)]
    for name, folder in folders.items():
        try:
            manifests[name] = read(folder)
        except DataError as error:
            problems.append(Problem(stage=name, file=MANIFEST, what=error.what))
    for name, manifest in manifests.items():
        problems += _output_problems(name, folders[name], manifest)
        problems += _input_problems(name, run_dir, manifest)
        problems += _upstream_problems(name, manifest, manifests)
    return Verification(
        run=str(run_dir),
        stages=len(folders),
        files=sum(len(m.outputs) + len(m.inputs.files) for m in manifests.values()),
        problems=tuple(problems),
    )


def _stage_folders(run_dir: Path, run: RunRecord) -> dict[str, Path]:
    """Folders of all stages: those of run.json, and those that only the disk knows."""
    listed = {stage.name: run_dir / stage.folder for stage in run.stages}
    found = sorted(p for p in (run_dir / "stages").glob("*") if p.is_dir())
    return listed | {p.name: p for p in found if p not in listed.values()}


def _run_problems(run: RunRecord, run_dir: Path) -> Iterator[Problem]:
    if run.finished is None:
        yield Problem(stage="", file="run.json", what="the run did not finish")
    if not run.stages:
        yield Problem(stage="", file="run.json", what="the run has no stages")
    for stage in run.stages:
        if stage.status != "complete":
            yield Problem(stage=stage.name, file="run.json", what=f"the stage is {stage.status}")
    listed = {run_dir / stage.folder for stage in run.stages}
    for name, folder in _stage_folders(run_dir, run).items():
        if folder not in listed:
            yield Problem(stage=name, file="run.json", what="the stage is not listed")


def _output_problems(stage: str, folder: Path, manifest: Manifest) -> Iterator[Problem]:
    present = set(output_names(folder))
    for name in sorted(present - manifest.outputs.keys()):
        yield Problem(stage=stage, file=name, what="extra file that the stage did not write")
    for name, expected in manifest.outputs.items():
        if name in present:
            yield from _compare(stage, name, "output", expected, folder / name)
        else:
            yield Problem(
                stage=stage, file=name, what="output is missing", expected=expected[:PREFIX]
            )
    if "config.json" in present:
        yield from _settings_problems(stage, folder, manifest)


def _settings_problems(stage: str, folder: Path, manifest: Manifest) -> Iterator[Problem]:
    try:
        key = stage_key(read_json(folder / "config.json"), manifest.inputs)
    except (TypeError, ValueError):
        return  # a config.json that is not JSON has already been reported as changed
    if key != manifest.key:
        yield Problem(
            stage=stage,
            file="config.json",
            what="settings and inputs do not give the recorded key",
            expected=manifest.key[:PREFIX],
            got=key[:PREFIX],
        )


def _input_problems(stage: str, run_dir: Path, manifest: Manifest) -> Iterator[Problem]:
    for name, expected in manifest.inputs.files.items():
        yield from _compare(stage, name, "input", expected, run_dir / name)


def _compare(stage: str, name: str, role: str, expected: str, path: Path) -> Iterator[Problem]:
    try:
        got = sha256_path(path)
    except DataError as error:
        yield Problem(stage=stage, file=name, what=error.what, expected=expected[:PREFIX])
        return
    if got != expected:
        yield Problem(
            stage=stage,
            file=name,
            what=f"{role} has changed",
            expected=expected[:PREFIX],
            got=got[:PREFIX],
        )


def _upstream_problems(
    stage: str, manifest: Manifest, manifests: dict[str, Manifest]
) -> Iterator[Problem]:
    for upstream, expected in manifest.inputs.stages.items():
        got = outputs_digest(manifests[upstream]) if upstream in manifests else ""
        if got != expected:
            yield Problem(
                stage=stage,
                file=upstream,
                what="upstream outputs are not those that this stage read",
                expected=expected[:PREFIX],
                got=got[:PREFIX],
            )
