"""Activation consistency: by hand, equal prompts, where gradients go, packed and padded."""

import pytest
import torch

from fairlead.core.errors import DataError
from fairlead.data.chat import ChatFormat
from fairlead.data.contrast import ContrastItem, contrast_batch, contrasts
from fairlead.objectives.activation_consistency import ActivationConsistency
from fairlead.objectives.base import Need
from fairlead.objectives.batch import ContrastBatch, Scores
from fairlead.records import Prompt
from small_world import tiny_policy

ITEMS = [
    ContrastItem((1,), ((5, 6, 7), (9, 10, 6, 7)), record=0, shared=2),
    ContrastItem((1, 4), ((5,), (8, 5)), record=1, shared=1),
]
NEEDS = frozenset({Need.ACTIVATIONS})


def _loss(scores: Scores, batch: ContrastBatch):
    return ActivationConsistency()(scores, batch, batch.totals())


def test_rows_are_the_shared_ends() -> None:
    batch = contrast_batch(ITEMS)
    assert batch.packed.input_ids[batch.packed.rows].tolist() == [6, 7, 6, 7, 5, 5]
    assert batch.clean.tolist() == [True, True, False, False, True, False]
    assert batch.totals().rows == 3


def test_by_hand() -> None:
    batch = contrast_batch(ITEMS)
    # Two layers, six rows, width 2: only the second pair and one token of the first differ.
    states = torch.zeros(2, 6, 2)
    states[:, :, 0] = 1.0
    states[0, 3] = torch.tensor([1.0, 3.0])
    states[1, 5] = torch.tensor([3.0, 1.0])
    states.requires_grad_()
    loss = _loss(Scores(activations=states), batch)
    # 9 in one layer and 4 + 1 in the other; the mean over two layers and three pairs of tokens.
    assert loss.value.item() == pytest.approx((9 + 5) / 2 / 3)
    assert loss.metrics["loss/activations"].value == pytest.approx(14 / 6)
    loss.value.backward()
    assert states.grad is not None
    assert states.grad[:, batch.clean].abs().max() == 0
    assert states.grad[0, 3].tolist() == pytest.approx([0.0, 2 * 3 / 6])


def test_equal_prompts_cost_nothing() -> None:
    item = ContrastItem((1, 4), ((5, 6), (5, 6)), shared=2)
    batch = contrast_batch([item])
    assert _loss(tiny_policy()(batch.packed, NEEDS), batch).value.item() < 1e-10


@torch.no_grad()
def test_states_are_the_models_own_packed_and_padded() -> None:
    batch = contrast_batch(ITEMS)
    packed, padded = tiny_policy(), tiny_policy()
    padded.trunk.packs = False
    padded.model.base_model.set_attn_implementation("sdpa")
    ours = packed(batch.packed, NEEDS).activations
    assert ours.shape == (2, 6, 32)
    assert torch.allclose(ours, padded(batch.packed, NEEDS).activations, atol=1e-5)
    out = padded.model.base_model(
        input_ids=torch.tensor([[1, 9, 10, 6, 7]]), output_hidden_states=True
    )
    for layer, states in enumerate(out.hidden_states[1:]):
        assert torch.allclose(ours[layer, 2:4], states[0, 3:], atol=1e-5)


def test_any_split_into_microbatches_has_the_same_gradient() -> None:
    def gradient(groups: list[list[ContrastItem]]) -> torch.Tensor:
        policy = tiny_policy()
        batches = [contrast_batch(group) for group in groups]
        totals = sum((batch.totals() for batch in batches[1:]), batches[0].totals())
        for batch in batches:
            ActivationConsistency()(policy(batch.packed, NEEDS), batch, totals).value.backward()
        grads = [p.grad.flatten() for p in policy.model.parameters() if p.grad is not None]
        return torch.cat(grads)

    whole, split = gradient([ITEMS]), gradient([ITEMS[:1], ITEMS[1:]])
    assert (whole - split).abs().max() < 1e-5 * whole.abs().max()


def test_pairs_become_a_beginning_two_middles_and_a_shared_end() -> None:
    chat = ChatFormat(tiny_policy().tokenizer)
    plain = Prompt.of("what is the capital of france ?")
    wrapped = Prompt.of("i think it is rome . what is the capital of france ?")
    pairs = [(plain, wrapped), (plain, plain)]
    (item,), report = contrasts(pairs, chat, max_length=64)
    one, other = chat.prompt_ids(plain), chat.prompt_ids(wrapped)
    assert (*item.prompt, *item.responses[0]) == one
    assert (*item.prompt, *item.responses[1]) == other
    assert item.responses[0][-item.shared :] == item.responses[1][-item.shared :]
    assert len(item.prompt) + item.shared == len(one)
    assert (report.kept, report.equal, report.apart, report.too_long) == (1, 1, 0, 0)
    with pytest.raises(DataError, match="no pair of prompts") as caught:
        contrasts([(plain, wrapped)], chat, max_length=len(one))
    assert "1 too long" in str(caught.value)
