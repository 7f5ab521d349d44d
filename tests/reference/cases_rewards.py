"""Cases of reward models: `rm.*`."""

from typing import Any

import torch
from torch import Tensor

from .packs import alternating, loss_of, pairs, ranked
from .registry import Inputs, NotOffered, Outputs, case


def bradley_terry(batch: Any, rewards: Tensor, **settings: float) -> tuple[float, dict]:
    from fairlead.objectives.bradley_terry import BradleyTerry

    return loss_of(BradleyTerry(**settings), batch, rewards=rewards)


def comparison(given: Inputs) -> Tensor:
    return alternating(given["r_chosen"], given["r_rejected"])


@case("rm.bt")
def bt(given: Inputs) -> Outputs:
    from fairlead.objectives.comparisons import bradley_terry_loss

    mean, metrics = bradley_terry(pairs(len(given["r_chosen"])), comparison(given))
    return {
        "per_pair": bradley_terry_loss(given["r_chosen"] - given["r_rejected"]),
        "mean": mean,
        "accuracy": metrics["reward/accuracy"],
        "mean_margin": metrics["reward/margin"],
    }


@case("rm.bt_margin")
def bt_margin(given: Inputs) -> Outputs:
    from fairlead.objectives.comparisons import comparison_losses

    batch = pairs(len(given["r_chosen"]), strength=given["margin"])
    return {
        "per_pair": comparison_losses(given["r_chosen"] - given["r_rejected"], batch),
        "mean": bradley_terry(batch, comparison(given))[0],
    }


@case("rm.bt_label_smoothing")
def bt_label_smoothing(given: Inputs) -> Outputs:
    from fairlead.objectives.comparisons import comparison_losses

    batch, flips = pairs(len(given["r_chosen"])), given["epsilon"]
    margin = given["r_chosen"] - given["r_rejected"]
    return {
        "per_pair": comparison_losses(margin, batch, smoothing=flips),
        "mean": bradley_terry(batch, comparison(given), label_smoothing=flips)[0],
    }


@case("rm.bt_soft_labels")
def bt_soft_labels(given: Inputs) -> Outputs:
    from fairlead.objectives.comparisons import comparison_losses

    batch = pairs(len(given["r_a"]), label=given["p_a"])
    return {
        "per_pair": comparison_losses(given["r_a"] - given["r_b"], batch),
        "mean": bradley_terry(batch, alternating(given["r_a"], given["r_b"]))[0],
    }


@case("rm.bt_centered")
def bt_centered(given: Inputs) -> Outputs:
    batch, rewards = pairs(len(given["r_chosen"])), comparison(given)
    plain, _ = bradley_terry(batch, rewards)
    whole, _ = bradley_terry(batch, rewards, centring=1.0)
    other = NotOffered("the product centres on the squared sum, as arXiv:2312.09244 does")
    return {
        "bt": plain,
        "penalty_sum_squared": whole - plain,
        "total": bradley_terry(batch, rewards, centring=given["coef"])[0],
        "penalty_l2": other,
        "total_l2": other,
    }


@case("rm.kwise")
def kwise(given: Inputs) -> Outputs:
    rankings = [torch.as_tensor(r) for r in given["rewards_best_to_worst"]]
    ranks = [range(len(r)) for r in rankings]
    batch, rewards = ranked(ranks), torch.cat(rankings)
    flat = ranked(ranks, weight=torch.ones(len(batch.better), dtype=torch.float64))
    return {
        "per_prompt": [
            bradley_terry(ranked([r]), own)[0] for r, own in zip(ranks, rankings, strict=True)
        ],
        "mean_over_prompts": bradley_terry(batch, rewards)[0],
        "flat_pair_mean": bradley_terry(flat, rewards)[0],
        "n_pairs": len(batch.better),
    }


@case("rm.kwise_ties")
def kwise_ties(given: Inputs) -> Outputs:
    batch = ranked([given["ranks"].tolist()])
    return {"n_pairs": len(batch.better), "loss": bradley_terry(batch, given["rewards"])[0]}


@case("rm.plackett_luce")
def plackett_luce(given: Inputs) -> Outputs:
    from fairlead.objectives.plackett_luce import PlackettLuce

    rewards = given["rewards_best_to_worst"]
    first_of_all = [0] + [1] * (len(rewards) - 1)
    return {
        "nll": loss_of(PlackettLuce(), ranked([range(len(rewards))]), rewards=rewards)[0],
        "best_of_k_ce": loss_of(PlackettLuce(), ranked([first_of_all]), rewards=rewards)[0],
    }


@case("rm.normalize")
def normalize(given: Inputs) -> Outputs:
    from fairlead.functional.shaping import normalisation, shift

    rewards = given["rewards_on_reference"]
    change = normalisation(rewards, mean=given["target_mean"], std=given["target_std"])
    return {
        "mean": -shift(rewards).bias,
        "std_population": 1 / normalisation(rewards).gain,
        "gain": change.gain,
        "bias": change.bias,
        "normalized": change(rewards),
        "shift_only": shift(rewards)(rewards),
    }


@case("rm.ensemble")
def ensemble(given: Inputs) -> Outputs:
    from fairlead.functional.ensembles import (
        ensemble_mean,
        lower_bound,
        variance_penalised,
        worst_case,
    )

    scores, penalty = given["rewards_members_by_sample"], given["lambda"]
    return {
        "mean": ensemble_mean(scores),
        "wco": worst_case(scores),
        "lcb": lower_bound(scores, k=given["k"]),
        "uwo_population": variance_penalised(scores, coefficient=penalty, unbiased=False),
        "uwo_unbiased": variance_penalised(scores, coefficient=penalty),
    }


