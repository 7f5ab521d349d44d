"""Records of one kind seen as another: what a stage can use of what it was given."""

from collections.abc import Sequence
from typing import TypeVar

from fairlead.core.errors import DataError
from fairlead.data.checks import prompt_of
from fairlead.records import (
    Comparison,
    Demonstration,
    Message,
    Problem,
    Prompt,
    Ranking,
    Rating,
    Record,
)

T = TypeVar("T")


def demonstrations(records: Sequence[Record]) -> list[Demonstration]:
    """Replies worth imitating: demonstrations, chosen replies, best-ranked ones, solutions.

    Raises:
        DataError: the records hold no such reply.
    """
    found = [d for record in records if (d := _demonstration(record)) is not None]
    return _some(found, records, "replies to imitate")


def preferences(records: Sequence[Record]) -> list[Comparison | Ranking]:
    """Comparisons without ties, and rankings that are not all one tie.

    Raises:
        DataError: there are none.
    """
    found = [
        record
        for record in records
        if (isinstance(record, Comparison) and not record.tie)
        or (isinstance(record, Ranking) and len(set(record.ranks)) > 1)
    ]
    return _some(found, records, "comparisons or rankings")


def prompts(records: Sequence[Record]) -> list[Prompt]:
    """The prompts of the records, each once, in order of first appearance."""
    distinct: dict[tuple[Message, ...], Prompt] = {}
    for prompt in map(prompt_of, records):
        distinct.setdefault(prompt.messages, prompt)
    return _some(list(distinct.values()), records, "prompts")


def tasks(records: Sequence[Record]) -> list[Prompt | Problem]:
    """What can be asked: problems with their answers where there are any, else prompts."""
    problems = [record for record in records if isinstance(record, Problem)]
    return list(problems) if problems else list(prompts(records))


def _demonstration(record: Record) -> Demonstration | None:
    match record:
        case Demonstration():
            return record
        case Comparison(tie=False):
            return Demonstration(prompt=record.prompt, response=record.chosen)
        case Ranking():
            best = record.responses[record.ranks.index(min(record.ranks))]
            return Demonstration(prompt=record.prompt, response=best)
        case Rating() if record.value > 0:
            return Demonstration(prompt=record.prompt, response=record.response)
        case Problem() if record.solution:
            return Demonstration(prompt=record.prompt, response=record.solution)
        case _:
            return None


def _some(found: list[T], records: Sequence[Record], what: str) -> list[T]:
    if not found:
        kinds = sorted({type(record).__name__ for record in records})
        raise DataError(
            f"the data holds no {what}",
            expected=what,
            got=f"{len(records)} records of kind {', '.join(kinds) or 'none'}",
            remedy="check the path and the format of the data",
        )
    return found
