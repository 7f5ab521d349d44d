"""Cases of reinforcement learning: `rl.*`."""

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from .packs import loss_of, rollouts, shown_where
from .registry import Inputs, NotOffered, Outputs, case


def sampled(mask: Tensor, scores: Tensor, group: Tensor, **tables: Any) -> Any:
    """What a credit rule sees, zeros where nothing is given."""
    from fairlead.training.credit import Sampled

    nothing = torch.zeros(mask.shape, dtype=torch.float64)
    beside = {name: tables.pop(name, nothing) for name in ("logp", "reference", "values")}
    tokens = torch.zeros(mask.shape, dtype=torch.int64)
    return Sampled(
        scores, mask, token_rewards=nothing, group=group, tokens=tokens, **beside, **tables
    )


def one_token_each(scores: Tensor, **tables: Tensor) -> Any:
    """Groups of replies [group, reply] as a rollout batch whose replies are one token long."""
    group = torch.arange(len(scores)).repeat_interleave(scores.shape[1])
    mask = torch.ones(scores.numel(), 1, dtype=torch.bool)
    columns = {name: x.reshape(-1, 1) for name, x in tables.items() if isinstance(x, Tensor)}
    return sampled(mask, scores.flatten(), group, **{**tables, **columns})


def ratios(log_ratio: Tensor) -> Tensor:
    """Ratios as the clipped surrogate has them: its loss at advantage -1 without a clip."""
    from fairlead.objectives.surrogate import clipped_surrogate

    free = {"clip_low": float("inf"), "clip_high": float("inf")}
    return clipped_surrogate(log_ratio, -torch.ones_like(log_ratio), **free).loss


def clips(given: Inputs) -> dict[str, float]:
    return {"clip_low": given["eps_low"], "clip_high": given["eps_high"]}


@case("rl.kl_estimators")
def kl_estimators(given: Inputs) -> Outputs:
    from fairlead.functional.kl import k1, k2, k3
    from fairlead.functional.reductions import masked_mean

    mask = given["mask"].bool()
    each = {f.__name__: f(given["logp"], given["ref_logp"]) for f in (k1, k2, k3)}
    sums = shown_where(mask, each["k1"]).sum(1)
    return {
        **{name: shown_where(mask, x) for name, x in each.items()},
        **{f"mean_{name}": masked_mean(x, mask) for name, x in each.items()},
        "seq_sum_k1": sums,
        "mean_seq_kl": sums.mean(),
    }


@case("rl.kl_gradients")
def kl_gradients(given: Inputs) -> Outputs:
    """Expectations over the whole distribution of what the estimators say of each token."""
    from fairlead.functional.kl import k1, k2, k3

    logits = given["logits"].clone().requires_grad_()
    logp, ref_logp = logits.log_softmax(0), given["ref_logits"].log_softmax(0)
    p, q = logp.exp(), ref_logp.exp()

    def slope(loss: Tensor) -> Tensor:
        return torch.autograd.grad(loss, logits, retain_graph=True)[0]

    reverse, forward = (p * k1(logp, ref_logp)).sum(), (q * k1(ref_logp, logp)).sum()
    outputs: Outputs = {"p": p.detach(), "q": q}
    for estimator in (k1, k2, k3):
        name, expected = estimator.__name__, (p.detach() * estimator(logp, ref_logp)).sum()
        outputs[f"expected_{name}"] = expected.item()
        outputs[f"expected_grad_{name}_as_loss"] = slope(expected)
    return outputs | {
        "kl_reverse": reverse.item(),
        "kl_forward": forward.item(),
        "grad_true_reverse_kl": slope(reverse),
        "grad_forward_kl": slope(forward),
    }


