"""Where every result came from: run records, stage results, manifests, hashes and their check."""

from fairlead.core.results import (
    Figure,
    Reply,
    Sample,
    Scores,
    Series,
    StageResult,
    Table,
    read_result,
    write_result,
)
from fairlead.lineage.environment import CodeVersion, code_version, library_versions
from fairlead.lineage.manifest import (
    Inputs,
    Manifest,
    make_inputs,
    make_manifest,
    outputs_digest,
    read,
    stage_key,
    write,
)
from fairlead.lineage.run import RunRecord, StageRecord, read_run, write_run
from fairlead.lineage.verify import Problem, Verification, verify

__all__ = [
    "CodeVersion",
    "Figure",
    "Inputs",
    "Manifest",
    "Problem",
    "Reply",
    "RunRecord",
    "Sample",
    "Scores",
    "Series",
    "StageRecord",
    "StageResult",
    "Table",
    "Verification",
    "code_version",
    "library_versions",
    "make_inputs",
    "make_manifest",
    "outputs_digest",
    "read",
    "read_result",
    "read_run",
    "stage_key",
    "verify",
    "write",
    "write_result",
    "write_run",
]
