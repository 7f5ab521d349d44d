"""Linear probes that do not flatter: groups apart, settings chosen inside, shuffled labels beside.

L2-logistic probes on standardised features. Items of one group are never on both sides of a split,
and the penalty is chosen by folds within the training side (nested cross-validation).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairlead.core.errors import DataError
from fairlead.core.seeds import Seed
from fairlead.stats.arrays import Clusters, codes, same_length
from fairlead.stats.monitors import auroc

PENALTIES = (0.01, 0.1, 1.0)
"""Inverse strengths (C) of the L2 penalty to choose from."""


@dataclass(frozen=True)
class Probe:
    """What a probe reads off features."""

    scores: NDArray[np.float64]
    """[item] log-odds by a probe that saw neither the item nor its group."""
    accuracy: float
    """Share of items on the right side, both labels counting the same."""
    auroc: float
    control: float
    """Accuracy of the same probe on labels shuffled between groups."""

    @property
    def selectivity(self) -> float:
        """Accuracy above that on shuffled labels. Hewitt and Liang 2019, arXiv:1909.03368."""
        return self.accuracy - self.control


def probe(
    features: NDArray[np.float64],
    labels: NDArray[np.bool_],
    groups: Clusters | None,
    seed: Seed,
    *,
    folds: int = 5,
) -> Probe:
    """Scores every item by a probe fitted on the other folds' groups.

    Args:
        features: [item, feature].
        labels: [item].
        groups: [item] key; items of one key stay together. None where all are independent.
        seed: of the folds and of the shuffled labels.
        folds: of both the outer and the inner split.

    Raises:
        DataError: fewer groups of a label than folds.
    """
    same_length(features=features, labels=labels)
    keys = codes(groups, len(labels))
    places = _folds(labels, keys, folds, seed.child("folds"))
    scores = _out_of_fold(features, labels, keys, places, folds)
    shuffled = _shuffled(labels, keys, seed.child("control"))
    control = _out_of_fold(features, shuffled, keys, places, folds)
    return Probe(
        scores=scores,
        accuracy=_balanced(scores, labels),
        auroc=auroc(scores, labels),
        control=_balanced(control, shuffled),
    )


def permutation_p(
    features: NDArray[np.float64],
    labels: NDArray[np.bool_],
    groups: Clusters | None,
    seed: Seed,
    *,
    folds: int = 5,
    permutations: int = 50,
) -> float:
    """Chance of an AUROC as high with labels shuffled between groups, counting the one seen.

    The penalty is the middle one throughout, for the seen labels too.
    """
    keys = codes(groups, len(labels))

    def read(own: NDArray[np.bool_]) -> float:
        places = _folds(own, keys, folds, seed.child("folds"))
        middle = (PENALTIES[len(PENALTIES) // 2],)
        return auroc(_out_of_fold(features, own, keys, places, folds, middle), own)

    seen = read(labels)
    null = [read(_shuffled(labels, keys, seed.child("null", i))) for i in range(permutations)]
    return (1 + sum(value >= seen for value in null)) / (1 + permutations)


def direction(features: NDArray[np.float64], labels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Unit vector along which a probe on all items reads the label, in the features' own units.

    Raises:
        DataError: all labels are the same.
    """
    if labels.all() or not labels.any():
        raise DataError(
            "no direction tells one label",
            expected="items with either label",
            got=f"{int(labels.sum())} of {len(labels)}",
            remedy="give more items",
        )
    centre, scale = features.mean(0), features.std(0)
    scale = np.where(scale > 0, scale, 1.0)
    fitted = _fit((features - centre) / scale, labels, PENALTIES[len(PENALTIES) // 2])
    weights = fitted.coef_[0] / scale
    return weights / np.linalg.norm(weights)


def _folds(
    labels: NDArray[np.bool_], keys: NDArray[np.int64], folds: int, seed: Seed
) -> NDArray[np.int64]:
    """[item] its fold: groups are dealt out in random order, those with more positives first."""
    count = int(keys.max()) + 1
    share = np.bincount(keys, labels, count) / np.bincount(keys, minlength=count)
    fewest = min(int((share > 0).sum()), int((share < 1).sum()))
    if fewest < 2 * folds:
        raise DataError(
            "too few groups for a probe",
            expected=f"at least {2 * folds} groups with each label",
            got=str(fewest),
            remedy="give more items, or items that are grouped more finely",
        )
    order = seed.numpy().permutation(count)
    order = order[np.argsort(-share[order], kind="stable")]
    place = np.empty(count, dtype=np.int64)
    place[order] = np.arange(count) % folds
    return place[keys]


def _out_of_fold(
    features: NDArray[np.float64],
    labels: NDArray[np.bool_],
    keys: NDArray[np.int64],
    places: NDArray[np.int64],
    folds: int,
    penalties: tuple[float, ...] = PENALTIES,
) -> NDArray[np.float64]:
    scores = np.zeros(len(labels))
    for fold in range(folds):
        inside = places != fold
        chosen = _chosen(features[inside], labels[inside], places[inside], penalties)
        scores[~inside] = _scored(features, labels, inside, ~inside, chosen)
    return scores


def _chosen(
    features: NDArray[np.float64],
    labels: NDArray[np.bool_],
    places: NDArray[np.int64],
    penalties: tuple[float, ...],
) -> float:
    """The penalty with the least log-loss on the folds that are left."""
    if len(penalties) == 1:
        return penalties[0]
    losses = [0.0] * len(penalties)
    signs = np.where(labels, -1.0, 1.0)
    for fold in np.unique(places):
        inside = places != fold
        for i, penalty in enumerate(penalties):
            found = _scored(features, labels, inside, ~inside, penalty)
            losses[i] += float(np.logaddexp(0, signs[~inside] * found).sum())
    return penalties[int(np.argmin(losses))]


def _scored(
    features: NDArray[np.float64],
    labels: NDArray[np.bool_],
    fit: NDArray[np.bool_],
    score: NDArray[np.bool_],
    penalty: float,
) -> NDArray[np.float64]:
    centre, scale = features[fit].mean(0), features[fit].std(0)
    scale = np.where(scale > 0, scale, 1.0)
    known, asked = (features[fit] - centre) / scale, (features[score] - centre) / scale
    if len(set(labels[fit].tolist())) < 2:
        return np.zeros(int(score.sum()))
    if known.shape[1] > known.shape[0]:
        # A penalised fit lies in the span of its items: turned there it is smaller, not another.
        turn = np.linalg.svd(known, full_matrices=False)[2].T
        known, asked = known @ turn, asked @ turn
    return _fit(known, labels[fit], penalty).decision_function(asked)


def _fit(features: NDArray[np.float64], labels: NDArray[np.bool_], penalty: float):
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=penalty, class_weight="balanced", solver="lbfgs", max_iter=500)
    return model.fit(features, labels)


def _shuffled(labels: NDArray[np.bool_], keys: NDArray[np.int64], seed: Seed) -> NDArray[np.bool_]:
    """Labels exchanged between groups of one size; within a group they keep together."""
    shuffled = labels.copy()
    sizes = np.bincount(keys)
    draws = seed.numpy()
    for size in np.unique(sizes):
        groups = np.flatnonzero(sizes == size)
        members = np.stack([np.flatnonzero(keys == group) for group in groups])
        shuffled[members] = labels[members[draws.permutation(len(members))]]
    return shuffled


def _balanced(scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    right = (scores > 0) == labels
    return float((right[labels].mean() + right[~labels].mean()) / 2)
