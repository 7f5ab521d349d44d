"""Checkers as reward sources. Lambert et al. 2024 (Tülu 3), arXiv:2411.15124."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fairlead.core.errors import DataError
from fairlead.rewards.base import Reply, Scored
from fairlead.rewards.verifiers.base import Checked, Checker

TRUNCATED = Checked(0.0, "", "truncated")


@dataclass(frozen=True)
class VerifierReward:
    """Scores replies with a checker, against the problem that each reply carries.

    A reply that was cut off is wrong, whatever it had said until then.
    """

    checker: Checker
    name: str = "verifier"
    workers: int = 4
    """Replies checked at once; code and symbolic algebra run in processes of their own."""
    scale: float = 1.0
    """Reward of a right reply; Tülu 3 gives 10."""
    allow_truncated: bool = False
    """Whether replies that were cut off are checked too."""

    def score(self, replies: Sequence[Reply]) -> Scored:
        """One score for each reply, with the reason and, where a checker joins several, its parts.

        Raises:
            DataError: a reply carries no problem, or one that the checker cannot use.
        """
        checked = check_all(
            self.checker, replies, workers=self.workers, allow_truncated=self.allow_truncated
        )
        return Scored(
            self.scale * _scores(checked), _parts(checked), tuple(c.reason for c in checked)
        )


@dataclass(frozen=True)
class CheckedGap:
    """Scores with one checker and reports what another, hidden from the policy, says.

    Where `parts["hidden"]` stays behind the score, the policy games the visible checker.
    """

    visible: Checker
    """What is optimised, such as the tests a policy may have seen."""
    hidden: Checker
    """What is only measured, such as tests kept apart."""
    name: str = "checked_gap"
    workers: int = 4
    scale: float = 1.0
    allow_truncated: bool = False

    def score(self, replies: Sequence[Reply]) -> Scored:
        """The visible scores; `parts` has both, unscaled.

        Raises:
            DataError: a reply carries no problem, or one that a checker cannot use.
        """
        visible, hidden = (
            check_all(c, replies, workers=self.workers, allow_truncated=self.allow_truncated)
            for c in (self.visible, self.hidden)
        )
        parts = _parts(visible) | {"visible": _scores(visible), "hidden": _scores(hidden)}
        return Scored(self.scale * parts["visible"], parts, tuple(c.reason for c in visible))


def check_all(
    checker: Checker, replies: Sequence[Reply], *, workers: int, allow_truncated: bool
) -> list[Checked]:
    """Checks replies, several at once, in their order.

    Raises:
        DataError: a reply carries no problem, or one that the checker cannot use.
    """

    def one(reply: Reply) -> Checked:
        if reply.problem is None:
            raise DataError(
                "a verifier needs the problem that a reply answers",
                where=reply.prompt.first_user_turn[:80],
                remedy="sample from problems (records with an answer), not from bare prompts",
            )
        if reply.finish == "length" and not allow_truncated:
            return TRUNCATED
        return checker.check(reply.problem, reply.text)

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(one, replies))


def _scores(checked: Sequence[Checked]) -> Float[Tensor, " reply"]:
    return torch.tensor([c.score for c in checked], dtype=torch.float32)


def _parts(checked: Sequence[Checked]) -> dict[str, Float[Tensor, " reply"]]:
    """Every part by name; a reply that was not checked, as a truncated one, has 0 of each."""
    names = sorted({name for c in checked for name in c.parts})
    return {n: torch.tensor([c.parts.get(n, 0.0) for c in checked]) for n in names}
