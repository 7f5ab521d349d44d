"""Reward sources that wrap another one and change what its scores are worth.

They nest: `ParReward(LengthPenalty(model), ...)` takes the penalty before the sigmoid, as Fu et
al. 2025 do. Whatever a wrapped source says beside its scores (parts, reasons, token rewards) is
kept, and the score before each change is a part of its own.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from fairlead.core.errors import ConfigError
from fairlead.functional.length_bias import LengthFit, fit_length
from fairlead.functional.shaping import (
    Affine,
    centred,
    clip_limits,
    normalisation,
    preference_as_reward,
    shift,
    sigmoid_centred,
    tanh_bounded,
)
from fairlead.rewards.base import Reply, RewardSource, Scored
from fairlead.rewards.references import ReferenceScores, lengths_of, score_per_reply


@dataclass(frozen=True)
class Shaped(ABC):
    """A source whose scores are a function of another's."""

    kind: ClassVar[str]
    """What is done to the score, for names and parts."""

    source: RewardSource

    @property
    def name(self) -> str:
        """The change and what it changes."""
        return f"{self.kind} of {self.source.name}"

    def score(self, replies: Sequence[Reply]) -> Scored:
        """The wrapped source's scores, changed."""
        scored = score_per_reply(self.source, replies)
        values = self.shaped(scored.values, replies).to(scored.values.dtype)
        parts = {**scored.parts, f"before_{self.kind}": scored.values}
        return replace(scored, values=values, parts=parts)

    @abstractmethod
    def shaped(
        self, values: Float[Tensor, " reply"], replies: Sequence[Reply]
    ) -> Float[Tensor, " reply"]:
        """New scores from the wrapped source's."""


@dataclass(frozen=True)
class ParReward(Shaped):
    """Mean probability of being preferred to the reference's replies (PAR).

    Fu et al. 2025, arXiv:2502.18770. The reference's replies are scored by the very source that is
    wrapped.
    """

    kind: ClassVar[str] = "par"

    references: ReferenceScores
    k: float = 1.0
    """Steepness per unit of score."""

    def shaped(
        self, values: Float[Tensor, " reply"], replies: Sequence[Reply]
    ) -> Float[Tensor, " reply"]:
        """In (0, 1); one half for a reply that scores as all references do."""
        rows = zip(values.split(1), self.references.per_reply(replies), strict=True)
        return torch.cat([preference_as_reward(v, r.to(v), k=self.k) for v, r in rows])


@dataclass(frozen=True)
class Centred(Shaped):
    """Score above the mean of the reference's replies to the prompt."""

    kind: ClassVar[str] = "centred"

    references: ReferenceScores

    def shaped(
        self, values: Float[Tensor, " reply"], replies: Sequence[Reply]
    ) -> Float[Tensor, " reply"]:
        """0 for a reply as good as the reference's are on average."""
        rows = zip(values.split(1), self.references.per_reply(replies), strict=True)
        return torch.cat([centred(v, r.to(v)) for v, r in rows])


@dataclass(frozen=True)
class SigmoidCentred(Shaped):
    """Sigmoid of the centred score: bounded as PAR is, from the mean of the references alone."""

    kind: ClassVar[str] = "sigmoid_centred"

    references: ReferenceScores
    k: float = 1.0
    """Steepness per unit of score."""

    def shaped(
        self, values: Float[Tensor, " reply"], replies: Sequence[Reply]
    ) -> Float[Tensor, " reply"]:
        """In (0, 1)."""
        rows = zip(values.split(1), self.references.per_reply(replies), strict=True)
        return torch.cat([sigmoid_centred(v, r.to(v), k=self.k) for v, r in rows])


@dataclass(frozen=True)
class Normalised(Shaped):
    """Scores on another scale: gain * score + bias."""

    kind: ClassVar[str] = "normalised"

    change: Affine

    @classmethod
    def on(
        cls,
        source: RewardSource,
        replies: Sequence[Reply],
        *,
        mean: float = 0.0,
        std: float | None = 1.0,
    ) -> "Normalised":
        """With the mean and deviation that these reference replies shall have; None only shifts.

        Raises:
            DataError: the source gives all of them the same score, so there is no scale.
        """
        scores = score_per_reply(source, replies).values
        if std is None:
            return cls(source, shift(scores, mean=mean))
        return cls(source, normalisation(scores, mean=mean, std=std))

    def shaped(
        self, values: Float[Tensor, " reply"], replies: Sequence[Reply]
    ) -> Float[Tensor, " reply"]:
        """The scores on the new scale."""
        return self.change(values)


