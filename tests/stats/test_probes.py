"""Probes: what is there is found, what is not is not, groups stay apart."""

import numpy as np
import pytest

from fairlead.core.errors import DataError
from fairlead.core.seeds import Seed
from fairlead.stats.probes import direction, permutation_p, probe

LABELS = np.arange(120) % 2 == 0


def features(lead: float, seed: int = 0, width: int = 6) -> np.ndarray:
    made = Seed(seed).child("features").numpy().normal(size=(len(LABELS), width))
    made[:, 2] += lead * np.where(LABELS, 1, -1)
    return made


def test_finds_what_is_there() -> None:
    found = probe(features(1.5), LABELS, None, Seed(0), folds=3)
    assert found.auroc > 0.95 and found.accuracy > 0.85
    assert abs(found.control - 0.5) < 0.15 and found.selectivity > 0.3
    along = direction(features(1.5), LABELS)
    assert np.linalg.norm(along) == pytest.approx(1.0)
    assert along[2] > 0.9


def test_finds_nothing_in_noise() -> None:
    aurocs = [
        probe(features(0.0, seed), LABELS, None, Seed(seed), folds=3).auroc for seed in range(2)
    ]
    assert 0.35 < np.mean(aurocs) < 0.62


def test_more_features_than_items_are_the_same_fit_turned() -> None:
    wide = np.concatenate([features(1.5), np.zeros((120, 300))], axis=1)
    few = probe(features(1.5), LABELS, None, Seed(0), folds=3)
    many = probe(wide, LABELS, None, Seed(0), folds=3)
    assert many.scores == pytest.approx(few.scores, abs=1e-3)


def test_groups_stay_apart() -> None:
    # Every pair of items shares a group mark and its label: a probe that saw half of the group
    # would read the label off the mark, and there is nothing else to read.
    groups = np.repeat(np.arange(60), 2)
    labels = np.repeat(Seed(1).numpy().permutation(60) < 30, 2)
    marks = np.eye(60)[groups] * 5
    leaky = probe(marks, labels, None, Seed(0), folds=3)
    honest = probe(marks, labels, groups.tolist(), Seed(0), folds=3)
    assert leaky.auroc > 0.9
    assert honest.auroc < 0.6


def test_permutation_p() -> None:
    def p_of(lead: float) -> float:
        return permutation_p(features(lead), LABELS, None, Seed(0), permutations=9, folds=3)

    assert p_of(1.0) == pytest.approx(0.1)
    assert p_of(0.0) > 0.1


def test_too_few_groups() -> None:
    with pytest.raises(DataError, match="one label"):
        direction(features(1.0), LABELS | True)
    with pytest.raises(DataError, match="too few groups"):
        probe(features(1.0), np.arange(120) < 4, None, Seed(0))
