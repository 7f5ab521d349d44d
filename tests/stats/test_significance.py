import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep

from fairlead.core.errors import DataError
from fairlead.stats.proportions import beta_posterior, difference_of_proportions, proportion
from fairlead.stats.significance import (
    benjamini_hochberg,
    binomial_test,
    holm,
    share_seen,
    trials_to_see,
)


def test_binomial_by_hand():
    # Nine or more heads of ten: 11 / 1024; as far on either side: twice that.
    assert binomial_test(9, 10, side="greater") == pytest.approx(11 / 1024)
    assert binomial_test(9, 10) == pytest.approx(22 / 1024)
    assert binomial_test(0, 0) == 1.0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
@settings(deadline=None)
def test_corrections_equal_statsmodels(p):
    assert benjamini_hochberg(p) == pytest.approx(multipletests(p, method="fdr_bh")[1])
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_corrections_of_nothing():
    assert benjamini_hochberg([]).tolist() == holm([]).tolist() == []


def test_trials_for_55_percent():
    # ((1.95996 * 0.5 + 0.84162 * sqrt(0.55 * 0.45)) / 0.05)^2 = 782.3
    assert trials_to_see(0.55) == 783
    assert share_seen(783) == pytest.approx(0.55, abs=1e-4)
    assert share_seen(3) == 1.0


def test_that_many_trials_find_it_four_times_in_five():
    hits = np.random.default_rng(0).binomial(783, 0.55, size=4000)
    found = np.mean([binomial_test(int(h), 783) <= 0.05 for h in hits])
    assert found == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_shares_that_no_number_of_trials_finds(share):
    with pytest.raises(DataError, match="no number of trials"):
        trials_to_see(share)


def test_wrong_p_values_are_refused():
    with pytest.raises(DataError, match="from 0 to 1"):
        benjamini_hochberg([0.5, 1.5])
    with pytest.raises(DataError, match="no test"):
        binomial_test(3, 2)


def test_beta_posterior_by_hand():
    # Beta(1 + 2, 1 + 0): density 3 x^2, mean 3/4, quantile q^(1/3).
    found = beta_posterior(2, 2)
    assert (found.value, found.low, found.high) == pytest.approx(
        (0.75, 0.025 ** (1 / 3), 0.975 ** (1 / 3))
    )
    assert beta_posterior(0, 0).value == 0.5
    with pytest.raises(DataError, match="no posterior"):
        beta_posterior(3, 2)


def test_newcombe_equals_statsmodels():
    found = difference_of_proportions(proportion(56, 70), proportion(48, 80))
    expected = confint_proportions_2indep(56, 70, 48, 80, method="newcomb", compare="diff")
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-9)
    assert found.value == pytest.approx(0.2)