@case("rm.inform_kl")
def inform_kl(given: Inputs) -> Outputs:
    from fairlead.objectives.inform import dimension_kl

    each = dimension_kl(given["mu"], given["logvar"]).sum(-1)
    return {
        "kl_per_sample": each,
        "kl_mean": each.mean(),
        "kl_average_then_kl_quirk": NotOffered("the product has the exact KL of each dimension"),
    }


@case("rm.csi")
def csi(given: Inputs) -> Outputs:
    from fairlead.functional.latents import cluster_separation

    got = cluster_separation(
        given["rlhf_points"], given["cluster_labels"].long(), given["sft_points"]
    )
    return {
        "centroid_distances": got.distances,
        "csi": got.index,
        "csi_per_sample": got.per_sample,
    }


@case("rm.mahalanobis")
def mahalanobis(given: Inputs) -> Outputs:
    from fairlead.functional.latents import fit_cloud

    cloud, points = fit_cloud(given["sft_points"], ridge=given["reg_eps"]), given["test_points"]
    p_values = cloud.p_values(points)
    return {
        "d_squared": cloud.squared_distances(points),
        f"p_value_chi2_df{points.shape[1]}": p_values,
    }


@case("rm.par")
def par(given: Inputs) -> Outputs:
    from fairlead.functional.shaping import centred, preference_as_reward, sigmoid_centred

    rewards, references = given["reward"], given["ref_rewards"]
    return {
        "par": preference_as_reward(rewards, references),
        "centered": centred(rewards, references),
        "par_of_mean_ref": sigmoid_centred(rewards, references),
    }


@case("rm.length_residual")
def length_residual(given: Inputs) -> Outputs:
    from fairlead.functional.length_bias import fit_length, pearson

    rewards, lengths = given["rewards"], given["lengths"]
    fit = fit_length(rewards, lengths)
    return {
        "slope": fit.slope,
        "intercept": fit.intercept,
        "residual": fit.residual(rewards, lengths),
        "pearson": pearson(rewards, lengths),
    }


@case("rm.gpm")
def gpm(given: Inputs) -> Outputs:
    from fairlead.objectives.general_preference import GeneralPreference, preference_score

    a, b, weights = given["v_a"], given["v_b"], given["eigenvalues"]
    objective = GeneralPreference(temperature=given["tau"])

    def scores(eigenvalues: Tensor) -> Tensor:
        return preference_score(a, b, eigenvalues.expand(len(a), -1))

    def loss(a: Tensor, b: Tensor) -> float:
        eigenvalues = weights.expand(2 * len(a), -1)
        embeddings = alternating(a, b)
        batch = pairs(len(a))
        return loss_of(objective, batch, embeddings=embeddings, eigenvalues=eigenvalues)[0]

    one_by_one = torch.tensor([loss(a[i : i + 1], b[i : i + 1]) for i in range(len(a))])
    return {
        "score_per_subspace": torch.stack([scores(one) for one in weights.diag()], dim=1),
        "score": scores(weights),
        "prob": (-one_by_one.double()).exp(),  # the loss of a pair is -log of its probability
        "loss": loss(a, b),
    }


@case("rm.prm")
def prm(given: Inputs) -> Outputs:
    from fairlead.data.batches import pack
    from fairlead.data.chat import Item
    from fairlead.functional.steps import (
        AGGREGATIONS,
        hard_estimate,
        log_product,
        soft_estimate,
        tally,
    )
    from fairlead.objectives import StepBatch
    from fairlead.objectives.process_reward import ProcessReward

    logps, correct = given["step_probs"].log(), given["mc_correct"].bool()
    logits = given["bce_logits"]
    batch = StepBatch(pack([Item((1,), (tuple(range(len(logits))),))]), given["bce_labels"])
    return {
        **{name: aggregate(logps) for name, aggregate in AGGREGATIONS.items()},
        "log_sum": log_product(logps),
        "hard_estimate": hard_estimate(correct),
        "soft_estimate": soft_estimate(correct),
        "weighted_vote": tally(given["answers"], given["solution_scores"].tolist()),
        "bce": loss_of(ProcessReward(), batch, steps=logits)[0],
    }


@case("rm.cost")
def cost(given: Inputs) -> Outputs:
    from fairlead.objectives.cost_model import CostModel

    costs = alternating(given["cost_safer"], given["cost_unsafer"])
    signs = alternating(given["sign_safer"], given["sign_unsafer"])

    def loss(first: int, last: int) -> float:
        part = slice(2 * first, 2 * last)
        return loss_of(CostModel(), pairs(last - first, costs=signs[part]), rewards=costs[part])[0]

    count = len(given["cost_safer"])
    return {"per_pair": [loss(i, i + 1) for i in range(count)], "mean": loss(0, count)}


@case("rm.lagrangian")
def lagrangian(given: Inputs) -> Outputs:
    from fairlead.functional.lagrangian import (
        constrained_advantages,
        log_space_multiplier,
        projected_multiplier,
    )

    limits = {
        "rate": given["lr"],
        "limit": given["threshold"],
        "maximum": given["lambda_max"],
    }
    paths: list[list[float]] = []
    for rule in (log_space_multiplier, projected_multiplier):
        multiplier, path = given["lambda_init"], []
        for mean_cost in given["mean_costs"].tolist():
            multiplier = rule(multiplier, mean_cost, **limits)
            path.append(multiplier)
        paths.append(path)
    joint = constrained_advantages(given["adv_reward"], given["adv_cost"], paths[0][-1])
    return {
        "lambda_log_space": paths[0],
        "lambda_projected": paths[1],
        "combined_advantage_with_last_lambda": joint,
    }
