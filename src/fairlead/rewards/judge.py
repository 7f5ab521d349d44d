"""A judge who writes, as a reward source: the protocol, and what happens to unreadable verdicts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from fairlead.core.errors import DataError
from fairlead.records import Prompt
from fairlead.rewards.base import Reply, Scored
from fairlead.rewards.preference import prompt_groups


class Judge(Protocol):
    """Anything that can be asked what replies are worth: a model, a service, a person."""

    def judge(self, prompt: Prompt, replies: Sequence[str]) -> Sequence[float | None]:
        """A score for each of the replies to one prompt; None where the verdict is unreadable.

        All replies to a prompt come at once, so that a judge may compare them.
        """
        ...


@dataclass(frozen=True)
class JudgeReward:
    """Scores replies by asking a judge.

    A verdict that cannot be read says nothing: it is counted, and the reply gets the mean score
    of the other replies to its prompt, or of all replies where those have none. It is never taken
    for a score of 0.
    """

    judge: Judge
    name: str = "judge"

    def score(self, replies: Sequence[Reply]) -> Scored:
        """One score for each reply; part `unparsed` is 1 where the verdict could not be read.

        Raises:
            DataError: not one verdict could be read.
        """
        group = prompt_groups(replies)
        given = torch.full((len(replies),), torch.nan)
        for number in range(int(group.max()) + 1):
            own = torch.nonzero(group == number).squeeze(1)
            asked = [replies[i] for i in own.tolist()]
            verdicts = self.judge.judge(asked[0].prompt, [reply.text for reply in asked])
            if len(verdicts) != len(asked):
                raise _wrong_count(len(verdicts), len(asked))
            given[own] = torch.tensor([torch.nan if v is None else float(v) for v in verdicts])
        unread = given.isnan()
        if bool(unread.all()):
            raise _nothing_read(len(replies))
        reasons = tuple("unparsed" if gone else "judged" for gone in unread.tolist())
        return Scored(_filled(given, group), {"unparsed": unread.float()}, reasons)


def _filled(given: Tensor, group: Tensor) -> Tensor:
    """Scores with nan replaced by the mean of the group, or else of all."""
    whole = given.nanmean()
    means = torch.stack([given[group == n].nanmean() for n in range(int(group.max()) + 1)])
    means = torch.where(means.isnan(), whole, means)
    return torch.where(given.isnan(), means[group], given)


def _nothing_read(count: int) -> DataError:
    return DataError(
        "not one verdict of the judge could be read",
        expected="scores",
        got=f"{count} unreadable verdicts",
        remedy="look at what the judge writes, and at how it is asked",
    )


def _wrong_count(got: int, expected: int) -> DataError:
    return DataError(
        "the judge gave another number of verdicts than it was shown replies",
        expected=f"{expected} verdicts, None for those it could not give",
        got=str(got),
    )
