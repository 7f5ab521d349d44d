"""Credit without a critic: replies are held against each other, or against the batch."""

from typing import Literal

import torch
from pydantic import PositiveFloat
from torch import Tensor

from fairlead.core.metrics import Mean
from fairlead.functional.advantages import constant_over_tokens, standardised, to_go
from fairlead.functional.groups import (
    Scale,
    batch_deviation,
    group_advantages,
    group_means,
    group_sizes,
    leave_one_out_advantages,
    step_advantages,
    uniform_groups,
)
from fairlead.training.credit.base import Credit, CreditRule, Sampled, check_groups


class LeaveOneOut(CreditRule):
    """The score less the mean of the other replies to the prompt.

    The whole reply is one action, so the KL of the whole reply is taken from its score first.
    Source: Ahmadian et al. 2024, arXiv:2402.14740.
    """

    kind: Literal["leave_one_out"] = "leave_one_out"
    normalise: bool = False
    """Divide by the standard deviation of the advantages over the whole batch."""

    def __call__(self, sampled: Sampled) -> Credit:
        """Credit per reply, at each of its tokens."""
        check_groups(sampled, self.kind)
        scores = sampled.penalised_scores
        advantages = leave_one_out_advantages(scores, sampled.group)
        if self.normalise:
            advantages = advantages / (batch_deviation(advantages, sampled.over_ranks) + 1e-4)
        return _spread(advantages, scores, sampled)


class Group(CreditRule):
    """The score less the mean of its group, divided by a standard deviation.

    A KL penalty, where there is one, is taken from the score first. Rewards of single steps, where
    there are any, are normalised over all steps of the group and summed over the steps that are
    still to end (process supervision); scores add to them, and are silent where all are the same.
    Source: Shao et al. 2024, arXiv:2402.03300; scale "none" is Liu et al. 2025, arXiv:2503.20783.
    """

    kind: Literal["group"] = "group"
    scale: Scale = "group"
    """The deviation that divides: of the "group", of the whole "batch" (hard and easy prompts then
    weigh the same), or "none"."""
    epsilon: PositiveFloat = 1e-4
    """Added to the unbiased standard deviation (TRL's value; verl has 1e-6)."""

    def __call__(self, sampled: Sampled) -> Credit:
        """Credit per reply at each of its tokens, plus that of its steps."""
        check_groups(sampled, self.kind)
        scores, group = sampled.penalised_scores, sampled.group
        advantages = group_advantages(
            scores, group, scale=self.scale, epsilon=self.epsilon, over_ranks=sampled.over_ranks
        )
        outcome = _spread(advantages, scores, sampled)
        process = step_advantages(
            sampled.token_rewards,
            sampled.judged,
            group,
            scale=self.scale,
            epsilon=self.epsilon,
            over_ranks=sampled.over_ranks,
        )
        both = outcome.advantages + torch.where(sampled.mask, process, 0.0)
        return Credit(both, outcome.returns, metrics=outcome.metrics)


class ReinforcePP(CreditRule):
    """Rewards to go with a KL penalty at each token, whitened over all tokens of the batch.

    Source: Hu 2025, REINFORCE++, arXiv:2501.03262.
    """

    kind: Literal["reinforce_pp"] = "reinforce_pp"

    def __call__(self, sampled: Sampled) -> Credit:
        """Credit per token."""
        return _standardised(to_go(sampled.rewards), sampled)


class ReinforcePPBaseline(CreditRule):
    """REINFORCE++ with scores less the mean of their group, so prompts need not be equally hard.

    Source: Hu 2025, arXiv:2501.03262.
    """

    kind: Literal["reinforce_pp_baseline"] = "reinforce_pp_baseline"

    def __call__(self, sampled: Sampled) -> Credit:
        """Credit per token."""
        check_groups(sampled, self.kind)
        baseline = to_go(sampled.at_last(group_means(sampled.scores, sampled.group)))
        return _standardised(to_go(sampled.rewards) - baseline, sampled)


class NashMD(CreditRule):
    """The probability of winning less one half, less the KL penalty at each token.

    Scores must be probabilities of beating the mixture of policy and reference.
    Source: Munos et al. 2023, arXiv:2312.00886.
    """

    kind: Literal["nash_md"] = "nash_md"

    def __call__(self, sampled: Sampled) -> Credit:
        """Credit per token."""
        return _as_advantages(sampled.scores - 0.5, sampled)


class AsScored(CreditRule):
    """Scores are advantages already, made by comparing the replies to a prompt.

    The KL penalty, where there is one, is taken at each token.
    """

    kind: Literal["as_scored"] = "as_scored"

    def __call__(self, sampled: Sampled) -> Credit:
        """Credit per reply, at each of its tokens."""
        return _as_advantages(sampled.scores, sampled)


def _as_advantages(scores: Tensor, sampled: Sampled) -> Credit:
    own = constant_over_tokens(scores, sampled.mask)
    advantages = own - sampled.kl_coefficient * sampled.log_ratio
    return Credit(advantages, own, metrics=_deviation(scores, sampled))


def _standardised(returns: Tensor, sampled: Sampled) -> Credit:
    returns = torch.where(sampled.mask, returns, 0.0)
    advantages = standardised(returns, sampled.mask, over_ranks=sampled.over_ranks)
    return Credit(advantages, returns)


def _spread(advantages: Tensor, scores: Tensor, sampled: Sampled) -> Credit:
    """The same credit at every token of a reply, and what the groups were like."""
    groups = len(group_sizes(sampled.group))
    uniform = uniform_groups(scores, sampled.group) / group_sizes(sampled.group)[sampled.group]
    metrics = {"reward/zero_std_groups": Mean(uniform.sum(), groups)}
    return Credit(
        constant_over_tokens(advantages, sampled.mask),
        constant_over_tokens(scores, sampled.mask),
        metrics=metrics | _deviation(advantages, sampled),
    )


def _deviation(advantages: Tensor, sampled: Sampled) -> dict[str, Mean]:
    """The standard deviation over the whole batch, the same number on every process."""
    return {"policy/advantage_std": Mean(batch_deviation(advantages, sampled.over_ranks), 1)}