@case("rl.shaped_rewards")
def shaped(given: Inputs) -> Outputs:
    from fairlead.functional.advantages import shaped_rewards
    from fairlead.generation.sampling import Rollout
    from fairlead.rewards.base import Scored
    from fairlead.training.collecting import Experience
    from fairlead.training.rollout_config import RolloutConfig
    from fairlead.training.rollouts import RolloutSource

    mask, lengths = given["mask"].bool(), given["mask"].sum(1).long()
    replies = [
        Rollout(i, 0, (1,), (2,) * n, (0.0,) * n, "eos" if ended else "length")
        for i, (n, ended) in enumerate(zip(lengths.tolist(), given["has_eos"], strict=True))
    ]
    experience = Experience([], replies, [], Scored(given["score"]))
    settings = SimpleNamespace(
        config=RolloutConfig(missing_eos_penalty=given["missing_eos_penalty"])
    )
    final = RolloutSource._final(settings, experience, lengths)
    tables = (given["logp"], given["ref_logp"], mask)
    rewards = shaped_rewards(final, *tables, kl_coefficient=given["kl_coef"])
    penalty = shaped_rewards(torch.zeros_like(final), *tables, kl_coefficient=given["kl_coef"])
    marks = shaped_rewards(torch.ones_like(final), *tables, kl_coefficient=0.0)
    return {
        "last_index": marks.argmax(1),
        "score_after_penalty": final,
        "rewards": rewards,
        "non_score_sum": penalty.sum(1),
        "rlhf_reward": rewards.sum(1),
    }


@case("rl.gae")
def gae(given: Inputs) -> Outputs:
    from fairlead.functional.advantages import generalised_advantages
    from fairlead.functional.reductions import whiten

    mask, rewards = given["mask"].bool(), given["rewards"]
    traces = {"gamma": given["gamma"], "lam": given["lam"]}
    advantages, returns = generalised_advantages(rewards, given["values"], mask, **traces)
    return {
        "advantages": advantages,
        "returns": shown_where(mask, returns),
        "whitened_unbiased": whiten(advantages, mask),
        "whitened_population": whiten(advantages, mask, unbiased=False),
        "rewards_whitened_no_shift": whiten(rewards, mask, shift_mean=False),
    }


@case("rl.ppo_policy")
def ppo_policy(given: Inputs) -> Outputs:
    from fairlead.objectives.ppo import PPO, ppo_policy_loss

    mask, new, old = given["mask"].bool(), given["logp_new"], given["logp_old"]
    advantages = given["advantages"]
    tables = (x.flatten() for x in (new, old, advantages))
    each = ppo_policy_loss(*tables, **clips(given)).loss.reshape(mask.shape)
    batch = rollouts(mask, old_logps=old, advantages=advantages)
    objective = PPO(value_coefficient=0.0, **clips(given))
    values = torch.zeros_like(new[mask])
    loss, metrics = loss_of(objective, batch, logps=new[mask], values=values)
    return {
        "ratio": shown_where(mask, ratios((new - old).flatten()).reshape(mask.shape)),
        "per_token_loss": shown_where(mask, each),
        "loss_token_mean": loss,
        "clipfrac": metrics["policy/clip_fraction"],
        "approx_kl_k2": metrics["policy/kl_old_k2"],
        "approx_kl_k3": metrics["policy/kl_old_k3"],
        "mean_ratio": metrics["policy/ratio"],
    }


@case("rl.ppo_value")
def ppo_value(given: Inputs) -> Outputs:
    from fairlead.objectives.ppo import PPO

    mask = given["mask"].bool()
    batch = rollouts(mask, returns=given["returns"], old_values=given["values_old"])
    values = given["values_new"][mask]

    def run(clip: float) -> tuple[float, dict[str, float]]:
        objective = PPO(value_clip=clip, value_coefficient=1.0)
        return loss_of(objective, batch, logps=torch.zeros_like(values), values=values)

    loss, metrics = run(given["clip"])
    return {
        "loss": loss,
        "loss_unclipped": run(1e9)[0],
        "clipfrac": metrics["value/clip_fraction"],
        "explained_variance_lmhp": NotOffered("the product reports the squared error of values"),
    }


@case("rl.adaptive_kl")
def adaptive_kl(given: Inputs) -> Outputs:
    from fairlead.functional.kl import adaptive_kl_coefficient

    coefficient, path = given["init"], []
    for observed in given["observed_kl"].tolist():
        coefficient = adaptive_kl_coefficient(
            coefficient,
            observed,
            target=given["target"],
            episodes=given["n_steps"],
            horizon=given["horizon"],
        )
        path.append(coefficient)
    return {"coef": path}


