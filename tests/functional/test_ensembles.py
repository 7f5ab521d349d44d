import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fairlead.functional.ensembles import (
    correlations,
    disagreement,
    ensemble_mean,
    lower_bound,
    most_sceptical,
    spread,
    variance_penalised,
    worst_case,
)

CLOSE = {"rtol": 1e-8, "atol": 1e-9}


def scores(members: int, replies: int, seed: int) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(members, replies, generator=random, dtype=torch.float64)


def test_reference_values(reference_value) -> None:
    given, expected = reference_value("rm.ensemble")
    table, k, penalty = given["rewards_members_by_sample"], given["k"], given["lambda"]
    torch.testing.assert_close(ensemble_mean(table), expected["mean"], **CLOSE)
    torch.testing.assert_close(worst_case(table), expected["wco"], **CLOSE)
    torch.testing.assert_close(lower_bound(table, k=k), expected["lcb"], **CLOSE)
    for unbiased, name in ((False, "uwo_population"), (True, "uwo_unbiased")):
        got = variance_penalised(table, coefficient=penalty, unbiased=unbiased)
        torch.testing.assert_close(got, expected[name], **CLOSE)


def test_worked_by_hand() -> None:
    table = torch.tensor([[1.0, 5.0], [3.0, 5.0]])
    # First reply: mean 2, deviations -1 and 1, so variance 1 over 2 and 2 over 1.
    assert ensemble_mean(table).tolist() == [2.0, 5.0]
    assert worst_case(table).tolist() == [1.0, 5.0]
    assert spread(table, unbiased=False).tolist() == [1.0, 0.0]
    assert lower_bound(table, k=0.5, unbiased=False).tolist() == [1.5, 5.0]
    assert variance_penalised(table, coefficient=0.5).tolist() == pytest.approx([1.0, 5.0])
    assert most_sceptical(table).tolist() == [0, 0]


@pytest.mark.parametrize("unbiased", [True, False])
def test_one_member_is_the_ensemble(unbiased: bool) -> None:
    table = scores(1, 7, seed=0)
    for combined in (
        ensemble_mean(table),
        worst_case(table),
        lower_bound(table, k=3.0, unbiased=unbiased),
        variance_penalised(table, coefficient=3.0, unbiased=unbiased),
    ):
        assert torch.equal(combined, table[0])
    assert disagreement(table, torch.zeros(7, dtype=torch.int64)).tolist() == [0.0] * 7


@given(members=st.integers(2, 6), replies=st.integers(1, 9), seed=st.integers(0, 99))
def test_caution_never_raises_a_score(members: int, replies: int, seed: int) -> None:
    table = scores(members, replies, seed)
    mean = ensemble_mean(table)
    assert bool((worst_case(table) <= mean).all())
    assert bool((lower_bound(table, k=0.5) <= mean).all())
    assert bool((variance_penalised(table, coefficient=0.5) <= mean).all())
    # The two conventions differ by the factor members / (members - 1).
    ratio = spread(table).square() / spread(table, unbiased=False).square()
    torch.testing.assert_close(ratio, torch.full_like(ratio, members / (members - 1)))
    lowest = table.gather(0, most_sceptical(table)[None])[0]
    assert torch.equal(lowest, worst_case(table))


@given(replies=st.integers(2, 6), members=st.integers(2, 4), seed=st.integers(0, 99))
def test_disagreement_against_counting(replies: int, members: int, seed: int) -> None:
    table = scores(members, replies, seed)
    group = torch.arange(replies) % 2
    for i in range(replies):
        rivals = [j for j in range(replies) if j != i and j % 2 == i % 2]
        split = [
            float((table[a, i] > table[a, j]) != (table[b, i] > table[b, j]))
            for j in rivals
            for a in range(members)
            for b in range(members)
            if a != b
        ]
        expected = sum(split) / len(split) if split else 0.0
        assert disagreement(table, group)[i].item() == pytest.approx(expected)


def test_members_that_order_alike_do_not_disagree() -> None:
    table = torch.tensor([[1.0, 2.0, 3.0], [10.0, 40.0, 90.0]])
    assert disagreement(table, torch.zeros(3, dtype=torch.int64)).tolist() == [0.0] * 3
    assert disagreement(-table, torch.zeros(3, dtype=torch.int64)).tolist() == [0.0] * 3
    opposed = torch.tensor([[1.0, 2.0], [2.0, 1.0]])
    assert disagreement(opposed, torch.zeros(2, dtype=torch.int64)).tolist() == [1.0, 1.0]


def test_correlations_of_a_member_its_double_and_its_opposite() -> None:
    one = scores(1, 20, seed=1)[0]
    table = torch.stack([one, 2 * one + 3, -one])
    expected = torch.tensor([[1, 1, -1], [1, 1, -1], [-1, -1, 1]], dtype=torch.float64)
    torch.testing.assert_close(correlations(table), expected)
    assert correlations(one[None]).tolist() == [[pytest.approx(1.0)]]