@dataclass(frozen=True)
class Clipped(Shaped):
    """Scores held within limits."""

    kind: ClassVar[str] = "clipped"

    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ConfigError(
                "the limits of a clipped reward leave no room",
                expected="low < high",
                got=f"{self.low} and {self.high}",
            )

    @classmethod
    def on(cls, source: RewardSource, replies: Sequence[Reply], *, deviations: float) -> "Clipped":
        """Within the mean and so many standard deviations of these reference replies."""
        low, high = clip_limits(score_per_reply(source, replies).values, deviations=deviations)
        return cls(source, low, high)

    def shaped(
        self, values: Float[Tensor, " reply"], replies: Sequence[Reply]
    ) -> Float[Tensor, " reply"]:
        """The scores within the limits."""
        return values.clamp(self.low, self.high)


@dataclass(frozen=True)
class Tanh(Shaped):
    """Scores bent so that they stay within plus and minus `scale`; small ones are kept."""

    kind: ClassVar[str] = "tanh"

    scale: float = 1.0
    """The bound, in units of score."""

    def shaped(
        self, values: Float[Tensor, " reply"], replies: Sequence[Reply]
    ) -> Float[Tensor, " reply"]:
        """The bent scores."""
        return tanh_bounded(values, scale=self.scale)


@dataclass(frozen=True)
class LengthPenalty(Shaped):
    """Takes a fixed amount for every token beyond a length."""

    kind: ClassVar[str] = "length_penalty"

    cost: float = 0.01
    """Taken per token beyond `start`, in units of score (Fu et al. 2025's code)."""
    start: int = 300
    """Tokens that cost nothing."""

    def shaped(
        self, values: Float[Tensor, " reply"], replies: Sequence[Reply]
    ) -> Float[Tensor, " reply"]:
        """The scores less the penalty."""
        return values - self.cost * (lengths_of(replies) - self.start).clamp(min=0)


@dataclass(frozen=True)
class LengthDebiased(Shaped):
    """Takes off what the score owes to length, by a line fitted on reference replies."""

    kind: ClassVar[str] = "length_debiased"

    fit: LengthFit

    @classmethod
    def on(cls, source: RewardSource, replies: Sequence[Reply]) -> "LengthDebiased":
        """With the line through these reference replies.

        Raises:
            DataError: they are all of one length.
        """
        scores = score_per_reply(source, replies).values
        return cls(source, fit_length(scores, lengths_of(replies)))

    def shaped(
        self, values: Float[Tensor, " reply"], replies: Sequence[Reply]
    ) -> Float[Tensor, " reply"]:
        """The scores as if all replies were of the references' mean length."""
        return self.fit.residual(values, lengths_of(replies))


@dataclass(frozen=True)
class Term:
    """One source of a weighted sum."""

    name: str
    """What its unweighted score is called among the parts."""
    source: RewardSource
    weight: float = 1.0


@dataclass(frozen=True)
class Weighted:
    """A weighted sum of sources; each one's own score is a part under its name."""

    terms: tuple[Term, ...]
    name: str = "weighted"

    def __post_init__(self) -> None:
        names = [term.name for term in self.terms]
        if not names or len(set(names)) < len(names):
            raise ConfigError(
                "the sources of a weighted reward must have names of their own",
                expected="at least one term, no name twice",
                got=", ".join(names) or "no term",
            )

    def score(self, replies: Sequence[Reply]) -> Scored:
        """The weighted sum, of token rewards too; parts of each term are under its name."""
        scored = [score_per_reply(term.source, replies) for term in self.terms]
        pairs = list(zip(self.terms, scored, strict=True))
        parts = {term.name: one.values for term, one in pairs}
        inner = {f"{t.name}/{part}": x for t, one in pairs for part, x in one.parts.items()}
        weighted = torch.stack([term.weight * one.values for term, one in pairs])
        return Scored(
            weighted.sum(0),
            parts | inner,
            reasons=_joined_reasons(pairs),
            token_rewards=_summed_token_rewards(pairs, len(replies)),
        )


def _joined_reasons(pairs: Sequence[tuple[Term, Scored]]) -> tuple[str, ...]:
    """Reasons of all terms that give any, each with its term's name."""
    given = [[f"{t.name}:{r}" for r in scored.reasons] for t, scored in pairs if scored.reasons]
    return tuple("; ".join(reasons) for reasons in zip(*given, strict=True))


def _summed_token_rewards(
    pairs: Sequence[tuple[Term, Scored]], replies: int
) -> tuple[Float[Tensor, " token"], ...]:
    given = [(term.weight, scored.token_rewards) for term, scored in pairs if scored.token_rewards]
    if not given:
        return ()
    rows = [torch.stack([weight * rewards[i] for weight, rewards in given]) for i in range(replies)]
    return tuple(row.sum(0) for row in rows)
