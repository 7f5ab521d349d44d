import math

import pytest
import torch
from pair_batches import gradient_at, pairs_of, value_at

from fairlead.objectives.cpo import CPO, cpo_preference_loss
from fairlead.objectives.simpo import SimPO


def test_reference_losses(reference_value) -> None:
    given, expected = reference_value("pref.cpo")
    chosen, rejected = given["sum_logp_chosen"], given["sum_logp_rejected"]
    preference = cpo_preference_loss(chosen, rejected, beta=given["beta"]).mean().item()
    assert preference == pytest.approx(expected["preference"], rel=1e-8)
    assert preference + given["alpha"] * given["nll_chosen"] == pytest.approx(
        expected["total"], rel=1e-8
    )
    made = pairs_of(chosen, rejected)  # of one token: the likelihood term is -sum
    assert value_at(CPO(beta=given["beta"], alpha=0.0), made) == pytest.approx(
        expected["preference"], rel=1e-8
    )
    assert value_at(CPO(beta=given["beta"], alpha=0.5), made) == pytest.approx(
        expected["preference"] - 0.5 * chosen.mean().item(), rel=1e-8
    )


def test_worked_by_hand() -> None:
    # -6 over 3 tokens against -8: ln 2 less nothing at beta -> 0, and a likelihood of 2 per token.
    made = pairs_of(torch.tensor([-6.0]), torch.tensor([-8.0]), lengths=([3], [2]))
    assert value_at(CPO(beta=1e-12, alpha=0.25), made) == pytest.approx(math.log(2) + 0.5)
    assert value_at(CPO(beta=0.5, alpha=1.0), made) == pytest.approx(0.3132617 + 2.0, rel=1e-6)


def test_the_rejected_reply_has_no_likelihood_term() -> None:
    made = pairs_of(torch.tensor([-6.0]), torch.tensor([-6.0]), lengths=([2], [3]))
    gradient = gradient_at(CPO(beta=0.1, alpha=1.0), made)
    assert gradient.tolist() == pytest.approx([-0.05 - 0.5, 0.05])


def test_replies_of_one_token_without_likelihood_are_simpo_without_margin() -> None:
    made = pairs_of(torch.tensor([-6.0, -2.0]), torch.tensor([-4.0, -9.0]))
    simple = value_at(SimPO(beta=0.7, gamma=0.0), made)
    assert value_at(CPO(beta=0.7, alpha=0.0), made) == pytest.approx(simple, rel=1e-6)
