"""Scores brought to a scale, set against those of reference replies, or bounded."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fairlead.core.errors import DataError


@dataclass(frozen=True)
class Affine:
    """A change of scale: gain * score + bias."""

    gain: float = 1.0
    bias: float = 0.0

    def __call__(self, scores: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The scores on the new scale."""
        return self.gain * scores + self.bias


def normalisation(
    scores: Float[Tensor, " reply"], *, mean: float = 0.0, std: float = 1.0
) -> Affine:
    """The change of scale that gives reference replies this mean and standard deviation.

    Ziegler et al. 2019, arXiv:1909.08593, section 2.2. The deviation is that of the replies at
    hand (squares divided by their number).

    Args:
        scores: of the reference replies, before the change.
        mean: wanted of them after it.
        std: wanted of them after it.

    Raises:
        DataError: all scores are equal, so that no scale can be read off them.
    """
    wide = scores.double()
    deviation = float(wide.std(correction=0))
    if not deviation > 0:
        raise DataError(
            "scores of reference replies show no scale",
            expected="at least two different, finite scores",
            got=f"{scores.numel()} score(s) with standard deviation {deviation}",
            remedy="score more replies, or shift only",
        )
    gain = std / deviation
    return Affine(gain, mean - gain * float(wide.mean()))


def shift(scores: Float[Tensor, " reply"], *, mean: float = 0.0) -> Affine:
    """The shift that gives reference replies this mean and leaves the scale alone.

    Stiennon et al. 2020, arXiv:2009.01325, appendix B.
    """
    return Affine(1.0, mean - float(scores.double().mean()))


def preference_as_reward(
    scores: Float[Tensor, " reply"],
    references: Float[Tensor, "reply reference"],
    *,
    k: float = 1.0,
) -> Float[Tensor, " reply"]:
    """Mean probability of being preferred to a reference reply of the same prompt (PAR).

    Bounded in (0, 1), steep near the reference and flat far above it, where a policy would only
    exploit the reward model. Fu et al. 2025, arXiv:2502.18770, eq. 4.

    Args:
        scores: of the replies.
        references: of replies that the reference policy gave to the same prompts.
        k: steepness, per unit of score.
    """
    return torch.sigmoid(k * (scores[:, None] - references)).mean(1)


def centred(
    scores: Float[Tensor, " reply"], references: Float[Tensor, "reply reference"]
) -> Float[Tensor, " reply"]:
    """Scores above the mean of the reference replies to the same prompt."""
    return (scores[:, None] - references).mean(1)


def sigmoid_centred(
    scores: Float[Tensor, " reply"],
    references: Float[Tensor, "reply reference"],
    *,
    k: float = 1.0,
) -> Float[Tensor, " reply"]:
    """Sigmoid of the centred score; PAR takes the mean of sigmoids instead, which is not it."""
    return torch.sigmoid(k * centred(scores, references))


def log_sigmoid_centred(
    scores: Float[Tensor, " reply"], references: Float[Tensor, "reply reference"]
) -> Float[Tensor, " reply"]:
    """Log of the sigmoid of the centred score: bounded above by 0.

    Wang et al. 2024, arXiv:2402.00742.
    """
    return torch.nn.functional.logsigmoid(centred(scores, references))


def tanh_bounded(scores: Float[Tensor, " reply"], *, scale: float = 1.0) -> Float[Tensor, " reply"]:
    """Bounded in (-scale, scale) with slope 1 at 0."""
    return scale * torch.tanh(scores / scale)


def clip_limits(scores: Float[Tensor, " reply"], *, deviations: float) -> tuple[float, float]:
    """Mean of reference replies' scores minus and plus so many standard deviations."""
    middle, width = float(scores.double().mean()), float(scores.double().std(correction=0))
    return middle - deviations * width, middle + deviations * width
