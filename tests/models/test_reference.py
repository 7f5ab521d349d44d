"""Reference log-probabilities: right, in order, and computed once."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import PAIRS, items, letters, make, padded_logps

from fairlead.data.chat import Item
from fairlead.models.loading import Lora
from fairlead.models.policy import Policy
from fairlead.models.reference import reference_logps, sequence_logps

CHOSEN = [*PAIRS, *items([(9, (30, 2, 5)), (3, (2, 4))], seed=1)]


def counting(policy: Policy) -> list[Any]:
    """A list that grows by one whenever the policy is called."""
    calls: list[Any] = []
    policy.register_forward_hook(lambda *_: calls.append(1))
    return calls


def by_hand(model: Any, chosen: list[Item]) -> list[list[float]]:
    with torch.no_grad():
        sums = iter([part.sum().item() for part in padded_logps(model, chosen)])
    return [[next(sums) for _ in item.responses] for item in chosen]


@pytest.mark.parametrize("tokens", [1, 40, 1000])
def test_equals_the_models_own_sums_whatever_the_packs(tmp_path: Path, tokens: int) -> None:
    policy = Policy(make("llama"), letters()).eval()
    got = reference_logps(policy, CHOSEN, tokens=tokens, cache=tmp_path)
    for mine, expected in zip(got, by_hand(make("llama"), CHOSEN), strict=True):
        assert mine == pytest.approx(expected, rel=1e-5)


def test_second_time_the_model_is_not_called(tmp_path: Path) -> None:
    policy = Policy(make("llama"), letters()).eval()
    calls = counting(policy)
    first = reference_logps(policy, CHOSEN, tokens=1, cache=tmp_path)
    assert len(calls) == len(CHOSEN)  # nothing fits into a pack of one token with another
    assert reference_logps(policy, CHOSEN, tokens=1000, cache=tmp_path) == first
    assert len(calls) == len(CHOSEN)


def test_other_weights_or_other_tokens_are_computed_anew(tmp_path: Path) -> None:
    policy = Policy(make("llama"), letters()).eval()
    calls = counting(policy)
    first = reference_logps(policy, PAIRS, tokens=1000, cache=tmp_path)
    turned = reference_logps(policy, PAIRS[::-1], tokens=1000, cache=tmp_path)
    assert len(calls) == 2
    for mine, other in zip(first, turned[::-1], strict=True):
        assert mine == pytest.approx(other, rel=1e-5)
    policy.model.model.norm.weight.data *= 1.5
    changed = reference_logps(policy, PAIRS, tokens=1000, cache=tmp_path)
    assert len(calls) == 3 and changed[0][0] != pytest.approx(first[0][0], rel=1e-3)


def test_adapters_are_off(tmp_path: Path) -> None:
    policy = Policy(Lora(rank=4).wrap(make("llama")), letters()).eval()
    for name, parameter in policy.named_parameters():
        if "lora_B" in name:
            parameter.data += 0.3
    got = reference_logps(policy, PAIRS, tokens=1000, cache=tmp_path)
    for mine, expected in zip(got, by_hand(make("llama"), PAIRS), strict=True):
        assert mine == pytest.approx(expected, rel=1e-5)


def test_trained_adapters_count_for_the_policy_but_not_for_the_reference(tmp_path):
    policy = Policy(Lora(rank=4).wrap(make("llama")), letters()).eval()
    for name, weight in policy.named_parameters():
        if "lora_B" in name:
            torch.nn.init.constant_(weight, 0.1)
    items = [Item((1, 5, 6), ((7, 8, 2), (9, 2)))]
    adapted = sequence_logps(policy, items, tokens=64)
    reference = reference_logps(policy, items, tokens=64, cache=tmp_path)
    with policy.as_reference():
        plain = sequence_logps(policy, items, tokens=64)
    assert reference[0] == pytest.approx(plain[0], abs=1e-5)
    assert abs(adapted[0][0] - plain[0][0]) > 1e-3


def test_adapters_start_the_same_whatever_was_drawn_before():
    starts = []
    for draws in (0, 3):
        torch.rand(draws)
        model = Lora(rank=4, seed=5).wrap(make("llama"))
        starts.append([p.detach() for n, p in model.named_parameters() if "lora_A" in n])
    assert all(torch.equal(a, b) for a, b in zip(*starts, strict=True))
