from dataclasses import replace
from math import nan

import pytest
import torch
from batches import pairs

from fairlead.objectives import Scores
from fairlead.objectives.multi_objective import MultiObjective, rating_errors


def test_worked_by_hand() -> None:
    # Scores 1 and 0: -ln sigmoid(1) = 0.313262. Errors: (1 - 0)^2 and (2 - 0)^2 average 2.5 for
    # the first reply; the second is rated in one dimension: (3 - 1)^2 = 4. Mean of both: 3.25.
    batch = pairs(1)
    batch = replace(batch, ratings=torch.tensor([[0.0, 0.0], [nan, 1.0]]).double())
    scores = Scores(
        rewards=torch.tensor([1.0, 0.0]).double(),
        dimensions=torch.tensor([[1.0, 2.0], [5.0, 3.0]]).double(),
    )
    loss = MultiObjective(regression=0.5)(scores, batch, batch.totals())
    assert loss.value.item() == pytest.approx(0.3132616875 + 0.5 * 3.25, rel=1e-9)
    assert loss.metrics["loss/rating_error"].value == pytest.approx(3.25)


def test_unrated_entries_get_no_gradient() -> None:
    dimensions = torch.ones(2, 2, requires_grad=True)
    errors = rating_errors(dimensions, torch.tensor([[nan, 0.0], [nan, nan]]))
    errors.sum().backward()
    assert errors.tolist() == [1.0, 0.0]
    assert dimensions.grad is not None and dimensions.grad.tolist() == [[0.0, 2.0], [0.0, 0.0]]


def test_without_ratings_it_is_bradley_terry() -> None:
    batch = pairs(2)
    rewards = torch.tensor([0.4, -0.3, 1.0, 2.0])
    scores = Scores(rewards=rewards, dimensions=torch.zeros(4, 3))
    expected = -torch.nn.functional.logsigmoid(torch.tensor([0.7, -1.0])).mean()
    loss = MultiObjective()(scores, batch, batch.totals())
    assert loss.value.item() == pytest.approx(expected.item(), rel=1e-6)
    assert "loss/rating_error" not in loss.metrics
