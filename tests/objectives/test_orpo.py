import math

import pytest
import torch
from pair_batches import gradient_at, pairs_of, value_at

from fairlead.objectives.orpo import ORPO, log_odds, odds_ratio_loss


def test_reference_losses(reference_value) -> None:
    given, expected = reference_value("pref.orpo")
    chosen, rejected = given["avg_logp_chosen"], given["avg_logp_rejected"]
    close = {"rtol": 1e-8, "atol": 1e-9}
    torch.testing.assert_close(
        log_odds(chosen) - log_odds(rejected), expected["log_odds_ratio"], **close
    )
    odds = odds_ratio_loss(chosen, rejected)
    torch.testing.assert_close(odds, expected["or_loss"], **close)
    total = given["nll_chosen"] + given["beta"] * odds.mean().item()
    assert total == pytest.approx(expected["total"], rel=1e-8)


def test_reference_values_through_the_objective(reference_value) -> None:
    given, expected = reference_value("pref.orpo")
    chosen, rejected = given["avg_logp_chosen"], given["avg_logp_rejected"]
    lengths = [4, 7, 2], [3, 5, 9]
    sums = [means * torch.tensor(n) for means, n in zip((chosen, rejected), lengths, strict=True)]
    made = pairs_of(*sums, lengths=lengths)
    wanted = -chosen.mean().item() + 0.1 * expected["or_loss"].mean().item()
    assert value_at(ORPO(odds_weight=0.1), made) == pytest.approx(wanted, rel=1e-8)


def test_log_odds_keep_their_digits_at_both_ends() -> None:
    near_one = torch.tensor([-1e-5, -1e-3, -0.5, -0.7, -40.0, -800.0], dtype=torch.float64)
    exact = [x - math.log(-math.expm1(x)) for x in near_one.tolist()]
    assert log_odds(near_one).tolist() == pytest.approx(exact, rel=1e-14)
    single = log_odds(near_one.float())
    assert single.tolist() == pytest.approx(exact, rel=1e-6)


def test_a_certain_reply_has_finite_odds_and_gradient() -> None:
    for dtype in (torch.float32, torch.float64):
        certain = torch.tensor([0.0, -1e-9], dtype=dtype, requires_grad=True)
        odds = log_odds(certain)
        assert odds.tolist() == pytest.approx([-math.log(1e-6)] * 2, rel=5e-3)
        (gradient,) = torch.autograd.grad(odds.sum(), certain)
        assert gradient.tolist() == [0.0, 0.0]


def test_without_the_odds_ratio_it_imitates_the_chosen() -> None:
    made = pairs_of(
        torch.tensor([-6.0, -1.0]), torch.tensor([-4.0, -9.0]), lengths=([3, 2], [1, 1])
    )
    assert value_at(ORPO(odds_weight=0.0), made) == pytest.approx((2.0 + 0.5) / 2)
    gradient = gradient_at(ORPO(odds_weight=0.0), made)
    assert gradient.tolist() == pytest.approx([-1 / 6, 0.0, -1 / 4, 0.0])
