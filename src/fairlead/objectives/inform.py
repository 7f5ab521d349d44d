"""InfoRM: a reward behind an information bottleneck. Miao et al. 2024, arXiv:2402.09345."""

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat
from torch import Tensor

from fairlead.core.metrics import Mean
from fairlead.objectives.base import Loss, Need, Objective, average
from fairlead.objectives.batch import PreferenceBatch, Scores, Totals
from fairlead.objectives.comparisons import comparison_losses, comparison_metrics

ACTIVE = 0.01
"""Nats above which a dimension of the bottleneck says something about a reply."""


def dimension_kl(
    mean: Float[Tensor, "sequence latent"], logvar: Float[Tensor, "sequence latent"]
) -> Float[Tensor, "sequence latent"]:
    """KL of each dimension's Gaussian to the standard normal, in nats.

    This is exact. The authors' code first averages means and log-variances over the dimensions,
    which gives a far smaller number: coefficients of the two do not carry over.
    """
    return -0.5 * (1 + logvar - mean.square() - logvar.exp())


class InfoRM(Objective):
    """Bradley-Terry on a score that is read from a noisy, compressed latent."""

    title: ClassVar[str] = "InfoRM: reward model with an information bottleneck"
    source: ClassVar[str] = "Miao et al. 2024, arXiv:2402.09345"
    equation: ClassVar[str] = (
        r"-\log\sigma(g(s_w) - g(s_l)) + \beta\sum_{i \in \{w, l\}}"
        r"\mathrm{KL}(\mathcal{N}(\mu_i, \sigma_i) \,\|\, \mathcal{N}(0, 1))"
    )
    choose: ClassVar[str] = (
        "Against reward hacking: the bottleneck drops what preferences do not need, and replies "
        "that leave the latent cloud of the SFT replies warn of over-optimisation."
    )
    batch: ClassVar[type[PreferenceBatch]] = PreferenceBatch
    needs: ClassVar[frozenset[Need]] = frozenset({Need.REWARDS, Need.LATENTS})
    head: ClassVar[str] = "latent"

    kind: Literal["inform"] = "inform"
    kl_coefficient: NonNegativeFloat = 0.01
    """Weight of the KL of both replies of a pair, summed over all dimensions."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """Assumed probability that a label is flipped."""

    def __call__(self, scores: Scores, batch: PreferenceBatch, totals: Totals) -> Loss:
        """Mean over prompts of the mean over their pairs."""
        assert scores.rewards is not None
        assert scores.latent_mean is not None
        assert scores.latent_logvar is not None
        margin = scores.rewards[batch.better] - scores.rewards[batch.worse]
        losses = comparison_losses(margin, batch, smoothing=self.label_smoothing)
        each = dimension_kl(scores.latent_mean, scores.latent_logvar)
        kl = each.sum(-1)
        both = kl[batch.better] + kl[batch.worse]
        metrics = comparison_metrics(self.kind, losses, scores.rewards, batch)
        metrics |= _latent_metrics(each)
        whole = (batch.weight * (losses + self.kl_coefficient * both)).sum() / totals.groups
        return Loss(whole, metrics)


@torch.no_grad()
def _latent_metrics(each: Float[Tensor, "sequence latent"]) -> dict[str, Mean]:
    active = (each > ACTIVE).to(each.dtype).sum(-1)
    return {"loss/latent_kl": average(each.sum(-1)), "reward/active_dimensions": average(active)}
