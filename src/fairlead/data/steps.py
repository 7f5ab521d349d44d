"""Solutions in steps as tokens: where each step ends, and what is known about it there.

A step is a line. Where steps end is read off the tokens of the reply, in training as in scoring,
so that a tokenizer which merges a line's end with its neighbours cannot move a label.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from fairlead.core.errors import DataError
from fairlead.data.batches import pack
from fairlead.data.chat import ChatFormat, EncodingReport, Ids, Item, encode
from fairlead.objectives.batch import Packed, StepBatch
from fairlead.records import Demonstration, Rating, Record, StepLabels

Neutral = Literal["right", "skip"]


@dataclass(frozen=True)
class StepItem(Item):
    """A solution of which some steps are labelled."""

    ends: Ids = ()
    """Place in the reply of the last token of each labelled step."""
    labels: tuple[float, ...] = ()
    """Probability that the solution is right up to and including each of these steps."""


@dataclass(frozen=True)
class StepReport:
    """What became of judged solutions on their way to tokens."""

    encoded: EncodingReport
    merged: int
    """Left out: their tokens do not show the steps, for instance empty ones."""
    unlabelled: int
    """Left out: no step has a label."""

    def __str__(self) -> str:
        return (
            f"{self.encoded}; {self.merged} left out because their tokens do not show the steps; "
            f"{self.unlabelled} without a label"
        )


def line_ends(chat: ChatFormat, response: Ids) -> Ids:
    """Place of the last token of each line that has words, counted from the reply's first token.

    A token that holds both a line's end and the line break counts as the line's last.
    """
    text = chat.text(response)
    ends: list[int] = []
    offset = 0
    for line in text.split("\n"):
        reached = offset + len(line.rstrip())
        offset += len(line) + 1
        if line.strip():
            ends.append(_first_reaching(chat, response, reached, ends[-1] if ends else 0))
    return tuple(ends)


def _first_reaching(chat: ChatFormat, response: Ids, characters: int, low: int) -> int:
    """The first token with which the text has that many characters; text only grows."""
    high = len(response) - 1
    while low < high:
        middle = (low + high) // 2
        if len(chat.text(response[: middle + 1])) >= characters:
            high = middle
        else:
            low = middle + 1
    return low


def solution_text(steps: Sequence[str]) -> str:
    """The steps one line each; line breaks within a step become blanks."""
    return "\n".join(" ".join(step.split()) for step in steps)


def targets(record: StepLabels, neutral: Neutral) -> list[tuple[int, float]]:
    """(step, probability that it is right) for every step that is learned from.

    Judged solutions count up to and including the first wrong step, since what follows builds on
    the mistake (Lightman et al. 2023, arXiv:2305.20050). Estimated probabilities count wherever
    they are given.

    Args:
        record: the solution.
        neutral: what a neutral step counts as.
    """
    if record.probabilities:
        return list(enumerate(record.probabilities))
    found: list[tuple[int, float]] = []
    for place, label in enumerate(record.labels):
        if label is None or (label == 0 and neutral == "skip"):
            continue
        found.append((place, float(label >= 0)))
        if label == -1:
            break
    return found


def outcomes(records: Sequence[Record]) -> list[StepLabels]:
    """Solutions with one label, on their last step: whether the whole is right.

    Ratings above 0 are right; of judged steps, none may be wrong.
    """
    found: list[StepLabels] = []
    for record in records:
        if isinstance(record, Rating) and record.response.strip():
            lines = tuple(line for line in record.response.split("\n") if line.strip())
            found.append(_outcome(record, lines, right=record.value > 0))
        elif isinstance(record, StepLabels):
            found.append(_outcome(record, record.steps, right=-1 not in record.labels))
    return _some(found, records, "rated replies or solutions in steps")


def judged_steps(records: Sequence[Record]) -> list[StepLabels]:
    """The solutions in steps among the records.

    Raises:
        DataError: there are none.
    """
    found = [record for record in records if isinstance(record, StepLabels)]
    return _some(found, records, "solutions in steps")


def _outcome(record: Rating | StepLabels, steps: tuple[str, ...], *, right: bool) -> StepLabels:
    labels: list[Literal[-1, 0, 1] | None] = [None] * (len(steps) - 1)
    return StepLabels(prompt=record.prompt, steps=steps, labels=(*labels, 1 if right else -1))


def _some(found: list[StepLabels], records: Sequence[Record], what: str) -> list[StepLabels]:
    if not found:
        kinds = sorted({type(record).__name__ for record in records})
        raise DataError(
            f"the data holds no {what}",
            expected=what,
            got=f"{len(records)} records of kind {', '.join(kinds) or 'none'}",
            remedy="check the path and the format of the data",
        )
    return found


def encode_steps(
    records: Sequence[StepLabels],
    chat: ChatFormat,
    *,
    max_length: int,
    neutral: Neutral = "right",
) -> tuple[list[StepItem], StepReport]:
    """Tokenises judged solutions; a prompt that is too long loses its beginning, as in `encode`.

    Args:
        records: the solutions.
        chat: the format of prompts and replies.
        max_length: longest prompt plus solution, in tokens.
        neutral: what a neutral step counts as.

    Raises:
        DataError: nothing is left.
    """
    whole = [Demonstration(prompt=r.prompt, response=solution_text(r.steps)) for r in records]
    items, encoded = encode(whole, chat, max_length=max_length)
    made: list[StepItem] = []
    merged = unlabelled = 0
    for item in items:
        record = records[item.record]
        known = targets(record, neutral)
        ends = _ends(line_ends(chat, item.responses[0]), len(record.steps), known)
        merged += ends is None
        unlabelled += ends is not None and not known
        if ends is not None and known:
            made.append(_labelled(item, ends, tuple(label for _, label in known)))
    report = StepReport(encoded, merged, unlabelled)
    if not made:
        raise DataError(
            "no labelled solution is left after tokenising",
            expected="solutions whose steps are lines with words, some of them labelled",
            got=f"{len(records)} records, {report}",
            remedy="check the labels, and that the tokenizer keeps line breaks",
        )
    return made, report


def _ends(found: Ids, steps: int, known: Sequence[tuple[int, float]]) -> Ids | None:
    """Where the labelled steps end; None where the tokens do not show it.

    The end of the last step shows even where line breaks do not, as with many encoders.
    """
    if len(found) == steps:
        return tuple(found[step] for step, _ in known)
    if found and [step for step, _ in known] == [steps - 1]:
        return found[-1:]
    return None


def _labelled(item: Item, ends: Ids, labels: tuple[float, ...]) -> StepItem:
    return StepItem(item.prompt, item.responses, item.ranks, item.record, ends, labels)


def at_ends(packed: Packed, ends: Sequence[Ids]) -> Packed:
    """The same pack with its rows at given places of each reply instead of before every token.

    Args:
        packed: as `pack` makes it.
        ends: for each sequence, places counted from the reply's first token.
    """
    lengths = torch.bincount(packed.row_sequence, minlength=packed.sequences)
    sequence = torch.repeat_interleave(
        torch.arange(packed.sequences), torch.tensor([len(own) for own in ends])
    )
    places = torch.tensor([place for own in ends for place in own], dtype=torch.long)
    rows = (packed.ends - lengths + 1)[sequence] + places
    return replace(packed, rows=rows, targets=packed.input_ids[rows], row_sequence=sequence)


def step_batch(items: Sequence[StepItem], *, share_prompts: bool = True) -> StepBatch:
    """A microbatch of judged solutions; its rows are the last tokens of the labelled steps."""
    packed = pack(items, share_prompts=share_prompts)
    labels = [label for item in items for label in item.labels]
    return StepBatch(
        packed=at_ends(packed, [item.ends for item in items]),
        labels=torch.tensor(labels, dtype=torch.float32),
    )
