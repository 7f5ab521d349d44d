"""How often a reward model sides with the annotator, beside what length alone would reach."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from fairlead.core.estimates import Estimate, NamedEstimate
from fairlead.core.results import Table
from fairlead.core.seeds import Seed
from fairlead.data.chat import Item, encode
from fairlead.models.reward_model import RewardModel
from fairlead.objectives.base import Need
from fairlead.objectives.general_preference import subspace_scores
from fairlead.records import Comparison, Ranking
from fairlead.rewards.model import head_outputs
from fairlead.stats.calibration import calibration_error
from fairlead.stats.proportions import clustered_proportion
from fairlead.stats.resampling import bootstrap

Comparer = Callable[[Sequence[Item]], list[Tensor]]
"""For each item the log-odds [member, reply, other] that a reply is preferred to another."""

TEMPERATURE = 0.1
"""What a general preference model divides its scores by, unless it was trained otherwise."""

FEWEST = 10
"""Prompts from which on a calibration error is worth resampling."""


@dataclass(frozen=True)
class Accuracy:
    """Accuracy on comparisons as estimates and tables."""

    estimates: tuple[NamedEstimate, ...]
    tables: tuple[Table, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Pair:
    """One comparison: how the scorers saw it, and the prompt it belongs to."""

    margin: float
    members: tuple[float, ...]
    """The margin under each member of an ensemble."""
    longer: float
    """Words of the preferred reply minus words of the other."""
    group: str
    subset: str


def log_odds(
    model: RewardModel, *, temperature: float = TEMPERATURE, costs: bool = False
) -> Comparer:
    """How a reward model compares replies: by difference of scores, or by their embeddings.

    Args:
        model: whichever head it has.
        temperature: divides the scores of a general preference model.
        costs: the scores are costs, so that lower is better.
    """

    def compare(items: Sequence[Item]) -> list[Tensor]:
        return [
            _margins(found, temperature, costs=costs)
            for found in head_outputs(model, items, tokens=8192)
        ]

    return compare


def joint_log_odds(comparers: Sequence[Comparer]) -> Comparer:
    """Several models as members of one ensemble."""

    def compare(items: Sequence[Item]) -> list[Tensor]:
        return [torch.cat(own) for own in zip(*(c(items) for c in comparers), strict=True)]

    return compare


def _margins(found: dict[str, Tensor], temperature: float, *, costs: bool) -> Tensor:
    """Log-odds [member, reply, other] from what a head says of one item's replies."""
    if "embeddings" in found:
        embeddings, eigenvalues = found["embeddings"], found["eigenvalues"]
        count = len(embeddings)
        first = torch.arange(count).repeat_interleave(count)
        second = torch.arange(count).repeat(count)
        each = subspace_scores(embeddings[first], embeddings[second])
        scores = (eigenvalues[first] * each).sum(-1).reshape(1, count, count)
        return scores / temperature
    rewards = found["members"].T if "members" in found else found["rewards"][None]
    margins = rewards[:, :, None] - rewards[:, None, :]
    return -margins if costs else margins


def measure(
    model: RewardModel,
    records: Sequence[Comparison | Ranking],
    *,
    max_length: int,
    compare: Comparer | None = None,
) -> Accuracy:
    """Accuracy with its interval, overall and by subset, and two length-only baselines.

    A tied score counts as wrong; pairs of equal length are left out of the baselines (in the table
    they count as half). Intervals are Wilson's with opening prompts as clusters.

    Args:
        model: says how replies are turned into tokens, and compares them.
        records: held-out comparisons or rankings.
        max_length: longest prompt plus reply, in tokens.
        compare: another way to compare than the model's own.
    """
    if compare is None and Need.EMBEDDINGS not in model.head.gives:
        model.require(frozenset({Need.REWARDS}), where="accuracy on comparisons")
    items, report = encode(records, model.chat_format(), max_length=max_length)
    pairs: list[_Pair] = []
    for item, own in zip(items, (compare or log_odds(model))(items), strict=True):
        pairs += _pairs(records[item.record], own, item.ranks)
    subsets: dict[str, list[_Pair]] = defaultdict(list)
    for pair in pairs:
        subsets[pair.subset].append(pair)
    named = {
        "reward_model/accuracy": _accuracy(pairs),
        **_agreement(pairs),
        **_calibration(pairs),
        **_baselines(pairs),
    }
    rows = [("all", len(pairs), *_row(pairs))]
    if len(subsets) > 1:
        rows += [(name or "(none)", len(own), *_row(own)) for name, own in sorted(subsets.items())]
    columns = ("subset", "pairs", "accuracy", "low", "high", "pick the longer", "pick the shorter")
    return Accuracy(
        tuple(e.named(n) for n, e in named.items()),
        (Table(title="Reward-model accuracy", columns=columns, rows=tuple(rows)),),
        (f"held-out comparisons: {report}",),
    )


