"""From judged steps to a score of the solution, from rollouts to labels of steps, and votes.

Lightman et al. 2023, arXiv:2305.20050; Wang et al. 2023 (Math-Shepherd), arXiv:2312.08935.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

from jaxtyping import Bool, Float
from torch import Tensor

from fairlead.core.errors import DataError

Answer = TypeVar("Answer", bound=Hashable)


def log_product(logps: Float[Tensor, " step"]) -> Float[Tensor, ""]:
    """Log-probability in nats that every step is right, from those of the steps."""
    return logps.sum()


def product(logps: Float[Tensor, " step"]) -> Float[Tensor, ""]:
    """Probability that every step is right. It falls with every further step, however good."""
    return log_product(logps).exp()


def minimum(logps: Float[Tensor, " step"]) -> Float[Tensor, ""]:
    """Probability that the most doubtful step is right."""
    return logps.amin().exp()


def mean(logps: Float[Tensor, " step"]) -> Float[Tensor, ""]:
    """Mean probability of the steps."""
    return logps.exp().mean()


def last(logps: Float[Tensor, " step"]) -> Float[Tensor, ""]:
    """Probability that the last step is right."""
    return logps[-1].exp()


AGGREGATIONS = {"product": product, "minimum": minimum, "mean": mean, "last": last}
"""Solution scores by name. Each takes the log-probabilities [step] that the steps are right and
gives a probability."""


def hard_estimate(correct: Bool[Tensor, "step rollout"]) -> Float[Tensor, " step"]:
    """1 for a step from which any of its rollouts reached the right answer, else 0."""
    return correct.any(1).double()


def soft_estimate(correct: Bool[Tensor, "step rollout"]) -> Float[Tensor, " step"]:
    """Share of the rollouts from a step that reached the right answer.

    It depends on how able the rollouts' policy is: a value, not a verdict on the step.
    """
    return correct.double().mean(1)


def tally(answers: Sequence[Answer], scores: Iterable[float]) -> dict[Answer, float]:
    """Sum of the scores of the solutions with each answer, in order of appearance."""
    totals: dict[Answer, float] = {}
    for answer, score in zip(answers, scores, strict=True):
        totals[answer] = totals.get(answer, 0.0) + float(score)
    return totals


def weighted_vote(answers: Sequence[Answer], scores: Iterable[float]) -> Answer:
    """The answer whose solutions have the greatest sum of scores; the first of several.

    Raises:
        DataError: nobody votes.
    """
    return _winner(tally(answers, scores))


def majority_vote(answers: Sequence[Answer]) -> Answer:
    """The most frequent answer (self-consistency, Wang et al. 2022, arXiv:2203.11171).

    The first of several.

    Raises:
        DataError: nobody votes.
    """
    return _winner(tally(answers, [1.0] * len(answers)))


def _winner(totals: Mapping[Answer, float]) -> Answer:
    if not totals:
        raise DataError(
            "no answer to vote for", expected="at least one solution with an answer", got="none"
        )
    return max(totals, key=lambda answer: totals[answer])
