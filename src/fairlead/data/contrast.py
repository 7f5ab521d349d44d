"""Prompts beside the same prompts wrapped, as tokens, with the end that both share."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from fairlead.core.errors import DataError
from fairlead.data.batches import pack
from fairlead.data.chat import ChatFormat, Ids, Item
from fairlead.data.steps import at_ends
from fairlead.objectives.batch import ContrastBatch
from fairlead.records import Prompt


@dataclass(frozen=True)
class ContrastItem(Item):
    """What both prompts begin with as `prompt`; what goes on, plain and wrapped, as `responses`."""

    shared: int = 1
    """Tokens at the end of both that are equal."""


@dataclass(frozen=True)
class ContrastReport:
    """What became of the pairs on their way to tokens."""

    kept: int
    matched: int
    """Tokens in which the prompts of a pair end alike, over all pairs."""
    equal: int
    """Left out: wrapping changed nothing."""
    apart: int
    """Left out: not even the last token is the same."""
    too_long: int
    """Left out: a prompt is longer than the window."""

    def __str__(self) -> str:
        return (
            f"{self.kept} pairs that end alike in {self.matched / max(self.kept, 1):.1f} tokens on "
            f"average; left out: {self.equal} of equal prompts, {self.apart} that end differently, "
            f"{self.too_long} too long"
        )


def contrasts(
    pairs: Iterable[tuple[Prompt, Prompt]], chat: ChatFormat, *, max_length: int
) -> tuple[list[ContrastItem], ContrastReport]:
    """Tokenises pairs of a plain and a wrapped prompt.

    Args:
        pairs: (plain, wrapped).
        chat: the policy's format.
        max_length: longest prompt, in tokens.

    Raises:
        DataError: no pair is left.
    """
    items: list[ContrastItem] = []
    equal = apart = too_long = 0
    for index, (plain, wrapped) in enumerate(pairs):
        one, other = chat.prompt_ids(plain), chat.prompt_ids(wrapped)
        if one == other:
            equal += 1
        elif one[-1] != other[-1]:
            apart += 1
        elif max(len(one), len(other)) > max_length:
            too_long += 1
        else:
            items.append(_contrast(one, other, index))
    matched = sum(item.shared for item in items)
    report = ContrastReport(len(items), matched, equal, apart, too_long)
    if not items:
        raise DataError(
            "no pair of prompts has states to match",
            expected="prompts that differ and end in the same tokens",
            got=str(report),
            remedy="wrap prompts at their beginning, or match replies",
        )
    return items, report


def contrast_batch(items: Sequence[Item]) -> ContrastBatch:
    """A microbatch of pairs, read at the tokens in which both prompts end."""
    pairs = [item for item in items if isinstance(item, ContrastItem)]
    both = [(own, pair.shared) for pair in pairs for own in pair.responses]
    places = [tuple(range(len(own) - shared, len(own))) for own, shared in both]
    clean = [i % 2 == 0 for i, own in enumerate(places) for _ in own]
    return ContrastBatch(packed=at_ends(pack(pairs), places), clean=torch.tensor(clean))


def _contrast(one: Ids, other: Ids, index: int) -> ContrastItem:
    room = min(len(one), len(other))
    begun = _equal(one[: room - 1], other[: room - 1])
    shared = _equal(one[begun:][::-1], other[begun:][::-1])
    return ContrastItem(one[:begun], (one[begun:], other[begun:]), record=index, shared=shared)


def _equal(one: Ids, other: Ids) -> int:
    """How many tokens are equal from the first on."""
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
