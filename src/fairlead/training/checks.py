"""What every run checks about itself before and while it trains."""

# torch and accelerate leave much untyped; everything else is strict.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false, reportMissingTypeStubs=false

import math
from typing import Any

import torch
from torch import nn

from fairlead.core.errors import TrainingError
from fairlead.core.metrics import Mean
from fairlead.models.policy import Policy
from fairlead.objectives.base import Need, Objective
from fairlead.objectives.batch import (
    Packed,
    PreferenceBatch,
    RolloutBatch,
    Totals,
    UnpairedBatch,
)
from fairlead.training.source import Ranks, Step

RATIO_BOUND = 1e-3
"""How far a cached or sampled log-probability may lie from the trainer's own, in nats per token."""

COARSE_RATIO_BOUND = 0.2
"""The same in half precision, where packs of another order round otherwise: in bfloat16 logits of
about 16 lie an eighth apart."""

FIRST_KL = 1e-6
"""Nats per reply, in the k3 estimator, that rounding may give."""


def check_counts(totals: Totals, objective: Objective) -> None:
    """Refuses a step whose masks are empty."""
    need = totals.groups if objective.batch is PreferenceBatch else totals.rows
    if need <= 0:
        raise TrainingError(
            "the first step has nothing to learn from: every mask is empty",
            expected="at least one reply token or comparison",
            remedy="check the data's format and that replies are not cut away by max_length",
        )


def check_ends(step: Step, eos: int, ranks: Ranks) -> None:
    """Refuses data in which no reply ends with EOS: the policy would never learn to stop."""
    own = sum(int((batch.packed.targets == eos).sum()) for batch in step.microbatches)
    if not int(ranks.add(torch.tensor(own))):
        raise TrainingError(
            "no reply in the first step ends with EOS",
            expected=f"token {eos} at the end of replies",
            remedy="raise max_new_tokens, or train (longer) on data whose replies end; "
            "set require_eos: false where endless replies are meant",
        )


@torch.no_grad()
def check_reference(
    policy: Policy, batch: PreferenceBatch | UnpairedBatch, *, is_start: bool
) -> None:
    """At the first step the policy is its reference: the log-ratio must be exactly 0.

    Scores the first microbatch as in training and as the reference; then compares the cached
    reference with the live one, which packing may round differently.
    """
    _check_scored(policy, batch.packed, batch.reference, is_start=is_start)
    if isinstance(batch, UnpairedBatch):
        _check_scored(policy, batch.mismatched, batch.mismatched_reference, is_start=is_start)


def _check_scored(
    policy: Policy, packed: Packed, cached: torch.Tensor | None, *, is_start: bool
) -> None:
    needs = frozenset({Need.LOGPS})
    trained = policy(packed, needs).logps
    with policy.as_reference():
        reference = policy(packed, needs).logps
    gap = float((trained - reference).abs().max())
    if is_start and gap != 0.0:
        raise TrainingError(
            "the policy is not its reference at the first step",
            expected="a log-ratio of exactly 0 on every token",
            got=f"{gap:.3g} nats",
            remedy="fresh adapters must start at zero and dropout must be off; "
            "name the reference if the policy is meant to start elsewhere",
        )
    if cached is not None and is_start:
        check_cached(packed, cached, reference, bound=ratio_bound(policy))


def ratio_bound(policy: Policy) -> float:
    """What the precision of the weights allows."""
    wide = next(policy.model.parameters()).dtype in (torch.float32, torch.float64)
    return RATIO_BOUND if wide else COARSE_RATIO_BOUND


def check_cached(
    packed: Packed, cached: torch.Tensor, reference: torch.Tensor, *, bound: float = RATIO_BOUND
) -> None:
    """The cached sums of replies must be those of the reference's tokens."""
    live = reference.new_zeros(packed.sequences).index_add(0, packed.row_sequence, reference)
    lengths = torch.bincount(packed.row_sequence, minlength=packed.sequences)
    gap = float(((live - cached).abs() / lengths).max())
    if not gap <= bound:
        raise TrainingError(
            "the cached reference log-probabilities do not belong to this model and data",
            expected=f"within {bound} nats per token of a fresh computation",
            got=f"{gap:.3g}",
            remedy="remove the reference cache of this stage and run again",
        )


@torch.no_grad()
def check_ratio(policy: Policy, batch: RolloutBatch) -> None:
    """Before any update the trainer must give its rollouts the log-probabilities they came with."""
    logps = policy(batch.packed, frozenset({Need.LOGPS})).logps
    reply = ~batch.pretraining
    gap = float((logps - batch.old_logps)[reply].abs().max())
    bound = ratio_bound(policy)
    if not gap <= bound:
        raise TrainingError(
            "the ratio of new to old policy is not 1 before the first update",
            expected=f"log-ratios within {bound} nats",
            got=f"{gap:.3g}",
            remedy="dropout, temperature or precision differ between scoring and training",
        )


def check_first_kl(metrics: dict[str, Mean], *, is_start: bool) -> None:
    """The first replies come from the reference itself: k3, never negative, must be 0.

    Up to rounding: the log-probabilities may be those of a sampler that the policy agrees with.
    """
    kl = metrics["policy/kl_k3"].value
    if is_start and not kl <= FIRST_KL:
        raise TrainingError(
            "the policy is not its reference when the first replies are sampled",
            expected=f"policy/kl_k3 of at most {FIRST_KL}",
            got=f"{kl:.3g} nats per reply",
            remedy="the reference must be the starting policy (or the model without its fresh "
            "adapters), scored with the same precision and without dropout",
        )


def check_weights_agree(ranks: Ranks, module: nn.Module) -> None:
    """All processes must have loaded the same weights."""
    own = torch.zeros(ranks.count, dtype=torch.float64)
    own[ranks.index] = sum(float(p.detach().double().sum()) for p in module.parameters())
    sums = ranks.add(own)
    if not bool((sums == sums[0]).all()):
        raise TrainingError(
            "the processes hold different weights",
            expected="the same sum over all weights in every process",
            got=", ".join(f"{s:.9g}" for s in sums.tolist()),
            remedy="all processes must load the same model files",
        )


def check_sane(step: int, metrics: dict[str, float], *, max_kl: float, kept: str) -> None:
    """Stops a run that has gone wrong, naming step, metric and likely cause.

    Raises:
        TrainingError: a loss or gradient is not finite, or the KL exceeds its limit.
    """
    for name in ("loss/total", "train/gradient_norm"):
        if not math.isfinite(metrics.get(name, 0.0)):  # absent where an update was skipped
            raise TrainingError(
                f"{name} is {metrics[name]} at step {step}",
                where=f"step {step}",
                got=_brief(metrics),
                remedy="likely a learning rate too high or a broken example; lower learning_rate "
                f"or max_grad_norm and train this stage anew; {kept}",
            )
    kl = metrics.get("policy/kl_k1", 0.0)
    if kl > max_kl or not math.isfinite(kl):
        raise TrainingError(
            f"policy/kl_k1 is {kl:.4g} at step {step}",
            where=f"step {step}",
            expected=f"at most max_kl = {max_kl} nats per reply",
            got=_brief(metrics),
            remedy="the policy runs away from its reference: raise the KL coefficient or lower "
            f"learning_rate; {kept}",
        )


def _brief(metrics: dict[str, Any]) -> str:
    return ", ".join(f"{k}={v:.4g}" for k, v in sorted(metrics.items()) if "time/" not in k)
