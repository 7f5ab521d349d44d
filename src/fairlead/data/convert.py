"""Records of one kind seen as another: what a stage can use of what it was given."""

from collections.abc import Sequence
from itertools import cycle
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
    StepLabels,
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


def thumbs(records: Sequence[Record]) -> list[Rating]:
    """Replies judged one by one: value 1 for desirable ones, 0 for others.

    A rating is desirable where its value is above 0. A comparison gives its chosen reply as
    desirable and the other as not; a ranking its best-ranked replies as desirable and its
    worst-ranked as not, and leaves out those between. Ties say nothing of either.

    Raises:
        DataError: there are none.
    """
    found = [thumb for record in records for thumb in _thumbs(record)]
    return _some(found, records, "replies judged good or bad")


def _thumbs(record: Record) -> list[Rating]:
    match record:
        case Rating():
            judged = [(record.response, record.value > 0)]
        case Comparison(tie=False):
            judged = [(record.chosen, True), (record.rejected, False)]
        case Ranking() if len(set(record.ranks)) > 1:
            best, worst = min(record.ranks), max(record.ranks)
            both = zip(record.responses, record.ranks, strict=True)
            judged = [(text, rank == best) for text, rank in both if rank in (best, worst)]
        case _:
            return []
    return [Rating(prompt=record.prompt, response=text, value=float(good)) for text, good in judged]


def step_comparisons(records: Sequence[Record]) -> list[Comparison]:
    """The right against the wrong next step of solutions that agree, and are right, so far.

    The prompt of each ends in the right steps as an assistant's turn to be continued (an empty one
    before the first step), and its replies are single steps. Every wrong step is compared once,
    with the right ones in turn; a step that was judged both right and wrong is left out. Lines are
    put between steps.

    Raises:
        DataError: no wrong step has a right one beside it.
    """
    found: dict[tuple[Prompt, tuple[str, ...]], dict[str, set[int]]] = {}
    for record in records:
        if isinstance(record, StepLabels):
            _collect_steps(record, found)
    made = [pair for (prompt, done), steps in found.items() for pair in _pairs(prompt, done, steps)]
    return _some(made, records, "wrong steps with a right one after the same steps")


def _collect_steps(
    record: StepLabels, found: dict[tuple[Prompt, tuple[str, ...]], dict[str, set[int]]]
) -> None:
    """Enters each step up to the first that is not right under the steps before it."""
    bare = Prompt(messages=record.prompt.messages, subset=record.prompt.subset)
    for place, (step, label) in enumerate(zip(record.steps, record.labels, strict=True)):
        if label in (1, -1):
            here = found.setdefault((bare, record.steps[:place]), {})
            here.setdefault(step, set()).add(label)
        if label != 1:
            return


def _pairs(prompt: Prompt, done: tuple[str, ...], steps: dict[str, set[int]]) -> list[Comparison]:
    right = [step for step, labels in steps.items() if labels == {1}]
    wrong = [step for step, labels in steps.items() if labels == {-1}]
    begun = Message(role="assistant", content="\n".join(done))
    asked = Prompt(messages=(*prompt.messages, begun), subset=prompt.subset)
    between = "\n" if done else ""
    return [
        Comparison(prompt=asked, chosen=between + good, rejected=between + bad)
        for good, bad in zip(cycle(right), wrong, strict=False)
    ]


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
