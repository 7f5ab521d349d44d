"""Packs with shared prompts, cut into microbatches, against plain padded code written out here.

Loss and gradient of SFT, Bradley-Terry, DPO and GRPO as anyone would write them with transformers
and torch: every sequence whole, padded to the longest, all logits made.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, models
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from fairlead.data.batches import microbatches, pack, preference_batch, sequence_batch
from fairlead.data.chat import Item
from fairlead.models.policy import Policy
from fairlead.models.reward_model import RewardModel
from fairlead.objectives import RolloutBatch, Totals
from fairlead.objectives.bradley_terry import BradleyTerry
from fairlead.objectives.dpo import DPO
from fairlead.objectives.grpo import GRPO
from fairlead.objectives.sft import SFT

VOCABULARY, WIDTH = 40, 32
RELATIVE = 1e-5


def llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.2,  # distributions far from uniform
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config)


def tokenizer() -> PreTrainedTokenizerFast:
    words = {f"w{i}": i for i in range(VOCABULARY)}
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel(words, "w0")))


def examples(replies: int) -> list[Item]:
    """Prompts of different lengths, each with so many replies."""
    torch.manual_seed(replies)

    def tokens(low: int, high: int) -> tuple[int, ...]:
        length = int(torch.randint(low, high, ()))
        return tuple(torch.randint(2, VOCABULARY, (length,)).tolist())

    return [
        Item(tokens(3, 30), tuple(tokens(1, 40) for _ in range(replies)), tuple(range(replies)), n)
        for n in range(6)
    ]


@dataclass(frozen=True)
class Padded:
    """Every reply behind its own copy of the prompt, padded on the right."""

    ids: Tensor
    mask: Tensor
    replies: Tensor
    """True where the next token belongs to the reply, [sequence, length - 1]."""


def padded(items: Sequence[Item]) -> Padded:
    rows = [(i.prompt, r) for i in items for r in i.responses]
    longest = max(len(p) + len(r) for p, r in rows)
    ids, mask = (torch.zeros(len(rows), longest, dtype=torch.long) for _ in range(2))
    replies = torch.zeros(len(rows), longest - 1, dtype=torch.bool)
    for row, (prompt, reply) in enumerate(rows):
        ids[row, : len(prompt) + len(reply)] = torch.tensor((*prompt, *reply))
        mask[row, : len(prompt) + len(reply)] = 1
        replies[row, len(prompt) - 1 : len(prompt) + len(reply) - 1] = True
    return Padded(ids, mask, replies)


def logps(model: Any, batch: Padded) -> Tensor:
    """[sequence, length - 1], 0 outside of the replies."""
    logits = model(input_ids=batch.ids, attention_mask=batch.mask).logits
    each = logits[:, :-1].log_softmax(-1).gather(2, batch.ids[:, 1:, None]).squeeze(2)
    return torch.where(batch.replies, each, 0.0)


def assert_equal_work(
    plain: nn.Module, expected: Tensor, ours: nn.Module, parts: Sequence[Callable[[], Tensor]]
) -> None:
    """The same loss, and the same gradient of every weight."""
    expected.backward()
    found = 0.0
    for part in parts:
        loss = part()
        loss.backward()
        found += float(loss.detach())
    assert found == pytest.approx(float(expected.detach()), rel=RELATIVE)
    theirs = dict(plain.named_parameters())
    whole = torch.stack([p.grad.norm() for p in theirs.values() if p.grad is not None]).norm()
    compared = 0
    for name, parameter in ours.named_parameters():
        if name in theirs and theirs[name].grad is not None:
            gap = (parameter.grad - theirs[name].grad).norm()
            assert gap <= RELATIVE * theirs[name].grad.norm() + RELATIVE * whole / 100, name
            compared += 1
    assert compared == sum(p.grad is not None for p in theirs.values())


def steps_of(model: Any, objective: Any, batches: Sequence[Any]) -> list[Callable[[], Tensor]]:
    """What the loop does: totals of the whole step, then the loss of each microbatch."""
    totals = sum((batch.totals() for batch in batches), Totals())
    assert len(batches) > 1
    return [
        lambda b=b: objective(model(b.packed, objective.needs), b, totals).value for b in batches
    ]


def test_sft() -> None:
    items, plain = examples(1), llama()
    policy = Policy(copy.deepcopy(plain), tokenizer())
    batch = padded(items)
    expected = -logps(plain, batch).sum() / batch.replies.sum()
    groups = [sequence_batch(group) for group in microbatches(items, 120)]
    assert_equal_work(plain, expected, policy.model, steps_of(policy, SFT(), groups))


def test_dpo() -> None:
    items, plain = examples(2), llama()
    policy = Policy(copy.deepcopy(plain), tokenizer())
    known = torch.linspace(-60, -20, 2 * len(items)).view(-1, 2)
    ratios = logps(plain, padded(items)).sum(1).view(-1, 2) - known
    expected = -F.logsigmoid(0.1 * (ratios[:, 0] - ratios[:, 1])).mean()
    groups = [
        preference_batch(group, reference=lambda item: known[item.record].tolist())
        for group in microbatches(items, 160)
    ]
    assert_equal_work(plain, expected, policy.model, steps_of(policy, DPO(beta=0.1), groups))


def test_bradley_terry() -> None:
    items, plain = examples(2), llama()
    head = torch.linspace(-1, 1, WIDTH)
    model = RewardModel(copy.deepcopy(plain).base_model, tokenizer())
    model.head.weight.data.copy_(head)
    batch = padded(items)
    hidden = plain.model(input_ids=batch.ids, attention_mask=batch.mask).last_hidden_state
    last = batch.mask.sum(1) - 1
    scores = (hidden[torch.arange(len(last)), last] @ head).view(-1, 2)
    expected = -F.logsigmoid(scores[:, 0] - scores[:, 1]).mean()
    groups = [preference_batch(group) for group in microbatches(items, 160)]
    steps = steps_of(model, BradleyTerry(), groups)
    assert_equal_work(plain.model, expected, model.model, steps)


def test_grpo() -> None:
    items, plain = examples(4), llama()
    policy = Policy(copy.deepcopy(plain), tokenizer())
    batch = padded(items)
    torch.manual_seed(1)
    # The sampler was another policy, far enough for some ratios to be clipped.
    old = logps(plain, batch).detach() + 0.3 * torch.randn(batch.replies.shape)
    scores = torch.randn(len(items), 4)
    spread = (scores - scores.mean(1, keepdim=True)) / (scores.std(1, keepdim=True) + 1e-4)
    advantages = spread.view(-1, 1).expand(batch.replies.shape)
    ratio = (logps(plain, batch) - old).exp()
    worst = torch.minimum(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages)
    worst = torch.where(batch.replies, worst, 0.0)
    expected = -(worst.sum(1) / batch.replies.sum(1)).mean()
    owner = torch.arange(len(items)).repeat_interleave(4)

    def rollouts(group: Sequence[Item]) -> RolloutBatch:
        rows = torch.cat([(owner == item.record).nonzero().squeeze(1) for item in group])
        cut = batch.replies[rows]
        packed = pack(group)
        nothing = torch.zeros(len(packed.rows))
        return RolloutBatch(
            packed=packed,
            old_logps=old[rows][cut],
            advantages=advantages[rows][cut],
            returns=nothing,
            old_values=nothing,
            pretraining=nothing.bool(),
        )

    groups = [rollouts(group) for group in microbatches(items, 300)]
    assert_equal_work(plain, expected, policy.model, steps_of(policy, GRPO(), groups))
