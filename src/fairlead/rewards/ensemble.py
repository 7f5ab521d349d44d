"""Several reward models as one source. Coste et al. 2023, arXiv:2310.02743.

Members may differ by seed, by fold of the data or by group of annotators, or be heads on one
trunk. Members that share pretraining share errors: agreement is not safety.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat
from torch import Tensor

from fairlead.core.errors import ConfigError
from fairlead.functional.ensembles import (
    disagreement,
    ensemble_mean,
    lower_bound,
    most_sceptical,
    spread,
    variance_penalised,
    worst_case,
)
from fairlead.functional.shaping import Affine, normalisation
from fairlead.rewards.base import Reply, RewardSource, Scored
from fairlead.rewards.references import score_per_reply


class Combination(BaseModel, ABC):
    """How the members' scores become one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @abstractmethod
    def __call__(self, scores: Float[Tensor, "member reply"]) -> Float[Tensor, " reply"]:
        """One score per reply."""


class MeanOfMembers(Combination):
    """The mean: less noise, no caution."""

    kind: Literal["mean"] = "mean"

    def __call__(self, scores: Float[Tensor, "member reply"]) -> Float[Tensor, " reply"]:
        """Mean over the members."""
        return ensemble_mean(scores)


class WorstMember(Combination):
    """What the most sceptical member says; nothing to set."""

    kind: Literal["worst"] = "worst"

    def __call__(self, scores: Float[Tensor, "member reply"]) -> Float[Tensor, " reply"]:
        """Least over the members."""
        return worst_case(scores)


class LowerBound(Combination):
    """Mean less some standard deviations."""

    kind: Literal["lower_bound"] = "lower_bound"
    k: NonNegativeFloat = 1.0
    """Standard deviations taken off."""
    unbiased: bool = True
    """Divide the squares by members - 1 instead of members."""

    def __call__(self, scores: Float[Tensor, "member reply"]) -> Float[Tensor, " reply"]:
        """Mean less k deviations over the members."""
        return lower_bound(scores, k=self.k, unbiased=self.unbiased)


class VariancePenalised(Combination):
    """Mean less a multiple of the variance (uncertainty-weighted optimisation)."""

    kind: Literal["variance_penalised"] = "variance_penalised"
    coefficient: NonNegativeFloat = 0.1
    """Taken per unit of variance; the authors' code has 0.1 for PPO and 0.5 for best-of-n."""
    unbiased: bool = True
    """Divide the squares by members - 1 instead of members: the authors do in PPO, but not in
    best-of-n."""

    def __call__(self, scores: Float[Tensor, "member reply"]) -> Float[Tensor, " reply"]:
        """Mean less the penalty over the members."""
        return variance_penalised(scores, coefficient=self.coefficient, unbiased=self.unbiased)


AnyCombination = Annotated[
    MeanOfMembers | WorstMember | LowerBound | VariancePenalised, Field(discriminator="kind")
]
"""For recipes: `{kind: worst}`."""


@dataclass(frozen=True)
class Heads:
    """Members that share a trunk: parts of one source's answer, from one pass through the model."""

    source: RewardSource
    parts: tuple[str, ...]
    """Names of the parts that are members."""

    def scores(self, replies: Sequence[Reply]) -> list[Float[Tensor, " reply"]]:
        """The scores of each head.

        Raises:
            ConfigError: the source has no part of that name.
        """
        found = score_per_reply(self.source, replies).parts
        if missing := [name for name in self.parts if name not in found]:
            raise ConfigError(
                f"{self.source.name} has no such head",
                expected=", ".join(sorted(found)) or "a source with parts",
                got=", ".join(missing),
                remedy="name parts that the source reports",
            )
        return [found[name] for name in self.parts]


Member = RewardSource | Heads


@dataclass(frozen=True)
class EnsembleReward:
    """Scores replies with all members and combines what they say.

    Parts: every member's score on the common scale, their spread, how often two of them order the
    replies to a prompt differently, and which of them was the most sceptical (as 0 or 1, so that
    its mean is the share of replies; a share near 1 says that one member decides alone).
    """

    members: tuple[Member, ...]
    combine: Combination = WorstMember()  # noqa: RUF009 - frozen
    scales: tuple[Affine, ...] = ()
    """Brings each member to the common scale; empty where they are on one already."""
    name: str = "ensemble"

    def __post_init__(self) -> None:
        if not self.members:
            raise ConfigError("an ensemble without members", expected="at least one", got="none")

    @classmethod
    def normalised(
        cls,
        members: tuple[Member, ...],
        replies: Sequence[Reply],
        *,
        combine: Combination | None = None,
    ) -> "EnsembleReward":
        """With every member at mean 0 and standard deviation 1 on these reference replies.

        Raises:
            DataError: a member gives all of them the same score, so it has no scale.
        """
        ensemble = cls(members, combine or WorstMember())
        table = ensemble.member_scores(replies)
        return replace(ensemble, scales=tuple(normalisation(row) for row in table))

    def member_scores(self, replies: Sequence[Reply]) -> Float[Tensor, "member reply"]:
        """What each member says, on the common scale."""
        rows = [row for member in self.members for row in _rows(member, replies)]
        scales = self.scales or (Affine(),) * len(rows)
        return torch.stack([change(row) for change, row in zip(scales, rows, strict=True)])

    def score(self, replies: Sequence[Reply]) -> Scored:
        """The combined score of each reply."""
        table = self.member_scores(replies)
        sceptic = most_sceptical(table)
        parts = {
            "spread": spread(table),
            "disagreement": disagreement(table, _groups(replies)),
        }
        for number, row in enumerate(table):
            parts[f"member_{number}"] = row
            parts[f"lowest_{number}"] = (sceptic == number).to(row.dtype)
        return Scored(self.combine(table), parts)


def _rows(member: Member, replies: Sequence[Reply]) -> list[Float[Tensor, " reply"]]:
    """Scores of one member, or of each head where it has several."""
    if isinstance(member, Heads):
        return member.scores(replies)
    scored = score_per_reply(member, replies)
    if scored.token_rewards:
        raise ConfigError(
            f"{member.name} rewards single tokens, which an ensemble cannot combine",
            expected="members with one score per reply",
            remedy="add it beside the ensemble in a weighted reward",
        )
    return [scored.values]


def _groups(replies: Sequence[Reply]) -> Tensor:
    """A number for each reply, equal for equal prompts."""
    known: dict[object, int] = {}
    return torch.tensor([known.setdefault(r.prompt.messages, len(known)) for r in replies])
