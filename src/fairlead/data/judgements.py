"""What annotators said of replies besides their order: strength, safety, ratings by dimension."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan
from typing import Literal

import torch

from fairlead.core.errors import DataError
from fairlead.data.batches import preference_batch
from fairlead.data.chat import Item
from fairlead.objectives.batch import PreferenceBatch
from fairlead.records import Comparison, Message, Ranking, Rating, Record

SourceWeights = Mapping[Literal["human", "ai"], float]
"""How much judgements of people and of models count; 1 for those not named."""


@dataclass(frozen=True)
class Judged:
    """What was said of the replies of one comparison or ranking."""

    margin: float = 0.0
    """Difference that the scores should exceed."""
    label: float = 1.0
    """Probability that the better reply is the better one."""
    weight: float = 1.0
    """How much it counts."""
    costs: tuple[float, ...] = ()
    """For each reply +1 unsafe, -1 safe, 0 unknown; empty where nobody said."""
    ratings: tuple[tuple[float, ...], ...] = ()
    """For each reply its rating in each dimension, nan where nobody said; empty without any."""


def judged(
    record: Comparison | Ranking,
    *,
    margin_scale: float = 0.0,
    dimensions: Sequence[str] = (),
    source_weights: SourceWeights | None = None,
) -> Judged:
    """What a record says besides the order of its replies.

    Args:
        record: replies in the order in which `encode` lays them.
        margin_scale: margin per unit of the source's strength (Touvron et al. 2023,
            arXiv:2307.09288, took 1, 2/3, 1/3, 0 or three times that for its four grades).
        dimensions: names of the ratings to take.
        source_weights: how much it counts by who judged.
    """
    weight = source_weight(record, source_weights or {})
    match record:
        case Comparison():
            flags = record.chosen_safe, record.rejected_safe
            costs = () if flags == (None, None) else tuple(map(_cost, flags))
            label = 1.0 if record.preference is None else record.preference
            margin = margin_scale * (record.strength or 0.0)
            return Judged(margin=margin, label=label, weight=weight, costs=costs)
        case Ranking():
            rated = tuple(tuple(own.get(d, nan) for d in dimensions) for own in record.scores)
            return Judged(weight=weight, ratings=rated)


def source_weight(record: Comparison | Ranking, weights: SourceWeights) -> float:
    """How much a judgement counts; 1 where nobody said who judged, or nothing is set for them."""
    by = record.judged_by if isinstance(record, Comparison) else record.prompt.provenance
    return weights.get(by.feedback, 1.0) if by is not None and by.feedback else 1.0


def _cost(safe: bool | None) -> float:
    return 0.0 if safe is None else -1.0 if safe else 1.0


def judged_batch(
    items: Sequence[Item], known: Sequence[Judged], *, share_prompts: bool = True
) -> PreferenceBatch:
    """A microbatch of pairs or rankings with what was said of them.

    Args:
        items: prompts with ranked replies.
        known: by record, what their records say.
        share_prompts: hold each prompt once.
    """
    own = [known[item.record] for item in items]
    batch = preference_batch(
        items, share_prompts=share_prompts, weight=lambda item: known[item.record].weight
    )
    replies = [len(item.responses) for item in items]
    return replace(
        batch,
        strength=_of_pairs(items, [one.margin for one in own], usual=0.0),
        label=_of_pairs(items, [one.label for one in own], usual=1.0),
        costs=_costs(own, replies),
        ratings=_ratings(own, replies),
    )


def _of_pairs(items: Sequence[Item], own: Sequence[float], *, usual: float) -> torch.Tensor | None:
    """An item's number at each of its untied pairs; None where all have the usual one."""
    if all(one == usual for one in own):
        return None
    each = [
        one
        for item, one in zip(items, own, strict=True)
        for a in item.ranks
        for b in item.ranks
        if a < b
    ]
    return torch.tensor(each, dtype=torch.float32)


def _costs(own: Sequence[Judged], replies: Sequence[int]) -> torch.Tensor | None:
    if not any(one.costs for one in own):
        return None
    each = [c for one, n in zip(own, replies, strict=True) for c in one.costs or (0.0,) * n]
    return torch.tensor(each, dtype=torch.float32)


def _ratings(own: Sequence[Judged], replies: Sequence[int]) -> torch.Tensor | None:
    width = max((len(row) for one in own for row in one.ratings), default=0)
    if not width:
        return None
    unrated = (nan,) * width
    each = [r for one, n in zip(own, replies, strict=True) for r in one.ratings or (unrated,) * n]
    return torch.tensor(each, dtype=torch.float32)


def safety_comparisons(records: Sequence[Record]) -> tuple[list[Comparison], int]:
    """Comparisons turned so that the chosen reply is the safer one, and how many say nothing.

    Where nobody was asked which is safer, a safe reply is safer than an unsafe one.

    Raises:
        DataError: no comparison says which reply is safer.
    """
    compared = [record for record in records if isinstance(record, Comparison)]
    found = [turned for record in compared if (turned := _by_safety(record)) is not None]
    if not found:
        raise DataError(
            "the data does not say which replies are safer",
            expected="comparisons with safety flags that differ, or with a safer reply",
            got=f"{len(compared)} comparisons of {len(records)} records",
            remedy="check the format of the data; `fairlead inspect` shows what was read",
        )
    return found, len(records) - len(found)


def _by_safety(record: Comparison) -> Comparison | None:
    safer = record.safer
    if safer is None and record.chosen_safe and record.rejected_safe is False:
        safer = "chosen"
    elif safer is None and record.rejected_safe and record.chosen_safe is False:
        safer = "rejected"
    if safer is None:
        return None
    if safer == "chosen":
        return record.model_copy(update={"tie": False, "strength": None, "preference": None})
    return Comparison(
        prompt=record.prompt,
        chosen=record.rejected,
        rejected=record.chosen,
        chosen_safe=record.rejected_safe,
        rejected_safe=record.chosen_safe,
        safer="chosen",
    )


def rated_rankings(records: Sequence[Record]) -> list[Record]:
    """Ratings of several replies to one prompt become a ranking with their scores.

    All other records stay. Prompts with one rated reply say nothing about an order; they are left
    out here and counted by the difference in length.
    """
    groups: dict[tuple[Message, ...], list[Rating]] = defaultdict(list)
    rest: list[Record] = []
    for record in records:
        if isinstance(record, Rating):
            groups[record.prompt.messages].append(record)
        else:
            rest.append(record)
    return [*rest, *(_ranking(own) for own in groups.values() if len(own) > 1)]


def _ranking(own: Sequence[Rating]) -> Ranking:
    levels = sorted({one.value for one in own}, reverse=True)
    return Ranking(
        prompt=own[0].prompt,
        responses=tuple(one.response for one in own),
        ranks=tuple(levels.index(one.value) for one in own),
        scores=tuple(one.scores for one in own),
    )