@case("rl.macro_action")
def macro_action(given: Inputs) -> Outputs:
    from fairlead.functional.macros import (
        macro_advantages,
        macro_sums,
        macro_values,
        ngram_starts,
        numbered,
        over_tokens,
        rising_perplexity_starts,
    )
    from fairlead.objectives.macro_ppo import MacroPPO
    from fairlead.objectives.ppo import PPO

    names = ("rewards", "values", "logp_old", "logp_new")
    rewards, values, old, new = (given[name][None] for name in names)
    mask = torch.ones(rewards.shape, dtype=torch.bool)
    starts = ngram_starts(mask, given["n"])
    macros = numbered(starts)
    traces = {"gamma": given["gamma"], "lam": given["lam"]}
    credit = macro_advantages(rewards, values, mask, macros, **traces)
    spread = over_tokens(credit.advantages, mask, macros)
    batch = rollouts(mask, old_logps=old, advantages=spread, macros=macros)
    eps = {"clip_low": given["eps"], "clip_high": given["eps"], "value_coefficient": 0.0}
    scores = {"logps": new[0], "values": torch.zeros_like(new[0])}
    return {
        "boundaries": [*starts[0].nonzero().flatten().tolist(), rewards.shape[1]],
        "macro_rewards": macro_sums(rewards, mask, macros)[0],
        "macro_values": macro_values(values, mask, macros)[0],
        "macro_advantages": credit.advantages[0],
        "macro_returns": credit.returns[0],
        "token_ratio_loss": loss_of(PPO(**eps), batch, **scores)[0],
        "macro_ratio": ratios(macro_sums(new - old, mask, macros)[0]),
        "macro_ratio_loss": loss_of(MacroPPO(**eps), batch, **scores)[0],
        "ppl_rule_starts_from_logp_old": rising_perplexity_starts(old, mask)[0].nonzero()[:, 0],
    }


@case("rl.rloo")
def rloo(given: Inputs) -> Outputs:
    from fairlead.objectives.rloo import RLOO
    from fairlead.training.credit import LeaveOneOut

    rewards = given["rewards"]
    plain = LeaveOneOut()(one_token_each(rewards)).advantages.reshape(rewards.shape)
    with_kl = LeaveOneOut()(
        one_token_each(rewards, logp=given["seq_kl"], kl_coefficient=given["beta"])
    )
    mask = torch.ones(rewards.numel(), 1, dtype=torch.bool)
    batch = rollouts(mask, advantages=with_kl.advantages)
    objective = RLOO(clip_low=given["eps"], clip_high=given["eps"])
    return {
        "baseline": rewards - plain,
        "advantages": plain,
        "advantages_via_mean": plain,
        "advantages_with_kl": with_kl.advantages.reshape(rewards.shape),
        "clipped_loss": loss_of(objective, batch, logps=given["seq_log_ratio"].flatten())[0],
    }


@case("rl.grpo_advantages")
def grpo_advantages(given: Inputs) -> Outputs:
    from fairlead.training.credit import Group

    rewards = given["rewards"]

    def credit(**settings: Any) -> Tensor:
        return Group(**settings)(one_token_each(rewards)).advantages.reshape(rewards.shape)

    metrics = Group()(one_token_each(rewards)).metrics
    return {
        "unbiased_std_eps1e4": credit(epsilon=1e-4),
        "population_std_eps1e4": NotOffered("the product divides squares by replies - 1"),
        "unbiased_std_eps1e6": credit(epsilon=1e-6),
        "no_std": credit(scale="none"),
        "batch_std_unbiased": credit(scale="batch"),
        "frac_zero_std": metrics["reward/zero_std_groups"].value,
    }


@case("rl.grpo_loss")
def grpo_loss(given: Inputs) -> Outputs:
    from fairlead.functional.kl import k3
    from fairlead.objectives.dapo import DAPO
    from fairlead.objectives.dr_grpo import DrGRPO
    from fairlead.objectives.grpo import GRPO
    from fairlead.objectives.surrogate import clipped_surrogate

    mask, new, old = given["mask"].bool(), given["logp_new"], given["logp_old"]
    advantages = given["advantages"][:, None].expand_as(new)
    each = clipped_surrogate((new - old).flatten(), advantages.flatten(), **clips(given)).loss
    tables = {"old_logps": old, "advantages": advantages, "reference": given["ref_logp"]}
    batch = rollouts(mask, budget=given["max_len"], **tables)

    def loss(kind: type, **settings: Any) -> float:
        return loss_of(kind(**clips(given), **settings), batch, logps=new[mask])[0]

    def every(**settings: Any) -> dict[str, float]:
        kinds = {"grpo": GRPO, "token_mean": DAPO, "dr_grpo": DrGRPO}
        return {name: loss(kind, **settings) for name, kind in kinds.items()}

    beta = given["beta"]
    return {
        "per_token_loss": shown_where(mask, each.reshape(mask.shape)),
        "per_token_k3": shown_where(mask, k3(new, given["ref_logp"])),
        "no_kl": every(),
        "with_kl": every(beta=beta, kl_estimator="k3"),
        "with_ratio_corrected_kl": every(beta=beta, kl_estimator="weighted_k3"),
    }


