"""Reads a data set, cleans it, and splits it so that no opening prompt is in two parts."""

from typing import ClassVar, Literal

from pydantic import Field

from fairlead.core.results import StageResult, Table
from fairlead.data.checks import Finding, clean, leaks, shared_prompts
from fairlead.data.readers import ReadResult, read
from fairlead.data.splits import split
from fairlead.pipeline.stage import Context, Stage, require_path
from fairlead.records.files import write_records


class RecordsStage(Stage):
    """From files or a hub name to `train.jsonl`, `test.jsonl` or what `parts` names."""

    kind: Literal["records"] = "records"
    path: str | None
    """File, folder or hub name."""
    format: str = "auto"
    """Format of the data; "auto" goes by the fields."""
    strict: bool = False
    """Stop at the first malformed row instead of counting it."""
    parts: dict[str, float] = Field(default={"train": 0.8, "test": 0.2})
    """Name and share of each part; grouped by the first user turn."""
    file_fields: ClassVar[tuple[str, ...]] = ("path",)

    def run(self, context: Context) -> StageResult:
        """Writes one file per part and reports what was found and left out."""
        result = read(require_path(self.path, "data.path"), self.format, strict=self.strict)
        kept, findings = clean(result.records)
        parts = split(kept, self.parts, context.seed.child("split"))
        for name, records in parts.items():
            write_records(context.folder / f"{name}.jsonl", records)
        findings = (*findings, leaks(kept), shared_prompts(parts))
        sizes = ", ".join(f"{name} {len(records)}" for name, records in parts.items())
        notes = [f"{len(result.records)} records read as {result.format}; parts: {sizes}"]
        notes += [f"{f.fault}: {f.count}" for f in findings if f.count]
        return StageResult(notes=tuple(notes), tables=(_rejected(result), _found(findings)))


def _rejected(result: ReadResult) -> Table:
    rows = tuple((str(r.file), r.row, r.field, r.expected, r.got) for r in result.rejected[:20])
    title = f"Malformed rows, counted and left out: {len(result.rejected)}"
    return Table(title=title, columns=("file", "row", "field", "expected", "got"), rows=rows)


def _found(findings: tuple[Finding, ...]) -> Table:
    rows = tuple((f.fault, f.count) for f in findings)
    return Table(title="Data checks", columns=("fault", "records"), rows=rows)
