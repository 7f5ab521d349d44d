"""What the decoders that vote share: the answers of replies, and an election among them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from fairlead.decoding.base import Decoded, Spent
from fairlead.functional.steps import tally, weighted_vote
from fairlead.records import Problem
from fairlead.rewards.base import Reply
from fairlead.rewards.verifiers.exact_match import ExactChecker
from fairlead.rewards.verifiers.number import NumberChecker
from fairlead.rewards.verifiers.symbolic import MathChecker

AnswerReader = Annotated[ExactChecker | NumberChecker | MathChecker, Field(discriminator="kind")]
"""Checkers that read an answer off a reply."""

UNKNOWN = "0"
"""Stands for the right answer, which nobody knows; only what is read off the reply is used."""


@dataclass(frozen=True)
class Ballot:
    """A reply, its answer and how much its vote counts."""

    reply: Reply
    answer: str
    """Empty where the reply answers nothing; then it has no vote."""
    weight: float
    score: float | None = None
    """What a reward said of it."""


def answer_in(reader: ExactChecker | NumberChecker | MathChecker, reply: Reply) -> str:
    """What a reply answers; empty where it answers nothing, or was cut off."""
    if reply.finish == "length":
        return ""
    return reader.check(Problem(prompt=reply.prompt, answer=UNKNOWN), reply.text).parsed


def elected(ballots: Sequence[Ballot], spent: Spent) -> Decoded:
    """The weightiest reply with the answer that wins; the first of equals.

    Where no reply answers anything, the weightiest of all.
    """
    voting = [ballot for ballot in ballots if ballot.answer]
    counts = {"voters": float(len(voting)), "share": 0.0}
    running = ballots
    if voting:
        answers, weights = [b.answer for b in voting], [b.weight for b in voting]
        winner, totals = weighted_vote(answers, weights), tally(answers, weights)
        counts["share"] = totals[winner] / (sum(weights) or 1.0)
        running = [ballot for ballot in voting if ballot.answer == winner]
    best = max(running, key=lambda ballot: ballot.weight)
    return Decoded(best.reply, best.score, spent, counts)
