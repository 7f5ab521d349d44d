"""Length-controlled win rates: parity with other fits, symmetry, refusal, coverage."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.optimize import minimize
from scipy.special import expit

from fairlead.core.errors import DataError
from fairlead.core.seeds import Seed
from fairlead.stats.length_control import (
    fit_logistic,
    length_controlled_win_rate,
    overlap,
    raw_win_rate,
)


def _world(seed: int, n: int = 200, constant: float = 0.3, slope: float = 0.8, shift: float = 0.4):
    draws = Seed(seed).numpy()
    gaps = draws.normal(shift, 1, n) * 100
    chances = expit(constant + slope * np.tanh(gaps / gaps.std()))
    return (draws.random(n) < chances) * 1.0, gaps, draws


@pytest.mark.parametrize("seed", range(5))
def test_newton_equals_statsmodels_and_brute_force(seed):
    labels, gaps, draws = _world(seed)
    soft = 0.7 * labels + 0.3 * draws.random(labels.size)
    x = np.column_stack([np.ones_like(gaps), np.tanh(gaps / gaps.std()), draws.normal(size=200)])
    weights = draws.integers(0, 4, (1, 200)).astype(float)

    own = fit_logistic(x[None], soft, weights)[0]

    def loss(b):
        z = x @ b
        return float(weights[0] @ (np.logaddexp(0, z) - soft * z))

    brute = minimize(
        loss,
        np.zeros(3),
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 4000},
    )
    family = sm.families.Binomial()
    library = sm.GLM(soft, x, family=family, freq_weights=weights[0]).fit(tol=1e-12).params
    assert own == pytest.approx(library, abs=1e-6)
    assert own == pytest.approx(brute.x, abs=1e-5)


def test_resamples_are_fitted_together_as_one_by_one():
    labels, gaps, draws = _world(3)
    x = np.column_stack([np.ones_like(gaps), np.tanh(gaps / 100)])[None]
    weights = draws.integers(0, 3, (4, 200)).astype(float)
    together = fit_logistic(x, labels, weights)
    alone = np.concatenate([fit_logistic(x, labels, own[None]) for own in weights])
    assert together == pytest.approx(alone, abs=1e-9)


def test_win_rate_equals_a_brute_force_fit():
    labels, gaps, _ = _world(1)
    found = length_controlled_win_rate(labels, gaps, seed=Seed(0), resamples=100)
    x = np.tanh(gaps / gaps.std())

    def loss(b):
        z = b[0] + b[1] * x
        return float((np.logaddexp(0, z) - labels * z).sum())

    brute = minimize(loss, np.zeros(2), method="BFGS", options={"gtol": 1e-10}).x
    assert found.win_rate().value == pytest.approx(expit(brute[0]), abs=1e-6)
    assert found.slope == pytest.approx(brute[1], abs=1e-5)
    assert found.at([0.0]) == pytest.approx([found.win_rate().value])


def test_swapping_the_models_gives_one_minus():
    labels, gaps, draws = _world(2)
    style = draws.normal(size=(200, 2))
    one = length_controlled_win_rate(labels, gaps, style=style, seed=Seed(4), resamples=200)
    other = length_controlled_win_rate(1 - labels, -gaps, style=-style, seed=Seed(4), resamples=200)
    assert other.win_rate().value == pytest.approx(1 - one.win_rate().value, abs=1e-9)
    assert other.win_rate().low == pytest.approx(1 - one.win_rate().high, abs=1e-9)
    assert other.slope == pytest.approx(one.slope, abs=1e-7)


def test_a_model_against_itself_wins_half():
    found = length_controlled_win_rate(np.full(50, 0.5), np.zeros(50), seed=Seed(0), resamples=100)
    assert found.win_rate().value == 0.5
    # None of 50 differs: up to 1 - 0.025 ** (1 / 50) of all prompts may.
    assert found.win_rate().high == pytest.approx(0.5 + 0.5 * (1 - 0.025 ** (1 / 50)))


def test_wins_by_length_alone_are_taken_out():
    labels, gaps, _ = _world(5, n=2000, constant=0.0, slope=1.5, shift=0.8)
    found = length_controlled_win_rate(labels, gaps, seed=Seed(0), resamples=200).win_rate()
    assert raw_win_rate(labels).low > 0.6
    assert found.low < 0.5 < found.high


def test_separable_data_has_a_finite_fit():
    gaps = np.array([-3.0, -2, -1, 1, 2, 3] * 5)
    found = length_controlled_win_rate((gaps > 0) * 1.0, gaps, seed=Seed(0), resamples=100)
    assert found.win_rate().value == pytest.approx(0.5, abs=1e-6)
    assert 5 < found.slope < 100


def test_lengths_that_do_not_overlap_are_refused():
    assert overlap([1, 2, 3, -1]) == 0.25
    assert overlap([0, 0]) == 1.0
    gaps = np.r_[np.ones(19), -1]
    with pytest.raises(DataError, match="extrapolation") as error:
        length_controlled_win_rate(np.full(20, 0.5), gaps, seed=Seed(0))
    assert "nearly always longer" in error.value.got


def test_preferences_must_be_probabilities():
    with pytest.raises(DataError, match="not probabilities"):
        length_controlled_win_rate([0.5, 1.2], [1.0, -1.0], seed=Seed(0))


def test_whole_prompts_are_resampled():
    labels, gaps, _ = _world(6, n=60)
    prompts = np.arange(60)
    alone = length_controlled_win_rate(labels, gaps, seed=Seed(1), resamples=400).win_rate()
    tripled = length_controlled_win_rate(
        np.tile(labels, 3),
        np.tile(gaps, 3),
        clusters=np.tile(prompts, 3),
        seed=Seed(1),
        resamples=400,
    ).win_rate()
    assert tripled.n == 60
    assert (tripled.low, tripled.high) == pytest.approx((alone.low, alone.high), abs=1e-6)


def test_interval_covers_the_truth():
    truth, hits, runs = expit(0.3), 0, 200
    for seed in range(runs):
        labels, gaps, _ = _world(1000 + seed, n=150)
        found = length_controlled_win_rate(labels, gaps, seed=Seed(seed), resamples=200).win_rate()
        hits += found.low <= truth <= found.high
    # Two standard errors of 200 runs around the 90 to 97 % that are asked for.
    assert 0.90 - 0.03 <= hits / runs <= 0.97 + 0.03
