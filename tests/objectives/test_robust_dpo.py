import pytest
import torch
from pair_batches import assert_published, at_reference, published_pairs, value_at

from fairlead.objectives.dpo import dpo_loss
from fairlead.objectives.robust_dpo import RobustDPO, robust_dpo_loss


def test_reference_losses(reference_value) -> None:
    given, expected, made = published_pairs(reference_value)
    objective = RobustDPO(beta=given["beta"], flip_rate=given["epsilon"])
    assert_published(objective, made, expected["robust"]["per_pair"])


def test_ln_2_at_the_reference() -> None:
    assert value_at(RobustDPO(), at_reference()) == pytest.approx(0.6931471806, rel=1e-9)


@pytest.mark.parametrize("flip_rate", [0.05, 0.2, 0.45])
def test_its_mean_over_flipped_labels_is_the_loss_on_clean_ones(flip_rate: float) -> None:
    margin = torch.linspace(-30, 30, 9, dtype=torch.float64)
    as_labelled = robust_dpo_loss(margin, beta=0.2, flip_rate=flip_rate)
    as_flipped = robust_dpo_loss(-margin, beta=0.2, flip_rate=flip_rate)
    mean = (1 - flip_rate) * as_labelled + flip_rate * as_flipped
    torch.testing.assert_close(mean, dpo_loss(margin, beta=0.2))


def test_without_flips_it_is_dpo() -> None:
    margin = torch.linspace(-9, 9, 7, dtype=torch.float64)
    robust = robust_dpo_loss(margin, beta=0.3, flip_rate=0.0)
    torch.testing.assert_close(robust, dpo_loss(margin, beta=0.3))


def test_it_has_no_lower_bound() -> None:
    far = torch.tensor([1e4], dtype=torch.float64)
    assert robust_dpo_loss(far, beta=0.1, flip_rate=0.1).item() == pytest.approx(-125.0)
