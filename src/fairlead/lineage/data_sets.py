"""What data went into a model: how many records of which kind, and who judged them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fairlead.core.errors import ConfigError, DataError
from fairlead.core.files import read_json
from fairlead.data.readers import read
from fairlead.lineage.ancestry import Ancestor, Ancestry
from fairlead.records import Comparison, Provenance, Record

EXPORT = "export.json"
"""What an export of a feedback campaign says of itself."""

_NOT_DATA = ("metrics.jsonl", "answers.jsonl", "items.jsonl")


@dataclass(frozen=True)
class DataSet:
    """One file of records, or data from outside."""

    name: str
    digest: str
    """SHA-256; empty where none was recorded."""
    stage: str = ""
    """Stage that wrote it; empty where it came from outside."""
    kinds: dict[str, int] = field(default_factory=dict[str, int])
    """Records by kind."""
    judged: dict[str, int] = field(default_factory=dict[str, int])
    """Records by who judged: human, ai, or not said."""
    judges: int = 0
    """Different annotators that are named."""
    principles: int = 0
    """Different principles that judgements name."""
    ties: int = 0
    problem: str = ""
    """Why it could not be read."""


@dataclass(frozen=True)
class Campaign:
    """What the export of a feedback campaign says about itself."""

    stage: str
    manifest: Mapping[str, Any]


def data_sets(run_dir: Path, found: Ancestry) -> list[DataSet]:
    """Every file of records behind a model, those from outside first."""
    outside = [_described(one.name, one.digest, "", one.path) for one in found.data]
    inside = [
        _described(f"{stage.record.folder}/{name}", digest, stage.record.name, path)
        for stage in found.stages
        for name, digest in _files(stage)
        if (path := run_dir / stage.record.folder / name).is_file()
    ]
    return outside + inside


def campaigns(run_dir: Path, found: Ancestry) -> list[Campaign]:
    """Feedback campaigns whose labels went into a model."""
    paths = {s.record.name: run_dir / s.record.folder / EXPORT for s in found.stages}
    return [Campaign(n, read_json(path)) for n, path in paths.items() if path.is_file()]


def _files(stage: Ancestor) -> list[tuple[str, str]]:
    return [
        (name, digest)
        for name, digest in stage.manifest.outputs.items()
        if name.endswith(".jsonl") and "/" not in name and name not in _NOT_DATA
    ]


def _described(name: str, digest: str, stage: str, path: Path | None) -> DataSet:
    """Counts; data that is on a hub or was moved is named, not fetched."""
    if path is None or not path.exists():
        return DataSet(name, digest, stage, problem="not on this machine")
    try:
        records = read(path).records
    except (ConfigError, DataError) as error:
        return DataSet(name, digest, stage, problem=error.what)
    provenances = [p for record in records if (p := _provenance(record)) is not None]
    judged = Counter(p.feedback or "not said" for p in provenances)
    judged.update({"not said": len(records) - len(provenances)})
    return DataSet(
        name=name,
        digest=digest,
        stage=stage,
        kinds=dict(Counter(type(record).__name__ for record in records)),
        judged={who: n for who, n in judged.items() if n},
        judges=len({p.annotator for p in provenances if p.annotator}),
        principles=len({p.principle for p in provenances if p.principle}),
        ties=sum(isinstance(record, Comparison) and record.tie for record in records),
    )


def _provenance(record: Record) -> Provenance | None:
    if isinstance(record, Comparison):
        return record.judged_by
    own = getattr(record, "provenance", None)
    return own or getattr(getattr(record, "prompt", None), "provenance", None)
