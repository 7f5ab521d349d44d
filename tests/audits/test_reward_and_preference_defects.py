"""The planted defects of rewards and of preference data are found, and their twins pass."""

import pytest
from scipy.stats import binom

from fairlead.audits.planted import CASES, flagged
from fairlead.core.seeds import Seed

NAMES = (
    "flipped labels",
    "reward that depends on its batch",
    "over-confident reward",
    "length-hacked reward model",
    "reward that pays for agreement",
    "reward that stumbles over form",
    "bundled keyword",
    "a group left out",
    "leaked test prompts",
    "test known by heart",
)


def _most_alarms(runs: int) -> int:
    """Alarms that a rate of one in twenty stays within, but for one run in a hundred."""
    return int(binom.ppf(0.99, runs, 0.05))


@pytest.mark.parametrize("name", NAMES)
def test_the_defect_is_found(name: str) -> None:
    assert all(flagged(CASES[name].planted(Seed(i))) for i in range(3))


@pytest.mark.parametrize("name", NAMES)
def test_the_twin_raises_no_alarm(name: str) -> None:
    alarms = sum(flagged(CASES[name].clean(Seed(100 + i))) for i in range(8))
    assert alarms <= _most_alarms(8)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_alarms_over_many_runs(name: str) -> None:
    assert sum(flagged(CASES[name].planted(Seed(i))) for i in range(20)) >= 18
    alarms = sum(flagged(CASES[name].clean(Seed(100 + i))) for i in range(100))
    assert alarms <= _most_alarms(100)
