"""Packed with shared prompts is the same computation as padded without."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tiny_models import (
    FAMILIES,
    HEAD_IS_MORE,
    LLAMA_LIKE,
    MIXED_SIZES,
    PAIRS,
    RUN_PADDED,
    gemma2,
    items,
    letters,
    llama,
    make,
    padded_logps,
)
from torch import Tensor
from transformers import MistralConfig, MistralForCausalLM

from fairlead.core.errors import ConfigError
from fairlead.data.batches import pack, preference_batch
from fairlead.data.chat import Item
from fairlead.models.policy import Policy
from fairlead.objectives import Need, Scores
from fairlead.objectives.dpo import DPO

LOGPS = frozenset({Need.LOGPS})
MIXED = items(MIXED_SIZES)
RANKINGS = items([(7, (3, 5, 2, 6)), (4, (1, 4, 4, 2))])

every_family = pytest.mark.parametrize("family", FAMILIES)


def both(model: Any) -> tuple[Any, Policy]:
    """The model as transformers runs it, and a policy around a copy."""
    return model, Policy(copy.deepcopy(model), letters()).eval()


def assert_same_logps(family: str, chosen: list[Item], temperature: float = 1.0) -> None:
    model, policy = both(make(family))
    with torch.no_grad():
        expected = torch.cat(padded_logps(model, chosen, temperature))
        got = policy(pack(chosen, temperature=temperature), LOGPS).logps
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


@every_family
def test_packs_where_attention_allows_it(family: str) -> None:
    policy = Policy(make(family), letters())
    assert policy.trunk.packs == (family not in RUN_PADDED)
    assert policy.head_is_linear == (family not in HEAD_IS_MORE)


@every_family
@pytest.mark.parametrize(
    ("chosen", "temperature"),
    [(PAIRS, 1.0), (PAIRS, 0.7), (MIXED, 1.0), (RANKINGS, 1.0)],
    ids=["pairs", "pairs at temperature 0.7", "long and short", "rankings of four"],
)
def test_packed_shared_logps_equal_padded_unshared(
    family: str, chosen: list[Item], temperature: float
) -> None:
    assert_same_logps(family, chosen, temperature)


def dpo_by_hand(logps: list[Tensor], reference: Tensor, beta: float) -> Tensor:
    """Mean over pairs of -log sigmoid(beta * (chosen minus rejected log-ratio))."""
    ratios = torch.stack([part.sum() for part in logps]) - reference
    return -F.logsigmoid(beta * (ratios[0::2] - ratios[1::2])).mean()


def assert_same_gradients(model: torch.nn.Module, policy: Policy) -> None:
    """Each weight's gradient, to 1e-5 of its norm."""
    theirs = dict(model.named_parameters())
    whole = torch.stack([p.grad.norm() for p in theirs.values() if p.grad is not None]).norm()
    for name, parameter in policy.model.named_parameters():
        mine, other = parameter.grad, theirs[name].grad
        assert (mine is None) == (other is None), name
        if mine is not None and other is not None:
            assert (mine - other).norm() <= 1e-5 * other.norm() + 1e-7 * whole, name


@every_family
@pytest.mark.parametrize("chosen", [PAIRS, [i for i in MIXED if len(i.responses) == 2]])
def test_packed_shared_dpo_gradient_equals_padded_unshared(family: str, chosen: list[Item]) -> None:
    model, policy = both(make(family))
    reference = torch.linspace(-30, -20, 2 * len(chosen))

    expected = dpo_by_hand(padded_logps(model, chosen), reference, beta=0.1)
    expected.backward()

    known = iter(reference.tolist())
    batch = preference_batch(chosen, reference=lambda item: [next(known) for _ in item.responses])
    loss = DPO(beta=0.1)(policy(batch.packed, DPO.needs), batch, batch.totals())
    loss.value.backward()

    torch.testing.assert_close(loss.value, expected, rtol=1e-5, atol=0)
    assert_same_gradients(model, policy)


@every_family
def test_unshared_and_shared_packs_agree(family: str) -> None:
    policy = Policy(make(family), letters()).eval()
    with torch.no_grad():
        shared = policy(pack(RANKINGS), LOGPS).logps
        whole = policy(pack(RANKINGS, share_prompts=False), LOGPS).logps
    torch.testing.assert_close(shared, whole, rtol=1e-5, atol=1e-5)


def test_neighbours_in_a_pack_do_not_see_each_other() -> None:
    policy = Policy(make("llama"), letters()).eval()
    with torch.no_grad():
        together = policy(pack(MIXED), LOGPS).logps
        alone = torch.cat([policy(pack([item]), LOGPS).logps for item in MIXED])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def test_entropy_is_that_of_the_models_own_distributions() -> None:
    for family in ("llama", "cohere"):
        model, policy = both(make(family))
        item = PAIRS[0]
        ids = torch.tensor([(*item.prompt, *item.responses[0])])
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, len(item.prompt) - 1 : -1] / 0.8
            expected = torch.distributions.Categorical(logits=logits).entropy()
            packed = pack([Item(item.prompt, item.responses[:1])], temperature=0.8)
            scores = policy(packed, frozenset({Need.LOGPS, Need.ENTROPY}))
        torch.testing.assert_close(scores.entropy, expected, rtol=1e-5, atol=1e-5)


def test_only_what_is_asked_for_is_made() -> None:
    policy = Policy(llama(), letters(), value="shared")
    packed = pack(PAIRS)
    assert policy(packed, frozenset()) == Scores()
    scores = policy(packed, frozenset({Need.VALUES}))
    assert scores.logps is None and scores.entropy is None
    assert scores.values.tolist() == [0.0] * len(packed.rows)  # a fresh head says 0


def test_a_cap_on_logits_is_noticed_at_small_weights() -> None:
    # Fresh weights of 0.02 give logits below 1, where a cap of 30 changes the fourth digit only.
    model = gemma2(attn_logit_softcapping=None, initializer_range=0.02)
    assert not Policy(model, letters()).head_is_linear


def test_sequence_longer_than_the_window_is_refused() -> None:
    torch.manual_seed(0)
    windowed = MistralForCausalLM(MistralConfig(**LLAMA_LIKE, sliding_window=16))
    model, policy = both(windowed.eval())
    fits = items([(8, (4, 8))])
    with torch.no_grad():
        got = policy(pack(fits), LOGPS).logps
        torch.testing.assert_close(got, torch.cat(padded_logps(model, fits)), rtol=1e-5, atol=1e-5)
    with pytest.raises(ConfigError, match="longer than the model's attention window"):
        policy(pack(items([(8, (4, 9))])), LOGPS)


@pytest.mark.parametrize("family", ["gpt2", "opt", "bloom", "llama"])
def test_dropout_is_off_in_training_too(family: str) -> None:
    torch.manual_seed(0)
    model = llama(attention_dropout=0.1) if family == "llama" else FAMILIES[family]()
    policy = Policy(model, letters())
    packed = pack(PAIRS)
    resting = policy.eval()(packed, LOGPS).logps
    first, second = (policy.train()(packed, LOGPS).logps for _ in range(2))
    assert torch.equal(first, second) and torch.equal(first, resting)
