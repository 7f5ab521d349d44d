"""States read by hooks are the model's own, and a direction taken away is gone."""

import numpy as np
import pytest
import torch

from fairlead.models.activations import last_states, without_direction
from fairlead.models.layers import layers_of
from fairlead.models.loading import Lora, fingerprint
from small_world import prompt_ids, prompts, tiny_llama, tiny_policy

PROMPTS = [ids for _, ids in prompt_ids(prompts(7))]


@torch.no_grad()
def expected(index: int) -> np.ndarray:
    """Hidden states behind each layer as transformers gives them; the last comes after a norm."""
    model = tiny_llama().base_model
    out = model(input_ids=torch.tensor([PROMPTS[index]]), output_hidden_states=True)
    return torch.stack([states[0, -1] for states in out.hidden_states[1:-1]]).double().numpy()


@pytest.mark.parametrize("tokens", [30, 8192])
def test_states_are_the_models_own(tokens: int) -> None:
    states = last_states(tiny_policy(), PROMPTS, tokens=tokens)
    assert states.shape == (2, len(PROMPTS), 32)
    for i in range(len(PROMPTS)):
        assert states[:-1, i] == pytest.approx(expected(i), abs=1e-5)


def test_padded_models_give_the_same() -> None:
    packed, padded = tiny_policy(), tiny_policy()
    padded.trunk.packs = False
    padded.model.base_model.set_attn_implementation("sdpa")
    ours, theirs = (last_states(policy, PROMPTS) for policy in (packed, padded))
    assert ours == pytest.approx(theirs, abs=1e-5)


def test_a_direction_is_taken_away_and_comes_back() -> None:
    policy = tiny_policy()
    before, held = fingerprint(policy.model), last_states(policy, PROMPTS)
    along = np.arange(1.0, 33.0)
    with without_direction(policy, 0, along):
        without = last_states(policy, PROMPTS)
    unit = along / np.linalg.norm(along)
    assert without[0] == pytest.approx(held[0] - np.outer(held[0] @ unit, unit), abs=1e-5)
    assert abs(without[1] - held[1]).max() > 1e-4
    assert last_states(policy, PROMPTS) == pytest.approx(held)
    assert fingerprint(policy.model) == before


def test_adapters_have_layers_too() -> None:
    adapted = tiny_policy(lora=Lora(rank=2))
    assert len(layers_of(adapted.model)) == 2
    assert last_states(adapted, PROMPTS) == pytest.approx(last_states(tiny_policy(), PROMPTS))
