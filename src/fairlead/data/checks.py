"""Faults of preference data that training would learn from: found, counted and shown.

Each check returns a `Finding` with the number of cases and a few examples. Only `clean` removes
anything, and it says what it removed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from fairlead.records import (
    Comparison,
    Critique,
    Demonstration,
    Problem,
    Prompt,
    Ranking,
    Rating,
    Record,
    StepLabels,
    Verdict,
)

EXAMPLES = 3
EXCERPT = 80
LEAK_CHARACTERS = 20


class Finding(BaseModel):
    """How often a fault occurs, with examples."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fault: str
    """The fault in words."""
    count: int
    """Records (or prompts, for prompts shared by splits) that have it."""
    examples: tuple[str, ...]
    """Up to three cases: where they stand and how their prompt begins."""


def prompt_of(record: Record) -> Prompt:
    """The prompt of any record; a prompt is its own."""
    if isinstance(record, Prompt):
        return record
    prompt = getattr(record, "prompt", None)
    assert isinstance(prompt, Prompt), f"{type(record).__name__} has no prompt"
    return prompt


def answers_of(record: Record) -> tuple[str, ...]:
    """All replies a record holds; for a problem its worked solution, or else its answer."""
    match record:
        case Comparison():
            return (record.chosen, record.rejected)
        case Ranking() | Verdict():
            return record.responses
        case Demonstration() | Rating() | Critique():
            return (record.response,)
        case StepLabels():
            return ("\n".join(record.steps),)
        case Problem():
            return (record.solution or record.answer,)
        case _:
            return ()


def identical_pairs(records: Iterable[Record]) -> Finding:
    """Comparisons whose two replies are the same text, blanks at the ends aside."""
    return _finding("chosen and rejected are identical", filter(_is_identical, records))


def empty_answers(records: Iterable[Record]) -> Finding:
    """Records with a reply that has no words."""
    return _finding("an answer is empty", filter(_is_empty, records))


def duplicates(records: Iterable[Record]) -> Finding:
    """Records that repeat an earlier one exactly.

    Where it was read and its subset do not count; who judged does: two annotators who agree are
    two judgements.
    """
    return _finding("an exact duplicate of an earlier record", filter(_repeats(), records))


def leaks(records: Iterable[Record], minimum: int = LEAK_CHARACTERS) -> Finding:
    """Records with an answer that stands word for word in its own prompt.

    Args:
        records: what to look through.
        minimum: shortest answer that counts, in characters; short ones ("yes", "42") are expected
            to occur.
    """
    found = (r for r in records if _leaks(r, minimum))
    return _finding("an answer stands in its own prompt", found)


def shared_prompts(splits: Mapping[str, Sequence[Record]]) -> Finding:
    """Prompts (whole conversations) that occur in more than one split.

    Args:
        splits: records by the name of their split.
    """
    seen: dict[tuple[tuple[str, str], ...], dict[str, Record]] = {}
    for name, records in splits.items():
        for record in records:
            key = tuple((m.role, _squeezed(m.content)) for m in prompt_of(record).messages)
            seen.setdefault(key, {}).setdefault(name, record)
    shared = [found for found in seen.values() if len(found) > 1]
    examples = tuple(
        " and ".join(f"{name} ({describe(r)})" for name, r in found.items())
        for found in shared[:EXAMPLES]
    )
    return Finding(fault="a prompt is in two splits", count=len(shared), examples=examples)


def clean(records: Sequence[Record]) -> tuple[tuple[Record, ...], tuple[Finding, ...]]:
    """Removes identical pairs, records with an empty answer, and exact duplicates.

    Returns:
        The records kept, in order, and one finding per fault for what was removed. A record with
        two faults is counted under the first, so the counts add to the number removed.
    """
    faults: tuple[tuple[str, Callable[[Record], bool]], ...] = (
        ("chosen and rejected are identical", _is_identical),
        ("an answer is empty", _is_empty),
        ("an exact duplicate of an earlier record", _repeats()),
    )
    kept: list[Record] = []
    removed: dict[str, list[Record]] = {fault: [] for fault, _ in faults}
    for record in records:
        fault = next((name for name, has_fault in faults if has_fault(record)), None)
        (kept if fault is None else removed[fault]).append(record)
    return tuple(kept), tuple(_finding(fault, found) for fault, found in removed.items())


def describe(record: Record) -> str:
    """Where a record stands and how its prompt begins."""
    prompt = prompt_of(record)
    at = prompt.provenance
    row = "" if at is None or at.row is None else f", row {at.row}"
    where = "" if at is None else f"{at.source}{row}: "
    words = _squeezed(prompt.first_user_turn)
    return where + (words if len(words) <= EXCERPT else words[: EXCERPT - 1] + "…")


def _finding(fault: str, found: Iterable[Record]) -> Finding:
    cases = list(found)
    return Finding(
        fault=fault, count=len(cases), examples=tuple(describe(r) for r in cases[:EXAMPLES])
    )


def _is_identical(record: Record) -> bool:
    return isinstance(record, Comparison) and record.chosen.strip() == record.rejected.strip()


def _is_empty(record: Record) -> bool:
    return any(not answer.strip() for answer in answers_of(record))


def _repeats() -> Callable[[Record], bool]:
    """A test that is true from the second time it sees the same content."""
    seen: set[tuple[str, str, str | None]] = set()

    def repeats(record: Record) -> bool:
        key = _content(record)
        known = key in seen
        seen.add(key)
        return known

    return repeats


def _content(record: Record) -> tuple[str, str, str | None]:
    at = prompt_of(record).provenance
    origin = {"provenance", "subset"}
    text = record.model_dump_json(
        exclude=origin if isinstance(record, Prompt) else {"prompt": origin}
    )
    return type(record).__name__, text, at.annotator if at else None


def _leaks(record: Record, minimum: int) -> bool:
    prompt = _squeezed("\n".join(m.content for m in prompt_of(record).messages))
    answers = (_squeezed(answer) for answer in answers_of(record))
    return any(len(answer) >= minimum and answer in prompt for answer in answers)


def _squeezed(text: str) -> str:
    return " ".join(text.split())
