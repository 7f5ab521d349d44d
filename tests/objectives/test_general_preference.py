import pytest
import torch
from batches import interleaved, pairs, ranked
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.seeds import Seed
from fairlead.objectives import Scores
from fairlead.objectives.comparisons import bradley_terry_loss
from fairlead.objectives.general_preference import (
    GeneralPreference,
    preference_score,
    subspace_scores,
)


def test_reference_values(reference_value) -> None:
    given, expected = reference_value("rm.gpm")
    a, b = given["v_a"], given["v_b"]
    eigenvalues = given["eigenvalues"].expand(len(a), -1)
    each, score = subspace_scores(a, b), preference_score(a, b, eigenvalues)
    torch.testing.assert_close(each, expected["score_per_subspace"], rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(score, expected["score"], rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(
        torch.sigmoid(score / given["tau"]), expected["prob"], rtol=1e-8, atol=1e-14
    )
    batch = pairs(len(a))
    embeddings = torch.stack([a, b], dim=1).flatten(0, 1)
    scores = Scores(embeddings=embeddings, eigenvalues=eigenvalues.repeat_interleave(2, 0))
    loss = GeneralPreference(temperature=given["tau"])(scores, batch, batch.totals())
    assert loss.value.item() == pytest.approx(expected["loss"], rel=1e-8)


@given(seed=st.integers(0, 10**6))
def test_swapping_the_replies_turns_the_sign(seed: int) -> None:
    drawn = torch.from_numpy(Seed(seed).numpy().normal(size=(3, 5, 6)))
    a, b, weights = drawn[0], drawn[1], drawn[2, :, :3].abs()
    torch.testing.assert_close(preference_score(a, b, weights), -preference_score(b, a, weights))
    assert preference_score(a, a, weights).count_nonzero() == 0


def test_one_plane_with_a_constant_is_bradley_terry() -> None:
    rewards = torch.tensor([0.3, -1.1, 2.0, 0.7]).double()
    embeddings = torch.stack([rewards, torch.ones(4).double()], dim=1)
    scores = Scores(embeddings=embeddings, eigenvalues=torch.ones(4, 1).double())
    batch = pairs(2)
    loss = GeneralPreference(temperature=1.0)(scores, batch, batch.totals()).value
    expected = bradley_terry_loss(rewards[0::2] - rewards[1::2]).mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)


def test_a_circle_can_be_fitted_where_one_score_cannot() -> None:
    # Stone, scissors, paper: each beats the next.
    batch = pairs(3)
    spots = torch.tensor([[0.3, 0.1], [-0.2, 0.2], [0.1, -0.3]], requires_grad=True)
    objective = GeneralPreference(temperature=1.0)
    optimizer = torch.optim.Adam([spots], lr=0.1)
    for _ in range(150):
        embeddings = interleaved_rows(spots[[0, 1, 2]], spots[[1, 2, 0]])
        scores = Scores(embeddings=embeddings, eigenvalues=torch.ones(6, 1))
        loss = objective(scores, batch, batch.totals())
        optimizer.zero_grad()
        loss.value.backward()
        optimizer.step()
    assert loss.metrics["reward/accuracy"].value == 1.0
    assert loss.value.item() < 0.1  # one score per reply cannot come below ln 2


def interleaved_rows(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.stack([interleaved(a[:, k], b[:, k]) for k in range(a.shape[1])], dim=1)


def test_a_ranking_counts_once() -> None:
    batch = ranked((0, 1), (0, 1, 2))
    zeros = Scores(embeddings=torch.zeros(5, 2), eigenvalues=torch.ones(5, 1))
    loss = GeneralPreference()(zeros, batch, batch.totals())
    assert loss.value.item() == pytest.approx(0.6931472)
