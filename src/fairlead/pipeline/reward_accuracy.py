"""How often a reward model sides with the annotator, beside what length alone would reach."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fairlead.core.estimates import Estimate, NamedEstimate
from fairlead.data.chat import encode
from fairlead.lineage.result import Table
from fairlead.models.reward_model import RewardModel
from fairlead.records import Comparison, Ranking
from fairlead.rewards.model import score_items
from fairlead.stats.proportions import clustered_proportion


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
    longer: float
    """Words of the preferred reply minus words of the other."""
    group: str
    subset: str


def measure(
    model: RewardModel, records: Sequence[Comparison | Ranking], *, max_length: int
) -> Accuracy:
    """Accuracy with its interval, overall and by subset, and two length-only baselines.

    A tied score counts as wrong; pairs of equal length are left out of the baselines (in the table
    they count as half). Intervals are Wilson's with opening prompts as clusters.
    """
    items, report = encode(records, model.chat_format(), max_length=max_length)
    scores = score_items(model, items, tokens=8192)
    pairs: list[_Pair] = []
    for item, own in zip(items, scores, strict=True):
        pairs += _pairs(records[item.record], own.tolist(), item.ranks)
    subsets: dict[str, list[_Pair]] = defaultdict(list)
    for pair in pairs:
        subsets[pair.subset].append(pair)
    named = {"reward_model/accuracy": _accuracy(pairs), **_baselines(pairs)}
    rows = [("all", len(pairs), *_row(pairs))]
    if len(subsets) > 1:
        rows += [(name or "(none)", len(own), *_row(own)) for name, own in sorted(subsets.items())]
    columns = ("subset", "pairs", "accuracy", "low", "high", "pick the longer", "pick the shorter")
    return Accuracy(
        tuple(NamedEstimate(name=n, **e.model_dump()) for n, e in named.items()),
        (Table(title="Reward-model accuracy", columns=columns, rows=tuple(rows)),),
        (f"held-out comparisons: {report}",),
    )


def _pairs(record: Comparison | Ranking, scores: list[float], ranks: Sequence[int]) -> list[_Pair]:
    match record:
        case Comparison():
            texts: Sequence[str] = (record.chosen, record.rejected)
        case Ranking():
            texts = record.responses
    prompt = record.prompt
    words = [len(text.split()) for text in texts]
    return [
        _Pair(scores[i] - scores[j], words[i] - words[j], prompt.first_user_turn, prompt.subset)
        for i, better in enumerate(ranks)
        for j, worse in enumerate(ranks)
        if better < worse
    ]


def _accuracy(pairs: Sequence[_Pair]) -> Estimate:
    return clustered_proportion([p.margin > 0 for p in pairs], [p.group for p in pairs])


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
