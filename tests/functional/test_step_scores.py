import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.errors import DataError
from fairlead.functional.steps import (
    AGGREGATIONS,
    hard_estimate,
    log_product,
    majority_vote,
    soft_estimate,
    tally,
    weighted_vote,
)

probabilities = st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=12)


def test_reference_values(reference_value) -> None:
    given, expected = reference_value("rm.prm")
    logps = given["step_probs"].log()
    for name, aggregate in AGGREGATIONS.items():
        assert aggregate(logps).item() == pytest.approx(expected[name], rel=1e-8)
    assert log_product(logps).item() == pytest.approx(expected["log_sum"], rel=1e-8)
    correct = given["mc_correct"].bool()
    assert torch.equal(hard_estimate(correct), expected["hard_estimate"])
    assert torch.equal(soft_estimate(correct), expected["soft_estimate"])
    votes = tally(given["answers"], given["solution_scores"].tolist())
    assert votes == pytest.approx(expected["weighted_vote"], rel=1e-8)
    assert weighted_vote(given["answers"], given["solution_scores"].tolist()) == "12"


@given(probabilities)
def test_order_of_the_aggregations(values: list[float]) -> None:
    logps = torch.tensor(values, dtype=torch.float64).log()
    score = {name: aggregate(logps).item() for name, aggregate in AGGREGATIONS.items()}
    assert score["product"] <= score["minimum"] + 1e-12
    assert score["minimum"] <= score["mean"] + 1e-12
    assert score["product"] == pytest.approx(math.prod(values), rel=1e-9, abs=1e-300)
    assert score["last"] == pytest.approx(values[-1])
    longer = torch.cat([logps, torch.tensor([math.log(0.9)], dtype=torch.float64)])
    assert AGGREGATIONS["product"](longer).item() < score["product"]
    assert AGGREGATIONS["minimum"](longer).item() == pytest.approx(min(score["minimum"], 0.9))


def test_a_long_solution_keeps_its_log_product() -> None:
    # 0.5 to the power 2000 underflows; its logarithm does not.
    logps = torch.full((2000,), math.log(0.5), dtype=torch.float64)
    assert AGGREGATIONS["product"](logps).item() == 0.0
    assert log_product(logps).item() == pytest.approx(-2000 * math.log(2))


def test_votes_worked_by_hand() -> None:
    answers = ["7", "12", "7", "12", "9"]
    assert majority_vote(answers) == "7"  # 7 and 12 twice each: the first seen
    assert weighted_vote(answers, [0.1, 0.2, 0.3, 0.4, 0.9]) == "9"
    assert weighted_vote(answers, [1.0] * 5) == "7"
    with pytest.raises(DataError, match="no answer"):
        majority_vote([])
    with pytest.raises(ValueError):
        tally(["7"], [0.5, 0.5])


@given(steps=st.integers(1, 6), rollouts=st.integers(1, 8), seed=st.integers(0, 99))
def test_hard_is_soft_above_zero(steps: int, rollouts: int, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    correct = torch.rand(steps, rollouts, generator=random) < 0.3
    assert torch.equal(hard_estimate(correct), (soft_estimate(correct) > 0).double())
