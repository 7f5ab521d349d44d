"""Cases of direct preference optimisation: `pref.*`."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from .packs import alternating, loss_of, pairs
from .registry import Inputs, Outputs, case


def batch_of(lengths: Tensor, reference: Tensor | None = None) -> Any:
    """Comparisons whose sequences, chosen and rejected in turn, have these lengths."""
    from fairlead.data.batches import preference_batch
    from fairlead.data.chat import Item

    each = [tuple(range(n)) for n in lengths.long().tolist()]
    items = [Item((1,), pair, (0, 1)) for pair in zip(each[0::2], each[1::2], strict=True)]
    batch = preference_batch(items)
    return replace(batch, weight=batch.weight.double(), reference=reference)


def over_tokens(sums: Tensor, lengths: Tensor) -> Tensor:
    """Token log-probabilities with these sums: all of each on its first token."""
    rows = zip(sums.split(1), lengths.long().tolist(), strict=True)
    return torch.cat([torch.nn.functional.pad(x, (0, n - 1)) for x, n in rows])


def losses(chosen: Any, batch: Any, logps: Tensor) -> Outputs:
    """Loss of each pair, and of all."""
    from fairlead.objectives import Scores
    from fairlead.objectives.pairs import pairs_of

    per_pair = chosen.losses(pairs_of(Scores(logps=logps), batch))
    return {"per_pair": per_pair, "mean": loss_of(chosen, batch, logps=logps)[0]}


@case("pref.dpo")
def dpo(given: Inputs) -> Outputs:
    from fairlead.objectives import Scores
    from fairlead.objectives.conservative_dpo import ConservativeDPO
    from fairlead.objectives.dpo import DPO
    from fairlead.objectives.hinge import Hinge
    from fairlead.objectives.ipo import IPO
    from fairlead.objectives.length_normalised_dpo import LengthNormalisedDPO
    from fairlead.objectives.length_normalised_ipo import LengthNormalisedIPO
    from fairlead.objectives.pairs import pairs_of
    from fairlead.objectives.robust_dpo import RobustDPO
    from fairlead.objectives.sppo import SPPO

    lengths = alternating(given["len_chosen"], given["len_rejected"])
    reference = alternating(given["ref_chosen"], given["ref_rejected"])
    sums = alternating(given["policy_chosen"], given["policy_rejected"])
    batch, rows = batch_of(lengths, reference), over_tokens(sums, lengths)
    beta, flips = given["beta"], given["epsilon"]
    kinds = {
        "sigmoid": DPO(beta=beta),
        "cdpo": ConservativeDPO(beta=beta, flip_rate=flips),
        "robust": RobustDPO(beta=beta, flip_rate=flips),
        "ipo_sum": IPO(tau=beta),
        "ipo_token_mean": LengthNormalisedIPO(tau=beta),
        "hinge": Hinge(beta=beta),
        "sigmoid_length_normalised": LengthNormalisedDPO(beta=beta),
        "sppo_hard": SPPO(beta=beta),
    }
    _, metrics = loss_of(kinds["sigmoid"], batch, logps=rows)
    better, worse = kinds["sigmoid"].rewards(pairs_of(Scores(logps=rows), batch))
    free = rows.clone().requires_grad_()
    whole = kinds["sigmoid"].losses(pairs_of(Scores(logps=free), batch)).sum()
    (slope,) = torch.autograd.grad(whole, free)
    first_tokens = (lengths.cumsum(0) - lengths).long()
    return {
        **{name: losses(one, batch, rows) for name, one in kinds.items()},
        "reward_chosen": better,
        "reward_rejected": worse,
        "reward_accuracy": metrics["reward/accuracy"],
        "reward_margin": metrics["reward/margin"],
        "gradient_weight": -slope[first_tokens][0::2],
    }


@case("pref.kto")
def kto(given: Inputs) -> Outputs:
    from fairlead.data.batches import pack
    from fairlead.data.chat import Item
    from fairlead.objectives import Scores, UnpairedBatch
    from fairlead.objectives.kto import KTO

    logps = torch.cat([given["policy_chosen"], given["policy_rejected"]])
    reference = torch.cat([given["ref_chosen"], given["ref_rejected"]])
    good = torch.arange(len(logps)) < len(given["policy_chosen"])
    mismatched = pack([Item((1,), ((2,),))] * len(given["policy_kl"]))
    objective = KTO(
        beta=given["beta"],
        desirable_weight=given["weight_desirable"],
        undesirable_weight=given["weight_undesirable"],
    )

    def loss(rows: slice) -> Any:
        packed = pack([Item((1,), ((2,),))] * len(logps[rows]))
        batch = UnpairedBatch(packed, good[rows], reference[rows], mismatched, given["ref_kl"])
        sums = objective.statistics(Scores(logps=given["policy_kl"]), batch)
        totals = replace(batch.totals(), statistics=tuple(sums.tolist()))
        return objective(Scores(logps=logps[rows]), batch, totals)

    each = [float(loss(slice(i, i + 1)).value) for i in range(len(logps))]
    whole = loss(slice(None))
    return {
        "kl": whole.metrics["policy/reference_point"].value,
        "desirable_losses": each[: int(good.sum())],
        "undesirable_losses": each[int(good.sum()) :],
        "mean": float(whole.value),
    }


def one_token_each(chosen: Tensor, rejected: Tensor) -> Any:
    """Pairs of replies that are one token long, without a reference."""
    from fairlead.objectives import Scores
    from fairlead.objectives.pairs import pairs_of

    return pairs_of(Scores(logps=alternating(chosen, rejected)), pairs(len(chosen)))


@case("pref.orpo")
def orpo(given: Inputs) -> Outputs:
    from fairlead.objectives.orpo import ORPO, odds_ratio_loss

    better, worse = given["avg_logp_chosen"], given["avg_logp_rejected"]
    both = one_token_each(better, worse)
    odds = ORPO().rewards(both)
    whole, likelihood = (ORPO(odds_weight=w).losses(both).mean() for w in (given["beta"], 0.0))
    return {
        "log_odds_ratio": odds[0] - odds[1],
        "or_loss": odds_ratio_loss(better, worse),
        # The file gives the likelihood term by itself, not as the mean of the same replies.
        "total": whole - likelihood + given["nll_chosen"],
    }


@case("pref.simpo")
def simpo(given: Inputs) -> Outputs:
    from fairlead.objectives import Scores
    from fairlead.objectives.pairs import pairs_of
    from fairlead.objectives.simpo import SimPO

    lengths = alternating(given["len_chosen"], given["len_rejected"])
    sums = alternating(given["sum_logp_chosen"], given["sum_logp_rejected"])
    batch, rows = batch_of(lengths), over_tokens(sums, lengths)
    both = pairs_of(Scores(logps=rows), batch)
    got = losses(SimPO(beta=given["beta"], gamma=given["gamma"]), batch, rows)
    return {
        "avg_chosen": both.better_per_token,
        "avg_rejected": both.worse_per_token,
        "logits": -got["per_pair"].expm1().log(),  # the loss is log(1 + exp(-logit))
        **got,
    }


@case("pref.cpo")
def cpo(given: Inputs) -> Outputs:
    from fairlead.objectives.cpo import CPO

    chosen, rejected = given["sum_logp_chosen"], given["sum_logp_rejected"]
    # The file gives the likelihood term by itself: chosen replies are as long as it says.
    lengths = -chosen / given["nll_chosen"]
    both = replace(one_token_each(chosen, rejected), better_length=lengths)
    settings = {"beta": given["beta"]}
    return {
        "preference": CPO(alpha=0.0, **settings).losses(both).mean(),
        "total": CPO(alpha=given["alpha"], **settings).losses(both).mean(),
    }
