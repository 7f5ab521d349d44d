import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import chisquare

from fairlead.core.seeds import Seed
from fairlead.generation.sampling import Sampling, choose, draw, truncated

LOGITS = torch.tensor([0.3, -1.2, 2.0, 0.9, -0.4, 1.4, -3.0, 0.0])
ALMOST_ONE = 1 - 2.0**-53


def tokens_drawn(sampling: Sampling, count: int = 20_000) -> tuple[np.ndarray, torch.Tensor]:
    uniforms = torch.from_numpy(Seed(3).child("draws").numpy().random(count))
    tokens, logps = choose(LOGITS.expand(count, -1), sampling, uniforms)
    assert torch.allclose(
        logps[:50].exp().double(),
        torch.from_numpy(expected_distribution(sampling))[tokens[:50]],
        atol=1e-6,
    )
    return np.bincount(tokens.numpy(), minlength=len(LOGITS)), logps


def expected_distribution(sampling: Sampling) -> np.ndarray:
    """By hand: heat, keep the top k, renormalise, keep the nucleus, renormalise."""
    p = np.exp(LOGITS.double().numpy() / sampling.temperature)
    order = np.argsort(-p)
    p[order[sampling.top_k or len(p) :]] = 0
    p /= p.sum()
    held = 0.0
    for token in order:
        if held >= sampling.top_p:
            p[token] = 0
        held += p[token]
    return p / p.sum()


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({}, 8),
        ({"temperature": 0.7}, 8),
        ({"temperature": 2.0}, 8),
        ({"top_k": 3}, 3),
        ({"top_k": 1}, 1),
        ({"top_k": 50}, 8),
        ({"top_p": 0.8}, 3),
        ({"top_p": 1e-6}, 1),
        ({"top_k": 4, "top_p": 0.8, "temperature": 1.5}, 3),
    ],
)
def test_frequencies_follow_the_truncated_softmax(settings: dict[str, float], kept: int) -> None:
    sampling = Sampling(max_new_tokens=1, **settings)  # pyright: ignore
    counts, _ = tokens_drawn(sampling)
    expected = expected_distribution(sampling)
    assert int((expected > 0).sum()) == kept
    assert counts[expected == 0].sum() == 0
    if kept > 1:
        support = expected > 0
        assert chisquare(counts[support], expected[support] * counts.sum()).pvalue > 0.01


def test_greedy_takes_the_largest_and_reports_it_at_temperature_one() -> None:
    sampling = Sampling(max_new_tokens=1, temperature=0, top_k=2)
    tokens, logps = choose(LOGITS[None], sampling, torch.tensor([0.99], dtype=torch.float64))
    assert tokens.tolist() == [2]
    assert logps.item() == pytest.approx(2.0 - math.log(np.exp(LOGITS.numpy()).sum()), abs=1e-6)


@pytest.mark.parametrize(
    ("top_k", "top_p", "expected"),
    [
        (0, 0.7, [2 / 3, 1 / 3, 0, 0]),
        (0, 0.49, [1, 0, 0, 0]),
        (3, 1.0, [10 / 18, 5 / 18, 3 / 18]),
        # The nucleus is of what top-k left: 0.556 does not hold 0.6, 0.833 does.
        (3, 0.6, [2 / 3, 1 / 3, 0]),
    ],
)
def test_truncation_by_hand(top_k: int, top_p: float, expected: list[float]) -> None:
    logps = torch.tensor([[0.15, 0.5, 0.1, 0.25]], dtype=torch.float64).log()
    ranked, vocabulary = truncated(logps, top_k=top_k, top_p=top_p)
    assert vocabulary[0, :3].tolist() == [1, 3, 0]
    assert ranked.exp()[0].tolist() == pytest.approx(expected)


def test_inverse_cdf_by_hand() -> None:
    logps = torch.tensor([0.25, 0.0, 0.5, 0.25, 0.0]).log().expand(7, -1)
    uniforms = torch.tensor([0.0, 0.2, 0.25, 0.7, 0.75, 0.9, ALMOST_ONE], dtype=torch.float64)
    assert draw(logps, uniforms)[0].tolist() == [0, 0, 2, 2, 3, 3, 3]


@given(
    logits=st.lists(
        st.one_of(st.floats(-80, 80), st.just(-math.inf)), min_size=1, max_size=40
    ).filter(lambda x: max(x) > -math.inf),
    uniform=st.one_of(st.floats(0, ALMOST_ONE), st.sampled_from([0.0, ALMOST_ONE])),
    top_k=st.integers(0, 5),
    top_p=st.sampled_from([1.0, 0.9, 0.3]),
)
def test_no_token_of_probability_zero_is_ever_drawn(
    logits: list[float], uniform: float, top_k: int, top_p: float
) -> None:
    sampling = Sampling(max_new_tokens=1, top_k=top_k, top_p=top_p)
    given_logits = torch.tensor([logits])
    tokens, logps = choose(given_logits, sampling, torch.tensor([uniform], dtype=torch.float64))
    assert given_logits[0, tokens.item()] > -math.inf
    assert math.isfinite(logps.item())


@pytest.mark.parametrize(
    "settings",
    [
        {"max_new_tokens": 0},
        {"temperature": -1},
        {"top_p": 0},
        {"top_p": 1.1},
        {"top_k": -1},
        {"stop": ("",)},
        {"beams": 2},
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Sampling(**{"max_new_tokens": 4, **settings})  # pyright: ignore
