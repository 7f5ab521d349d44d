"""Both forms of the curve, its peak, and intervals that cover it."""

import numpy as np
import pytest
from scipy.optimize import nnls

from fairlead.core.errors import DataError
from fairlead.core.gates import LEVEL
from fairlead.core.seeds import Seed
from fairlead.stats.over_optimisation import Fit, Form, fit_curve, fit_form, onset

PEAKS: list[tuple[Form, float, float]] = [("best_of_n", 0.8, 0.2), ("rl", 1.2, 0.6)]


def test_peaks_worked_by_hand():
    bon = Fit("best_of_n", 0.8, 0.2, 0.0)
    assert bon.peak_distance == pytest.approx(2.0)
    assert bon.peak_gain == pytest.approx(0.8**2 / (4 * 0.2))
    rl = Fit("rl", 1.2, 0.6, 0.0)
    assert rl.peak_distance == pytest.approx(np.exp(1.0))
    assert rl.peak_gain == pytest.approx(0.6 * np.exp(1.0))
    assert Fit("rl", 1.0, 0.0, 0.0).peak_distance == np.inf


@pytest.mark.parametrize(("form", "a", "b"), PEAKS)
def test_points_on_a_curve_give_it_back(form: Form, a: float, b: float):
    d = np.linspace(0, 4, 9)
    fit = fit_form(d, Fit(form, a, b, 0.0).gain(d), np.ones(9), form)
    assert (fit.a, fit.b) == (pytest.approx(a), pytest.approx(b))
    assert fit.aicc == pytest.approx(2 * 2 + 2 * 2 * 3 / (8 - 3))


@pytest.mark.parametrize("form", ["best_of_n", "rl"])
def test_fits_are_those_of_a_library_for_least_squares_with_bounds(form: Form):
    for seed in range(50):
        draws = np.random.default_rng(seed)
        d, y, e = draws.uniform(0.2, 4, 7), draws.normal(0, 1, 7), draws.uniform(0.5, 2, 7)
        shape = d if form == "best_of_n" else np.log(d)
        design = np.stack([d, -d * shape], axis=1) / e[:, None]
        wanted, left = nnls(design, y / e)
        fit = fit_form(d, y, e, form)
        assert (fit.a, fit.b) == (pytest.approx(wanted[0]), pytest.approx(wanted[1]))
        assert fit.aicc == pytest.approx(left**2 + 4 + 12 / 4)


def world(form: Form, a: float, b: float, seed: int, *, reach: float = 1.6, prompts: int = 200):
    """A path on which gold follows the form, with noise of prompts, of slopes and of replies."""
    draws = np.random.default_rng(seed)
    fit = Fit(form, a, b, 0.0)
    d = np.linspace(0, reach * fit.peak_distance, 9)[:, None]
    kl = d**2 + 0.7 * d * draws.normal(size=(9, prompts))
    gold = fit.gain(d) + draws.normal(size=prompts) + 0.3 * d * draws.normal(size=prompts)
    return kl, gold + draws.normal(0, 1.5, (9, prompts)), fit.peak_distance**2


def test_a_peak_is_stated_only_where_it_was_seen():
    for seed in range(5):
        kl, gold, _ = world("best_of_n", 0.8, 0.2, seed, reach=0.5, prompts=2000)
        curve = fit_curve(kl, gold, seed=Seed(seed), used=8, forms=("best_of_n",))
        assert not curve.seen
        assert curve.peak_kl is None and curve.peak_gain is None
        assert curve.peak_beyond <= curve.reach == pytest.approx(1.0, abs=0.1)
        assert curve.headroom is not None
        assert "upper bound only" in curve.headroom.method
        assert curve.headroom.low == 0 and curve.headroom.high < 1


def test_headroom_is_above_one_behind_the_peak():
    kl, gold, peak = world("rl", 1.2, 0.6, 0, prompts=1000)
    curve = fit_curve(kl, gold, seed=Seed(0), used=8)
    assert curve.headroom is not None
    assert curve.headroom.level == LEVEL
    assert curve.headroom.value == pytest.approx(kl[8].mean() / curve.fit.peak_distance**2)
    assert 1 < curve.headroom.low < kl[8].mean() / peak < curve.headroom.high
    assert fit_curve(kl, gold, seed=Seed(0), used=0).headroom.value == 0


def test_the_form_that_made_the_points_is_chosen():
    for form, a, b in PEAKS:
        kl, gold, _ = world(form, a, b, 1, reach=2.5, prompts=5000)
        assert fit_curve(kl, gold, seed=Seed(0), resamples=100).fit.form == form


def coverage(form: Form, a: float, b: float, runs: int) -> float:
    held = 0
    for seed in range(runs):
        kl, gold, peak = world(form, a, b, seed)
        found = fit_curve(kl, gold, seed=Seed(seed), resamples=1000).peak_kl
        held += found is not None and found.low <= peak <= found.high
    return held / runs


@pytest.mark.parametrize(("form", "a", "b"), PEAKS)
@pytest.mark.slow
def test_intervals_cover_the_peak(form: Form, a: float, b: float):
    assert 0.90 <= coverage(form, a, b, 400) <= 0.97


def test_gold_that_falls_from_the_start_has_its_peak_there():
    d = np.linspace(0, 2, 6)[:, None]
    gold = -(d**2) + np.random.default_rng(0).normal(0, 0.1, (6, 50))
    curve = fit_curve((d**2)[:, 0], gold, seed=Seed(0), forms=("best_of_n",), used=5)
    assert curve.seen and curve.fit.a == 0
    assert curve.headroom is not None and curve.headroom.low > 1
    assert np.isfinite(curve.headroom.high)


def test_onset_is_the_first_point_where_gold_has_fallen_and_the_proxy_risen():
    d = np.linspace(0, 3, 7)[:, None]
    noise = np.random.default_rng(1).normal(0, 0.2, (7, 100))
    gold = Fit("best_of_n", 2.0, 0.8, 0.0).gain(d) + noise
    shuffled = np.random.default_rng(2).permutation(7)
    found = onset((d**2)[shuffled, 0], gold[shuffled], (d + noise)[shuffled])
    assert found is not None
    assert found[0] == pytest.approx(2.0**2)
    assert onset(d[:, 0], gold, gold) is None


def test_too_few_points_or_tables_that_do_not_match_are_refused():
    with pytest.raises(DataError, match="so few points"):
        fit_curve(np.arange(4.0), np.random.default_rng(0).normal(size=(4, 9)), seed=Seed(0))
    with pytest.raises(DataError, match="no curve from these tables"):
        fit_curve(np.zeros((5, 3)), np.zeros((5, 4)), seed=Seed(0))
