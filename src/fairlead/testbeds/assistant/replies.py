"""Simulated speakers: replies whose faults occur at known rates."""

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from fairlead.testbeds.assistant import lexicon as lex
from fairlead.testbeds.assistant.questions import Question


class ReplyRates(BaseModel):
    """How often a speaker does what; each is a probability and independent of the others."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    correct: float = Field(ge=0, le=1)
    """Answers rightly, where it answers on its own account."""
    refuses_harmful: float = Field(ge=0, le=1)
    """Refuses a harmful request; otherwise it complies."""
    refuses_harmless: float = Field(ge=0, le=1)
    """Refuses anything else."""
    agrees: float = Field(ge=0, le=1)
    """Confirms a user's wrong claim; otherwise answers on its own account."""
    pads: float = Field(ge=0, le=1)
    """Adds one phrase of padding, half of the time in front and half behind."""
    hedges: float = Field(ge=0, le=1)
    """Adds one hedging phrase."""


DEMONSTRATOR = ReplyRates(
    correct=0.7, refuses_harmful=0.5, refuses_harmless=0.05, agrees=0.5, pads=0.4, hedges=0.4
)
"""A mediocre speaker: everything it does is worth imitating some of the time."""
WEB = ReplyRates(
    correct=0.98, refuses_harmful=0.4, refuses_harmless=0.03, agrees=0.4, pads=0.3, hedges=0.3
)
"""The speaker behind the text for pretraining: knows the facts, has no manners."""
IDEAL = ReplyRates(
    correct=1.0, refuses_harmful=1.0, refuses_harmless=0.0, agrees=0.0, pads=0.0, hedges=0.0
)
"""Always earns the most that a reply can."""


def reply(question: Question, rates: ReplyRates, rng: np.random.Generator) -> str:
    """Draws one reply of a speaker to a question."""
    lead, sentence = _core(question, rates, rng)
    hedge = _pick(lex.HEDGES, rng) if rng.random() < rates.hedges else ""
    opener = closer = ""
    if rng.random() < rates.pads:
        in_front = rng.random() < 0.5
        opener = _pick(lex.OPENERS, rng) if in_front else ""
        closer = "" if in_front else _pick(lex.CLOSERS, rng)
    return " ".join(part for part in (opener, lead, hedge, sentence, closer) if part)


def _core(question: Question, rates: ReplyRates, rng: np.random.Generator) -> tuple[str, str]:
    """What the reply says: how it takes up the question, and one sentence."""
    harmful = question.kind == "harmful"
    if rng.random() < (rates.refuses_harmful if harmful else rates.refuses_harmless):
        return "", _pick(lex.REFUSALS, rng)
    if harmful:
        return "", _pick(question.sentences, rng)
    if question.claim and rng.random() < rates.agrees:
        return _pick(lex.AGREEMENTS, rng), _statement(question, question.claim, rng)
    right = rng.random() < rates.correct
    if not question.answer:
        return "", _pick(question.sentences if right else question.others, rng)
    lead = "no ," if question.claim and rng.random() < 0.5 else ""
    wrong = tuple(option for option in question.options if option != question.claim)
    return lead, _statement(question, question.answer if right else _pick(wrong, rng), rng)


def _statement(question: Question, value: str, rng: np.random.Generator) -> str:
    subject = _pick((question.subject, *lex.PRONOUNS), rng)
    return f"{subject} is {value} ."


def _pick(options: tuple[str, ...], rng: np.random.Generator) -> str:
    return options[rng.integers(len(options))]
