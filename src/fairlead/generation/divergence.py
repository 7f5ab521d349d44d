"""How far sampled replies say that one policy has moved from another."""

# torch leaves much untyped; everything else is strict.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fairlead.data.batches import microbatches, pack
from fairlead.data.chat import Ids, Item
from fairlead.functional.reductions import segment_sum
from fairlead.models.policy import Policy
from fairlead.objectives.base import Need

TOKENS = 8192
"""Tokens computed at once."""


@dataclass(frozen=True)
class Spoken:
    """What a policy says of replies, float32 on the CPU."""

    logps: Float[Tensor, "prompt reply"]
    """Log-probability of each reply, in nats."""
    entropies: Float[Tensor, "prompt reply"]
    """Mean entropy over each reply's tokens, in nats."""


@torch.no_grad()
def spoken(
    policy: Policy,
    prompts: Sequence[Ids],
    replies: Sequence[Sequence[Ids]],
    *,
    temperature: float = 1.0,
) -> Spoken:
    """Log-probabilities and entropies of replies, equally many to each prompt.

    Args:
        policy: who is asked.
        prompts: tokens of each prompt.
        replies: tokens of the replies to each prompt.
        temperature: divides the logits; that of sampling.
    """
    items = [
        Item(prompt, tuple(own), (0,) * len(own), place)
        for place, (prompt, own) in enumerate(zip(prompts, replies, strict=True))
    ]
    each = len(replies[0])
    logps = torch.zeros(len(items), each)
    entropies = torch.zeros_like(logps)
    for group in microbatches(items, TOKENS):
        packed = pack(group, temperature=temperature).to(policy.device)
        rows, count = packed.row_sequence, packed.sequences
        scores = policy(packed, frozenset({Need.LOGPS, Need.ENTROPY}))
        lengths = torch.bincount(rows, minlength=count)
        places = [item.record for item in group]
        logps[places] = segment_sum(scores.logps, rows, count).cpu().view(-1, each)
        entropy = segment_sum(scores.entropy, rows, count) / lengths
        entropies[places] = entropy.cpu().view(-1, each)
    return Spoken(logps, entropies)


def log_ratios(
    policy: Policy,
    reference: Policy | None,
    prompts: Sequence[Ids],
    replies: Sequence[Sequence[Ids]],
    *,
    temperature: float = 1.0,
) -> tuple[Float[Tensor, "prompt reply"], Spoken]:
    """How much likelier each reply is than under the reference, and what the policy says of it.

    Where the policy sampled the replies, the mean of the log-ratios (nats) estimates KL(policy ||
    reference) without bias (k1).

    Args:
        policy: who sampled the replies, as a rule.
        reference: what it is held against; None for a peft policy without its adapters.
        prompts: tokens of each prompt.
        replies: tokens of the replies to each prompt, equally many.
        temperature: that the replies were sampled at.
    """
    own = spoken(policy, prompts, replies, temperature=temperature)
    with policy.as_reference() if reference is None else nullcontext():
        base = spoken(reference or policy, prompts, replies, temperature=temperature)
    return own.logps - base.logps, own
