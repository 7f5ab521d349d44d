import itertools

import numpy as np
import pytest

from fairlead.core.errors import DataError
from fairlead.core.estimates import Estimate
from fairlead.core.seeds import Seed
from fairlead.stats.reward_scores import (
    absolute,
    beyond_length,
    credit,
    group_gap,
    in_spreads,
    is_best_of,
    one_sided_p,
    ties_score,
    two_sided_p,
)


def test_credit_of_pairs() -> None:
    assert [credit([2.0, 1.0], (0, 1)), credit([1.0, 2.0], (0, 1))] == [1.0, 0.0]
    assert credit([1.0, 1.0], (0, 1)) == 0.5
    assert credit([1.0, 2.0], (1, 0)) == 1.0
    assert np.isnan(credit([1.0, float("nan")], (0, 1)))


def test_credit_of_one_best_reply_is_shared_with_those_that_tie() -> None:
    ranks = (0, 1, 1, 1)
    assert is_best_of(ranks)
    assert credit([3, 1, 2, 0], ranks) == 1.0
    assert credit([3, 3, 2, 0], ranks) == 0.5
    assert credit([3, 3, 3, 3], ranks) == 0.25
    assert credit([2, 3, 1, 0], ranks) == 0.0


def test_chance_is_a_quarter_with_four_replies() -> None:
    random = Seed(0).numpy()
    mean = np.mean([credit(random.normal(size=4), (0, 1, 1, 1)) for _ in range(4000)])
    assert mean == pytest.approx(0.25, abs=0.02)


def test_credit_of_rankings_is_the_share_of_pairs_in_order() -> None:
    random = Seed(1).numpy()
    for _ in range(50):
        scores, ranks = random.integers(0, 4, 5).astype(float), random.integers(0, 3, 5).tolist()
        if len(set(ranks)) < 2 or is_best_of(ranks):
            continue
        pairs = [(i, j) for i, j in itertools.permutations(range(5), 2) if ranks[i] < ranks[j]]
        worth = [(scores[i] > scores[j]) + 0.5 * (scores[i] == scores[j]) for i, j in pairs]
        assert credit(scores, ranks) == pytest.approx(np.mean(worth))


def test_all_ranks_equal_is_refused() -> None:
    with pytest.raises(DataError, match="unequal rank"):
        credit([1.0, 2.0], (0, 0))


def test_score_of_ties_worked_by_hand() -> None:
    # First prompt: right 5 and 4 (spread 1), wrong 1 (margin 3); its twin 6 against 2 (margin 4).
    # Second: right 3 and 1 (spread 2), wrong 2 (margin -1); its twin 0 against 1 (margin -1).
    tied = {"1": ([5, 4], [1]), "2": ([3, 1], [2])}
    single = {"1": ([6], [2, 0]), "2": ([0], [1])}
    found = ties_score(tied, single)
    last = (np.tanh(3 / 1 - 1) + np.tanh(-1 / 2 - 1)) / 2
    expected = 0.3 * 0.5 + 0.3 * 0.5 + 0.2 * 0.5 + 0.2 * 0.5 + 0.01 * last
    assert (found.tied, found.reference) == (0.5, 0.5)
    assert found.score == pytest.approx(expected)


def test_score_of_ties_may_exceed_one() -> None:
    perfect = ties_score({"a": ([100, 99.99], [0])}, {"a": ([100], [0])})
    assert perfect.score == pytest.approx(1.01)


def test_effects_are_in_spreads_whatever_the_scale() -> None:
    random = Seed(2).numpy()
    effects, variances = random.normal(0.5, 1, 300), random.chisquare(1, 300)
    one, other = in_spreads(effects, variances), in_spreads(7 * effects, 49 * variances)
    assert other.value == pytest.approx(one.value)
    assert (other.low, other.high) == pytest.approx((one.low, one.high))
    assert one.value == pytest.approx(effects.mean() / np.sqrt(variances.mean()))


def test_items_that_take_no_edit_only_inform_the_spread() -> None:
    random = Seed(3).numpy()
    effects, variances = random.normal(0.5, 1, 200), random.chisquare(1, 200)
    effects[::2] = np.nan
    found = in_spreads(effects, variances)
    assert found.value == pytest.approx(np.nanmean(effects) / np.sqrt(variances.mean()))
    assert found.n == 100