@case("rl.gspo")
def gspo(given: Inputs) -> Outputs:
    from fairlead.objectives.gspo import GSPO
    from fairlead.objectives.replies import reply_means, reply_sums

    mask, new, old = given["mask"].bool(), given["logp_new"], given["logp_old"]
    advantages = given["advantages"][:, None].expand_as(new)

    def loss(rows: slice) -> tuple[float, dict[str, float]]:
        own = mask[rows]
        batch = rollouts(own, old_logps=old[rows], advantages=advantages[rows])
        return loss_of(GSPO(**clips(given)), batch, logps=new[rows][own])

    whole, metrics = loss(slice(None))
    log_ratio = (new - old)[mask]
    return {
        "sequence_ratio": ratios(reply_means(log_ratio, rollouts(mask))),
        "unnormalised_ratio": ratios(reply_sums(log_ratio, rollouts(mask))),
        "per_sequence_loss": [loss(slice(i, i + 1))[0] for i in range(len(new))],
        "loss": whole,
        "clipfrac": metrics["policy/clip_fraction"],
    }


@case("rl.reinforce_pp")
def reinforce_pp(given: Inputs) -> Outputs:
    from fairlead.functional.reductions import whiten
    from fairlead.training.credit import ReinforcePP, ReinforcePPBaseline

    mask, scores = given["mask"].bool(), given["score"]
    group = torch.arange(len(scores)) // given["group_size"]
    tables = {"logp": given["logp"], "reference": given["ref_logp"]}
    credit = ReinforcePP()(sampled(mask, scores, group, kl_coefficient=given["kl_coef"], **tables))
    # Without a KL penalty the return of every token is the score less its group's mean.
    centred = ReinforcePPBaseline()(sampled(mask, scores, group))
    return {
        "returns": credit.returns,
        "advantages_openrlhf": credit.advantages,
        "advantages_verl": whiten(credit.returns, mask),
        "baseline_group_centered": centred.returns[:, 0],
        "baseline_variant_normalised": centred.advantages,
    }


@case("rl.overlong")
def overlong(given: Inputs) -> Outputs:
    from fairlead.functional.lengths import overlong_penalty

    penalty = overlong_penalty(
        given["lengths"].long(),
        limit=given["max_len"],
        buffer=given["buffer"],
        factor=given["factor"],
    )
    return {"penalty": penalty}


@case("rl.pass_at_k")
def pass_at_k(given: Inputs) -> Outputs:
    from fairlead.stats.pass_at_k import pass_at_k as estimate

    correct = given["correct"].long().tolist()
    return {"pass_at_k": [estimate(given["n"], right, given["k"]) for right in correct]}


@case("rl.gprl_advantages")
def gprl_advantages(given: Inputs) -> Outputs:
    from fairlead.functional.groups import _against_group, intransitive_advantages

    embeddings, weights = given["embeddings"], given["eigenvalues"]
    group = torch.zeros(len(embeddings), dtype=torch.int64)

    def advantages(eigenvalues: Tensor) -> Tensor:
        return intransitive_advantages(embeddings, eigenvalues.expand(len(embeddings), -1), group)

    planes = zip(embeddings[:, 0::2].unbind(1), embeddings[:, 1::2].unbind(1), strict=True)
    units = torch.eye(len(weights), dtype=torch.float64)
    return {
        "group_scores_per_subspace": torch.stack(
            [_against_group(a, b, group) for a, b in planes], dim=1
        ),
        "normalised": torch.stack([advantages(unit) for unit in units], dim=1),
        "advantages": advantages(weights),
    }
