"""What is in a data set, at a glance: counts, faults, lengths."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict
from rich.console import Group
from rich.markup import escape
from rich.table import Table

from fairlead.core.estimates import Estimate
from fairlead.data import checks
from fairlead.data.readers import ReadResult, RejectedRow
from fairlead.data.splits import first_user_turn
from fairlead.records import Comparison, Record
from fairlead.stats import clustered_proportion

EXAMPLES = 3


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Spread(_Frozen):
    """How a length is distributed."""

    median: float
    p95: float
    """95th percentile."""
    max: int


class Lengths(_Frozen):
    """Lengths of one kind of text."""

    characters: Spread
    words: Spread
    """Runs of characters between blanks."""


class Rejection(_Frozen):
    """Rows rejected for one reason."""

    field: str
    expected: str
    count: int
    examples: tuple[RejectedRow, ...]


class Inspection(_Frozen):
    """A description of a data set."""

    format: str
    records: int
    kinds: dict[str, int]
    """Records by kind, such as Comparison."""
    rejected_rows: int
    rejections: tuple[Rejection, ...]
    """Reasons of rejection, the most frequent first."""
    duplicates: int
    """Exact repetitions of an earlier record."""
    identical_pairs: int
    """Comparisons whose replies are the same text."""
    empty_answers: int
    leaks: int
    """Records with an answer that stands word for word in its own prompt."""
    ties: int
    """Comparisons without a preference."""
    chosen_longer: float | None
    """Share of comparisons (ties aside) whose chosen reply has more characters; None without any.
    Equal lengths count as not longer."""
    chosen_longer_estimate: Estimate | None
    """The same with its interval, clustered by the opening user turn."""
    lengths: dict[str, Lengths]
    """By kind of text: prompts, and chosen and rejected (ties aside) or responses."""
    turns: dict[int, int]
    """Prompts by their number of turns."""
    subsets: dict[str, int]
    """Records by subset, where the source names any."""
    findings: tuple[checks.Finding, ...]
    """The faults with examples."""


def inspect(result: ReadResult) -> Inspection:
    """Describes what was read."""
    records = result.records
    prompts = [checks.prompt_of(record) for record in records]
    pairs = [r for r in records if isinstance(r, Comparison)]
    decided = [pair for pair in pairs if not pair.tie]
    longer = _chosen_longer(decided)
    findings = (
        checks.duplicates(records),
        checks.identical_pairs(records),
        checks.empty_answers(records),
        checks.leaks(records),
    )
    return Inspection(
        format=result.format,
        records=len(records),
        kinds=_counts(type(record).__name__ for record in records),
        rejected_rows=len(result.rejected),
        rejections=_rejections(result.rejected),
        duplicates=findings[0].count,
        identical_pairs=findings[1].count,
        empty_answers=findings[2].count,
        leaks=findings[3].count,
        ties=len(pairs) - len(decided),
        chosen_longer=longer.value if longer else None,
        chosen_longer_estimate=longer,
        lengths=_all_lengths(records, decided),
        turns=dict(sorted(Counter(len(prompt.messages) for prompt in prompts).items())),
        subsets=_counts(prompt.subset for prompt in prompts if prompt.subset),
        findings=tuple(finding for finding in findings if finding.count),
    )


def render(inspection: Inspection) -> Group:
    """The inspection as tables for the terminal."""
    parts = [_summary(inspection), _length_table(inspection)]
    if inspection.rejections:
        parts.append(_rejection_table(inspection))
    if inspection.findings:
        parts.append(_finding_table(inspection))
    if inspection.subsets:
        parts.append(_count_table("subset", inspection.subsets))
    return Group(*parts)


def _chosen_longer(decided: Sequence[Comparison]) -> Estimate | None:
    if not decided:
        return None
    longer = [len(pair.chosen) > len(pair.rejected) for pair in decided]
    return clustered_proportion(longer, [first_user_turn(pair) for pair in decided])


def _all_lengths(records: Sequence[Record], decided: Sequence[Comparison]) -> dict[str, Lengths]:
    prompts = (checks.prompt_of(record) for record in records)
    texts = {
        "prompts": ["\n\n".join(m.content for m in prompt.messages) for prompt in prompts],
        "chosen": [pair.chosen for pair in decided],
        "rejected": [pair.rejected for pair in decided],
        "responses": [
            answer
            for record in records
            if not isinstance(record, Comparison) or record.tie
            for answer in checks.answers_of(record)
        ],
    }
    return {name: _lengths(found) for name, found in texts.items() if found}


def _lengths(texts: Sequence[str]) -> Lengths:
    return Lengths(
        characters=_spread([len(text) for text in texts]),
        words=_spread([len(text.split()) for text in texts]),
    )


def _spread(values: Sequence[int]) -> Spread:
    median, p95 = np.quantile(values, [0.5, 0.95])
    return Spread(median=median, p95=p95, max=max(values))


def _counts(names: Iterable[str]) -> dict[str, int]:
    return dict(Counter(names).most_common())


def _rejections(rejected: Sequence[RejectedRow]) -> tuple[Rejection, ...]:
    reasons = Counter((row.field, row.expected) for row in rejected)
    return tuple(
        Rejection(
            field=field,
            expected=expected,
            count=count,
            examples=tuple(
                row for row in rejected if (row.field, row.expected) == (field, expected)
            )[:EXAMPLES],
        )
        for (field, expected), count in reasons.most_common()
    )


def _summary(inspection: Inspection) -> Table:
    table = Table(title=f"format: {inspection.format}", show_header=False)
    rows: dict[str, object] = {
        "records": inspection.records,
        **{f"  {kind}": count for kind, count in inspection.kinds.items()},
        "rejected rows": inspection.rejected_rows,
        "exact duplicates": inspection.duplicates,
        "identical chosen and rejected": inspection.identical_pairs,
        "empty answers": inspection.empty_answers,
        "answers in their own prompt": inspection.leaks,
        "ties": inspection.ties,
    }
    if inspection.chosen_longer_estimate:
        rows["chosen is the longer"] = inspection.chosen_longer_estimate
    rows["turns per prompt"] = ", ".join(f"{n}: {c}" for n, c in inspection.turns.items())
    for name, value in rows.items():
        table.add_row(name, str(value))
    return table


def _length_table(inspection: Inspection) -> Table:
    table = Table("length of", "unit", "median", "95 % below", "longest")
    for name, lengths in inspection.lengths.items():
        for unit, spread in (("characters", lengths.characters), ("words", lengths.words)):
            table.add_row(name, unit, f"{spread.median:g}", f"{spread.p95:g}", str(spread.max))
    return table


def _rejection_table(inspection: Inspection) -> Table:
    table = Table("rejected rows", "field", "expected", "first case")
    for reason in inspection.rejections:
        first = reason.examples[0]
        where = f"{first.file}, row {first.row}: {first.got}"
        table.add_row(
            str(reason.count), _plain(reason.field), _plain(reason.expected), _plain(where)
        )
    return table


def _finding_table(inspection: Inspection) -> Table:
    table = Table("fault", "records", "examples")
    for finding in inspection.findings:
        examples = _plain("\n".join(finding.examples))
        table.add_row(finding.fault, str(finding.count), examples)
    return table


def _count_table(name: str, counts: dict[str, int]) -> Table:
    table = Table(name, "records")
    for key, count in counts.items():
        table.add_row(_plain(key), str(count))
    return table


def _plain(text: str) -> str:
    """Data may hold square brackets that rich would take for style."""
    return escape(text)