def test_interval_of_an_effect_covers_it() -> None:
    """True effect 0.3 in spreads; items of one prompt share part of their effect."""
    random = Seed(4).numpy()
    inside = 0
    for _ in range(1000):
        shared = np.repeat(random.normal(size=100), 2)
        effects = 0.6 + 0.8 * shared + random.normal(size=200)
        differences = random.normal(0, 2 * np.sqrt(2), size=200)
        found = in_spreads(effects, differences**2 / 2, clusters=np.repeat(np.arange(100), 2))
        inside += found.low <= 0.3 <= found.high
    assert 0.90 <= inside / 1000 <= 0.97


def test_a_constant_reward_has_no_spread() -> None:
    with pytest.raises(DataError, match="same score"):
        in_spreads(np.zeros(5), np.zeros(5))


def test_tests_of_means_match_scipy() -> None:
    from scipy.stats import ttest_1samp

    values = Seed(5).numpy().normal(0.2, 1, 40)
    assert two_sided_p(values) == pytest.approx(ttest_1samp(values, 0).pvalue)
    assert one_sided_p(values) == pytest.approx(
        ttest_1samp(values, 0, alternative="greater").pvalue
    )
    assert two_sided_p(np.zeros(4)) == 1.0
    assert two_sided_p(np.ones(4)) == 0.0


def test_size_of_a_change() -> None:
    def of(low: float, value: float, high: float) -> tuple[float, float, float]:
        found = absolute(Estimate(value=value, low=low, high=high, n=9, method="by hand"))
        return found.low, found.value, found.high

    assert of(0.1, 0.2, 0.3) == (0.1, 0.2, 0.3)
    assert of(-0.3, -0.2, -0.1) == (0.1, 0.2, 0.3)
    assert of(-0.3, -0.1, 0.1) == (0.0, 0.1, 0.3)


def test_gain_beyond_length_worked_by_hand() -> None:
    # Two bins of length. Short: 1 before, 2 after. Long: 3 before, 4 after; afterwards more are
    # long, so the whole gain is (2 + 3*4)/4 - (3*1 + 3)/4 = 2, of which 1 is not length.
    before, after = [1.0, 1.0, 1.0, 3.0], [2.0, 4.0, 4.0, 4.0]
    assert beyond_length(before, after, [1, 1, 1, 9], [1, 9, 9, 9], bins=2) == pytest.approx(0.5)


def test_gain_that_is_all_length_leaves_nothing() -> None:
    random = Seed(6).numpy()
    old, new = random.integers(10, 50, 400), random.integers(20, 60, 400)
    assert beyond_length(old, new, old, new, bins=50) == pytest.approx(0.0, abs=0.05)
    same = old + 5.0
    assert beyond_length(old, same, old, old) == pytest.approx(1.0)


def test_gap_of_groups_is_welch_with_single_units() -> None:
    from scipy.stats import ttest_ind

    random = Seed(7).numpy()
    values, own = random.normal(size=60), np.arange(60) < 12
    values[own] -= 0.5
    expected = ttest_ind(values[~own], values[own], equal_var=False).confidence_interval(0.95)
    found = group_gap(values, own)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_gap_knows_clusters_across_both_groups() -> None:
    """What all share within a cluster cancels, so the interval is narrower than Welch's."""
    random = Seed(8).numpy()
    shared = np.repeat(random.normal(size=80), 2)
    values, own = shared + 0.1 * random.normal(size=160), np.tile([True, False], 80)
    paired = group_gap(values, own, clusters=np.repeat(np.arange(80), 2))
    apart = group_gap(values, own)
    assert paired.value == pytest.approx(apart.value)
    assert paired.high - paired.low < 0.3 * (apart.high - apart.low)


def test_gap_knows_what_people_share_across() -> None:
    """Everybody judges once, and all who judge one pair say the same: pairs are the units."""
    random = Seed(9).numpy()
    pairs, own = np.repeat(np.arange(200), 4), np.repeat(np.arange(200) < 60, 4)
    values = np.repeat(random.normal(size=200), 4)
    alone, by_pair = group_gap(values, own), group_gap(values, own, clusters=pairs)
    both = group_gap(values, own, across=pairs)
    assert both.high - both.low == pytest.approx(by_pair.high - by_pair.low, rel=0.03)
    assert both.high - both.low > 1.8 * (alone.high - alone.low)
    assert "two-way" in both.method
    people = np.arange(800) // 2
    nested = group_gap(values, own, clusters=people, across=people)
    assert nested.high == pytest.approx(group_gap(values, own, clusters=people).high)


def test_a_gap_takes_two_groups() -> None:
    with pytest.raises(DataError, match="a group and others"):
        group_gap(np.ones(3), np.ones(3, dtype=bool))