def _pairs(record: Comparison | Ranking, margins: Tensor, ranks: Sequence[int]) -> list[_Pair]:
    match record:
        case Comparison():
            texts: Sequence[str] = (record.chosen, record.rejected)
        case Ranking():
            texts = record.responses
    prompt = record.prompt
    words = [len(text.split()) for text in texts]
    return [
        _Pair(
            float(margins[:, i, j].mean()),
            tuple(margins[:, i, j].tolist()),
            words[i] - words[j],
            prompt.first_user_turn,
            prompt.subset,
        )
        for i, better in enumerate(ranks)
        for j, worse in enumerate(ranks)
        if better < worse
    ]


def _accuracy(pairs: Sequence[_Pair]) -> Estimate:
    return clustered_proportion([p.margin > 0 for p in pairs], [p.group for p in pairs])


def _agreement(pairs: Sequence[_Pair]) -> dict[str, Estimate]:
    """Each member's accuracy, how often all agree, and how often they are right when they do."""
    count = len(pairs[0].members)
    if count < 2:
        return {}
    named = {
        f"reward_model/accuracy/member-{m}": _accuracy(
            [replace(p, margin=p.members[m]) for p in pairs]
        )
        for m in range(count)
    }
    agreed = [len({m > 0 for m in p.members}) == 1 for p in pairs]
    named["reward_model/agreement"] = clustered_proportion(agreed, [p.group for p in pairs])
    unanimous = [p for p, same in zip(pairs, agreed, strict=True) if same]
    if unanimous:
        named["reward_model/accuracy_where_agreed"] = _accuracy(unanimous)
    return named


def _calibration(pairs: Sequence[_Pair]) -> dict[str, Estimate]:
    """Distance of the stated probability that a preference is as it is from how often it is."""
    groups = [p.group for p in pairs]
    if len(set(groups)) < FEWEST:
        return {}
    margins = np.array([p.margin for p in pairs], dtype=np.float64)
    confidence = 1 / (1 + np.exp(-np.abs(margins)))
    right = (margins > 0).astype(np.float64)
    seed = Seed(0).child("calibration")
    found = bootstrap(
        calibration_error, confidence, right, seed=seed, clusters=groups, interval="percentile"
    )
    return {"reward_model/calibration_error": found}


def _baselines(pairs: Sequence[_Pair]) -> dict[str, Estimate]:
    """What "pick the longer" and "pick the shorter" reach; equal lengths are left to a coin."""
    decided = [p for p in pairs if p.longer != 0]
    if not decided:
        return {}
    groups = [p.group for p in decided]
    return {
        "baseline/pick_longer": clustered_proportion([p.longer > 0 for p in decided], groups),
        "baseline/pick_shorter": clustered_proportion([p.longer < 0 for p in decided], groups),
    }


def _row(pairs: Sequence[_Pair]) -> tuple[float, float, float, float, float]:
    estimate = _accuracy(pairs)
    longer = float(np.mean([(p.longer > 0) + 0.5 * (p.longer == 0) for p in pairs]))
    return estimate.value, estimate.low, estimate.high, longer, 1 - longer
