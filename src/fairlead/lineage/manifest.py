"""Manifests: the hashes that tie a stage's outputs to its settings, inputs and code."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from fairlead.core.errors import DataError
from fairlead.core.files import read_json, sha256_file, sha256_json, write_json
from fairlead.lineage.environment import CodeVersion, code_version, library_versions

MANIFEST = "manifest.json"


class Inputs(BaseModel):
    """Hashes of everything a stage read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: dict[str, str] = {}
    """SHA-256 per external file or folder; the path is relative to the run where it lies inside."""
    stages: dict[str, str] = {}
    """Digest of the outputs of each upstream stage."""


class Manifest(BaseModel):
    """What a finished stage was made from and what it made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    """Content hash of settings and inputs; a stage with an equal key need not run again."""
    inputs: Inputs
    """Hashes of what was read."""
    outputs: dict[str, str]
    """SHA-256 of every file in the stage folder except the manifest, by relative path."""
    code: CodeVersion
    """The Fairlead that ran."""
    versions: dict[str, str]
    """Python and the libraries that can change a result."""
    device: str
    """What computed, e.g. "cpu" or "NVIDIA H200"."""
    seed: int
    """Seed of the stage."""
    started: AwareDatetime
    """When the stage began (UTC)."""
    seconds: float
    """How long it took."""
    peak_mib: float = 0.0
    """Most memory held meanwhile, by the process or on its GPU; 0 where nobody measured."""

    @property
    def seal(self) -> str:
        """Hash of the manifest itself, stored beside it so that an edit is noticed."""
        return sha256_json(self.model_dump(mode="json"))


def stage_key(settings: Mapping[str, Any], inputs: Inputs) -> str:
    """Content hash that the stage cache compares.

    Args:
        settings: the stage's resolved settings as JSON values, exactly as config.json holds them.
        inputs: hashes of what the stage reads.
    """
    return sha256_json({"settings": dict(settings), "inputs": inputs.model_dump(mode="json")})


def make_inputs(run_dir: Path, *, files: Sequence[Path] = (), stages: Sequence[str] = ()) -> Inputs:
    """Hashes the inputs of a stage.

    Args:
        run_dir: the run folder.
        files: external files or folders, as the user named them.
        stages: names of upstream stages, which must be complete.

    Raises:
        DataError: an input is missing or an upstream stage is not complete.
    """
    return Inputs(
        files={_portable(path, run_dir): sha256_path(path) for path in files},
        stages={name: outputs_digest(read(run_dir / "stages" / name)) for name in stages},
    )


def make_manifest(
    folder: Path,
    *,
    inputs: Inputs,
    device: str,
    seed: int,
    started: datetime,
    seconds: float,
    peak_mib: float = 0.0,
) -> Manifest:
    """Describes a stage folder that is otherwise finished; its config.json gives the settings.

    Args:
        folder: the stage folder.
        inputs: hashes taken before the stage ran.
        device: what computed.
        seed: seed of the stage.
        started: when it began (UTC).
        seconds: how long it took.
        peak_mib: most memory held meanwhile.

    Raises:
        DataError: config.json is missing, or a file cannot be read.
    """
    outputs = {name: sha256_path(folder / name) for name in output_names(folder)}
    return Manifest(
        key=stage_key(read_json(folder / "config.json"), inputs),
        inputs=inputs,
        outputs=outputs,
        code=code_version(),
        versions=library_versions(),
        device=device,
        seed=seed,
        started=started,
        seconds=seconds,
        peak_mib=peak_mib,
    )


def write(folder: Path, manifest: Manifest) -> None:
    """Writes manifest.json, which declares the stage complete; call it last."""
    write_json(folder / MANIFEST, {**manifest.model_dump(mode="json"), "seal": manifest.seal})


def read(folder: Path) -> Manifest:
    """Reads a stage's manifest.

    Raises:
        DataError: the stage is not complete, or its manifest was changed after it was written.
    """
    path = folder / MANIFEST
    if not path.exists():
        raise DataError(
            "the stage is not complete: it has no manifest",
            where=str(folder),
            remedy="run it again; stages that are complete are not repeated",
        )
    value = read_json(path)
    seal = value.pop("seal", "") if isinstance(value, dict) else ""
    try:
        manifest = Manifest.model_validate(value)
    except ValidationError as error:
        raise DataError("not a manifest", where=str(path), got=str(error)) from error
    if manifest.seal != seal:
        raise DataError(
            "the manifest was changed after it was written",
            where=str(path),
            expected=manifest.seal,
            got=str(seal),
            remedy="restore the file, or delete it and run the stage again",
        )
    return manifest


def outputs_digest(manifest: Manifest) -> str:
    """One hash over a stage's outputs: what a downstream stage records as its input."""
    return sha256_json(manifest.outputs)


def output_names(folder: Path) -> list[str]:
    """Relative paths of every file below a stage folder except its manifest, sorted.

    Links count as files, so that a link to a folder cannot hide anything.
    """
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted({path.relative_to(folder).as_posix() for path in found} - {MANIFEST})


def sha256_path(path: Path) -> str:
    """Hash of a file's bytes, or of the names and bytes of all files below a folder.

    Raises:
        DataError: nothing is there, or it cannot be read.
    """
    try:
        if path.is_dir():
            files = (p for p in path.rglob("*") if p.is_symlink() or not p.is_dir())
            return sha256_json({p.relative_to(path).as_posix(): sha256_file(p) for p in files})
        return sha256_file(path)
    except OSError as error:
        raise DataError(
            f"cannot read the input: {error.strerror or error}",
            where=str(error.filename or path),
            remedy="check the path",
        ) from error


def _portable(path: Path, run_dir: Path) -> str:
    absolute, root = path.absolute(), run_dir.absolute()
    return absolute.relative_to(root).as_posix() if absolute.is_relative_to(root) else str(absolute)
