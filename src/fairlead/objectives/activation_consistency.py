"""Activation consistency training. Irpan et al. 2025, arXiv:2510.27062."""

from typing import ClassVar

from fairlead.objectives.base import Loss, Need, Objective, average
from fairlead.objectives.batch import ContrastBatch, Scores, Totals


class ActivationConsistency(Objective):
    """States of a wrapped prompt are drawn to those of the plain one, where both end alike.

    The plain prompt's states are the present model's own and get no gradient, so equal prompts
    have no loss.
    """

    title: ClassVar[str] = "Activation consistency training"
    source: ClassVar[str] = "Irpan et al. 2025, arXiv:2510.27062"
    equation: ClassVar[str] = (
        r"\mathbb{E}_{l, j}\, \lVert h_l(\tilde x)_j - \mathrm{sg}[h_l(x)_j] \rVert^2"
    )
    choose: ClassVar[str] = (
        "Where a wrapped prompt should not even be read otherwise, and no reply is at hand to copy."
    )
    batch: ClassVar[type[ContrastBatch]] = ContrastBatch
    needs: ClassVar[frozenset[Need]] = frozenset({Need.ACTIVATIONS})

    def __call__(self, scores: Scores, batch: ContrastBatch, totals: Totals) -> Loss:
        """Mean over layers and matched tokens; squares are summed over the state's width."""
        assert scores.activations is not None
        clean = scores.activations[:, batch.clean].detach().float()
        gaps = (scores.activations[:, ~batch.clean].float() - clean).square().sum(-1)
        metrics = {
            "loss/activations": average(gaps.mean(0)),
            "activations/relative_gap": average((gaps / clean.square().sum(-1)).mean(0)),
        }
        return Loss(gaps.mean(0).sum() / totals.rows, metrics)
