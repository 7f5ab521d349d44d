from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from fairlead.core.seeds import Seed
from fairlead.data.batches import preference_batch
from fairlead.data.chat import Item
from fairlead.objectives import PreferenceBatch, Scores, Totals
from fairlead.objectives.comparisons import bradley_terry_loss
from fairlead.objectives.odin import Moments, Odin, correlation_part, reply_lengths


def of_lengths(*pairs: tuple[int, int]) -> PreferenceBatch:
    items = [Item((1,), ((2,) * a, (2,) * b), (0, 1)) for a, b in pairs]
    return preference_batch(items)


def step_totals(objective: Odin, scores: Scores, batch: PreferenceBatch) -> Totals:
    sums = objective.statistics(scores, batch)
    return replace(batch.totals(), statistics=tuple(sums.tolist()))


def random_scores(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    drawn = torch.from_numpy(Seed(seed).numpy().normal(size=(2, count)))
    return drawn[0].requires_grad_(), drawn[1].requires_grad_()


def test_correlations_are_those_of_numpy() -> None:
    batch = of_lengths((3, 1), (7, 2), (4, 9))
    quality, length = random_scores(6)
    scores = Scores(rewards=quality, length_rewards=length)
    loss = Odin()(scores, batch, step_totals(Odin(), scores, batch))
    lengths = reply_lengths(batch.packed).numpy()
    for name, part in (("quality", quality), ("length", length)):
        expected = np.corrcoef(part.detach().numpy(), lengths)[0, 1]
        metric = loss.metrics[f"reward/length_correlation_{name}"].value
        assert metric == pytest.approx(expected, rel=1e-12)


def test_value_and_gradient_are_those_of_the_correlation_itself() -> None:
    batch = of_lengths((3, 1), (7, 2), (4, 9))
    quality, length = random_scores(6, seed=3)
    scores = Scores(rewards=quality, length_rewards=length, head_overlap=torch.tensor(0.25))
    loss = Odin()(scores, batch, step_totals(Odin(), scores, batch)).value
    got = torch.autograd.grad(loss, (quality, length))
    y = reply_lengths(batch.packed).double()

    def rho(x: Tensor) -> Tensor:
        return torch.corrcoef(torch.stack([x, y]))[0, 1]

    both = quality + length
    preferred = bradley_terry_loss(both[batch.better] - both[batch.worse]).mean()
    plain = preferred + rho(quality).abs() - rho(length) + 0.25
    assert loss.item() == pytest.approx(plain.item(), rel=1e-10)
    for mine, expected in zip(got, torch.autograd.grad(plain, (quality, length)), strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-9, atol=1e-12)


def test_replies_of_one_length_correlate_with_nothing() -> None:
    batch = of_lengths((3, 3), (3, 3))
    quality, length = random_scores(4)
    scores = Scores(rewards=quality, length_rewards=length)
    loss = Odin()(scores, batch, step_totals(Odin(), scores, batch))
    assert loss.metrics["reward/length_correlation_quality"].value == 0.0
    both = (quality + length).detach()
    plain = bradley_terry_loss(both[batch.better] - both[batch.worse]).mean()
    assert loss.value.item() == pytest.approx(plain.item(), rel=1e-12)


def test_parts_of_a_step_sum_to_its_correlation() -> None:
    x, y = torch.linspace(-1, 2, 9).double() ** 2, torch.arange(9).double()
    sums = [float(s.sum()) for s in (torch.ones(9), x, y, x * x, y * y, x * y)]
    moments = Moments(*sums)
    parts = [correlation_part(x[i : i + 2], y[i : i + 2], moments).item() for i in range(0, 9, 2)]
    assert sum(parts) == pytest.approx(moments.correlation, rel=1e-12)
    assert moments.correlation == pytest.approx(np.corrcoef(x.numpy(), y.numpy())[0, 1])


def test_orthogonality_counts_once_however_the_step_is_cut() -> None:
    whole, first, second = of_lengths((3, 1), (7, 2)), of_lengths((3, 1)), of_lengths((7, 2))
    objective = Odin(length_coefficient=0.0)
    zeros = torch.zeros(4, dtype=torch.float64)
    scores = Scores(rewards=zeros, length_rewards=zeros)
    totals = step_totals(objective, scores, whole)
    half = Scores(
        rewards=zeros[:2], length_rewards=zeros[:2], head_overlap=torch.tensor(0.5).double()
    )
    both = objective(half, first, totals).value + objective(half, second, totals).value
    assert both.item() == pytest.approx(0.6931471806 + 0.5, rel=1e-9)
