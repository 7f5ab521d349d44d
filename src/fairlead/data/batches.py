"""From tokens to packed microbatches: no padding, shared prompts held once.

Prompt sharing for pairs: "Accelerating Direct Preference Optimization with Prefix Sharing",
arXiv:2410.20305.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate

import numpy as np
import torch

from fairlead.core.errors import DataError
from fairlead.core.seeds import Seed
from fairlead.data.chat import Item
from fairlead.objectives.batch import Packed, PreferenceBatch, SequenceBatch, Tree, UnpairedBatch


def microbatches(items: Sequence[Item], tokens: int) -> list[list[Item]]:
    """Groups items into packs of at most `tokens` tokens, longest first into the first that fits.

    An item larger than the budget has a pack of its own.
    """
    packs: list[list[Item]] = []
    room: list[int] = []
    for item in sorted(items, key=lambda item: -item.tokens):
        place = next((i for i, free in enumerate(room) if free >= item.tokens), None)
        if place is None:
            packs.append([item])
            room.append(tokens - item.tokens)
        else:
            packs[place].append(item)
            room[place] -= item.tokens
    return packs


def pack(items: Sequence[Item], *, share_prompts: bool = True, temperature: float = 1.0) -> Packed:
    """Lays the items' sequences one behind the other.

    With `share_prompts` each prompt is stored once and its replies branch from it; without, every
    sequence is whole (bidirectional encoders need that). The model computes the same either way.
    """
    builder = _Builder()
    for item in items:
        if share_prompts:
            builder.add_tree(item.prompt, item.responses)
        else:
            for response in item.responses:
                builder.add_sequence(item.prompt, response)
    return builder.packed(temperature)


class _Builder:
    """Collects the parts of a pack as numpy pieces."""

    def __init__(self) -> None:
        self.length = 0
        self.ids: list[Sequence[int]] = []
        self.positions: list[np.ndarray] = []
        self.trees: list[Tree] = []
        self.rows: list[np.ndarray] = []
        self.ends: list[int] = []
        self.targets: list[Sequence[int]] = []

    def add_tree(self, prompt: Sequence[int], responses: Sequence[Sequence[int]]) -> None:
        start, prefix = self.length, len(prompt)
        self._add(prompt, 0)
        for response in responses:
            first = self.length
            rows = np.arange(first - 1, first - 1 + len(response))
            rows[0] = start + prefix - 1
            self._add(response, prefix)
            self._reply(rows, response)
        self.trees.append(Tree(start, prefix, tuple(map(len, responses))))

    def add_sequence(self, prompt: Sequence[int], response: Sequence[int]) -> None:
        start = self.length
        self._add((*prompt, *response), 0)
        first = start + len(prompt)
        self._reply(np.arange(first - 1, first - 1 + len(response)), response)
        self.trees.append(Tree(start, 0, (len(prompt) + len(response),)))

    def _add(self, ids: Sequence[int], position: int) -> None:
        self.ids.append(ids)
        self.positions.append(np.arange(position, position + len(ids)))
        self.length += len(ids)

    def _reply(self, rows: np.ndarray, response: Sequence[int]) -> None:
        self.rows.append(rows)
        self.targets.append(response)
        self.ends.append(self.length - 1)

    def packed(self, temperature: float) -> Packed:
        counts = [len(rows) for rows in self.rows]
        return Packed(
            input_ids=torch.from_numpy(_joined(self.ids)),
            position_ids=torch.from_numpy(np.concatenate(self.positions)),
            trees=tuple(self.trees),
            rows=torch.from_numpy(np.concatenate(self.rows)),
            targets=torch.from_numpy(_joined(self.targets)),
            row_sequence=torch.from_numpy(np.repeat(np.arange(len(counts)), counts)),
            ends=torch.tensor(self.ends),
            temperature=temperature,
        )


def _joined(parts: Sequence[Sequence[int]]) -> np.ndarray:
    return np.concatenate([np.asarray(part, dtype=np.int64) for part in parts])


def sequence_batch(items: Sequence[Item], *, share_prompts: bool = True) -> SequenceBatch:
    """A microbatch of replies to imitate."""
    return SequenceBatch(pack(items, share_prompts=share_prompts))


def preference_batch(
    items: Sequence[Item],
    *,
    share_prompts: bool = True,
    reference: Callable[[Item], Sequence[float]] | None = None,
    strength: Callable[[Item], float] | None = None,
    label: Callable[[Item], float] | None = None,
    weight: Callable[[Item], float] | None = None,
) -> PreferenceBatch:
    """A microbatch of pairs or rankings.

    Args:
        items: prompts with ranked replies.
        share_prompts: hold each prompt once.
        reference: summed reference log-probability of each reply of an item, in nats.
        strength: margin that the scores of each pair of an item should keep.
        label: probability that the better reply of each pair of an item is the better one.
        weight: how much an item counts; 1 where it is not given.
    """
    better: list[int] = []
    worse: list[int] = []
    shares: list[float] = []
    owner: list[Item] = []
    firsts = accumulate((len(item.responses) for item in items), initial=0)
    for item, first in zip(items, firsts, strict=False):
        pairs = [
            (first + i, first + j)
            for i, rank in enumerate(item.ranks)
            for j, other in enumerate(item.ranks)
            if rank < other
        ]
        better += [i for i, _ in pairs]
        worse += [j for _, j in pairs]
        shares += [(weight(item) if weight else 1.0) / len(pairs)] * len(pairs)
        owner += [item] * len(pairs)
    known = None if reference is None else [value for item in items for value in reference(item)]
    return PreferenceBatch(
        packed=pack(items, share_prompts=share_prompts),
        better=torch.tensor(better),
        worse=torch.tensor(worse),
        weight=torch.tensor(shares, dtype=torch.float32),
        reference=None if known is None else torch.tensor(known, dtype=torch.float32),
        strength=None if strength is None else _of_each(owner, strength),
        label=None if label is None else _of_each(owner, label),
    )


def _of_each(items: Sequence[Item], value: Callable[[Item], float]) -> torch.Tensor:
    return torch.tensor([value(item) for item in items], dtype=torch.float32)


def unpaired_batch(
    items: Sequence[Item],
    *,
    desirable: Callable[[Item], bool],
    reference: Callable[[Item], float],
    mismatched: Callable[[Item], Item],
    mismatched_reference: Callable[[Item], float],
    share_prompts: bool = True,
) -> UnpairedBatch:
    """A microbatch of replies judged one by one, each item with one reply.

    Args:
        items: prompts with one reply each.
        desirable: whether the reply of an item is.
        reference: summed reference log-probability of the reply of an item, in nats.
        mismatched: the item's prompt with another's reply, see `mismatches`.
        mismatched_reference: summed reference log-probability of that reply, in nats.
        share_prompts: hold each prompt once.
    """
    others = [mismatched(item) for item in items]
    return UnpairedBatch(
        packed=pack(items, share_prompts=share_prompts),
        desirable=torch.tensor([desirable(item) for item in items]),
        reference=_of_each(items, reference),
        mismatched=pack(others, share_prompts=share_prompts),
        mismatched_reference=_of_each(items, mismatched_reference),
    )


def mismatches(items: Sequence[Item], seed: Seed, *, max_length: int) -> list[Item]:
    """Every item's prompt with the reply of an item that has another prompt.

    The partner is the next such item in a seeded order of all the data, so it is the same in every
    epoch. Partners within a batch, as other implementations have them, would change with the order
    of the data: reference scores could not be computed beforehand, and a step cut into other
    microbatches would be another step. In one step the partners are as good as independent draws.

    Args:
        items: prompts with one reply each.
        seed: of the order.
        max_length: longest prompt plus reply, in tokens; longer prompts lose their beginning.

    Returns:
        One for each item, in their order and with their record.

    Raises:
        DataError: all items have the same prompt.
    """
    order = seed.child("mismatches").numpy().permutation(len(items)).tolist()
    partner: dict[int, Item] = {}
    for place, index in enumerate(order):
        following = (items[i] for i in (*order[place + 1 :], *order[:place]))
        other = next((o for o in following if o.prompt != items[index].prompt), None)
        if other is None:
            raise DataError(
                "replies cannot be mismatched: all have the same prompt",
                expected="replies to at least two prompts",
                got=f"{len(items)} replies to one prompt",
                remedy="add replies to other prompts; KTO needs them for its reference point",
            )
        partner[index] = other
    return [_swapped(item, partner[i], max_length) for i, item in enumerate(items)]


def _swapped(item: Item, other: Item, max_length: int) -> Item:
    over = max(len(item.prompt) + len(other.responses[0]) - max_length, 0)
    kept = (*item.prompt[:1], *item.prompt[1 + over :])  # a BOS stays
    return replace(item, prompt=kept, responses=other.responses)
