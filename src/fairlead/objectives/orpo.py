"""Odds Ratio Preference Optimization. Hong et al. 2024, arXiv:2403.07691, eqs. 5 to 7.

Probabilities are per token: exp of the mean log-probability. The likelihood term is the mean over
pairs of the chosen reply's mean loss per token, prompts left out (TRL counts their tokens too).
"""

from math import log
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import NonNegativeFloat
from torch import Tensor

from fairlead.objectives.base import Need
from fairlead.objectives.pairs import PairObjective, Pairs

CERTAIN = -1e-6
"""Mean log-probabilities are held below this: the odds of a certain reply are infinite."""


def log_odds(mean_logp: Float[Tensor, " reply"]) -> Float[Tensor, " reply"]:
    """log(p / (1 - p)) of p = exp(mean_logp), without loss of digits near p = 0 or 1."""
    below = mean_logp.clamp(max=CERTAIN)
    rest = torch.where(
        below < -log(2), torch.log1p(-torch.exp(below)), torch.log(-torch.expm1(below))
    )
    return below - rest


def odds_ratio_loss(
    better: Float[Tensor, " pair"], worse: Float[Tensor, " pair"]
) -> Float[Tensor, " pair"]:
    """-log sigmoid of the log odds ratio of mean log-probabilities, in nats per token."""
    return -F.logsigmoid(log_odds(better) - log_odds(worse))


class ORPO(PairObjective):
    """Imitates the chosen replies and, in the same run, makes the rejected ones less likely."""

    title: ClassVar[str] = "Odds Ratio Preference Optimization"
    source: ClassVar[str] = "Hong et al. 2024, arXiv:2403.07691"
    equation: ClassVar[str] = (
        r"-a_w - \lambda\log\sigma\left(\log\frac{e^{a_w}}{1-e^{a_w}}"
        r" - \log\frac{e^{a_l}}{1-e^{a_l}}\right),\quad a = \tfrac{1}{|y|}\log\pi(y)"
    )
    choose: ClassVar[str] = (
        "To go from a base model to an aligned one in a single run, without SFT or a reference."
    )
    needs: ClassVar[frozenset[Need]] = frozenset({Need.LOGPS})

    kind: Literal["orpo"] = "orpo"
    odds_weight: NonNegativeFloat = 0.1
    """Weight of the odds ratio beside the likelihood (lambda; 0.1 to 0.25 in the paper)."""

    def losses(self, pairs: Pairs) -> Float[Tensor, " pair"]:
        """Loss of each pair."""
        odds = odds_ratio_loss(pairs.better_per_token, pairs.worse_per_token)
        return self.odds_weight * odds - pairs.better_per_token

    def rewards(self, pairs: Pairs) -> tuple[Float[Tensor, " pair"], Float[Tensor, " pair"]]:
        """Log-odds per token: the better reply is ahead where its odds are."""
        return log_odds(pairs.better_per_token), log_odds(pairs.worse_per_token)
