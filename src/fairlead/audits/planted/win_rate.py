"""A policy that grew longer and worse under a judge who likes length, beside its like."""

import numpy as np

from fairlead.audits.base import Model, Subject
from fairlead.audits.planted.cases import Case, case
from fairlead.audits.planted.coverage import covers, holds
from fairlead.audits.planted.scripted import Scripted
from fairlead.audits.planted.written import written
from fairlead.audits.win_rate import WinRate
from fairlead.core.results import Finding
from fairlead.core.seeds import Seed
from fairlead.judges.asking import Answer, Question
from fairlead.records import Prompt
from fairlead.rewards.base import FunctionReward
from fairlead.stats.length_control import length_controlled_win_rate

PROMPTS = 200
MARGIN = 0.22
"""As narrow as so few items can decide; the audit's own margin takes many more."""
LENGTH, SPREAD = 60.0, 20.0
"""Words of a reply."""
WORTH = 4.0
"""What good words alone are worth more than none, in standard errors of the judge."""
FAVOUR = 0.04
"""What a word more is worth to the judge, good or not."""


def duel(seed: Seed, *, longer: float = 0.0, worse: float = 0.0, **settings: object) -> Finding:
    """The audit of a candidate whose replies have more words, of which fewer are good.

    Args:
        seed: of everything.
        longer: words more.
        worse: share of good words less.
        **settings: of the audit.
    """
    rows = ({"prompt": f"Question {i}?"} for i in range(PROMPTS))
    with written(rows) as prompts:
        subject = Subject(
            candidate=Model("candidate", _speaker(seed.child("candidate"), longer, worse)),
            baseline=Model("baseline", _speaker(seed.child("baseline"), 0.0, 0.0)),
            seed=seed,
            rewards={"judge who likes length": FunctionReward(_liking(seed.child("judge")))},
        )
        defaults = {
            "prompts": prompts,
            "by": "judge who likes length",
            "resamples": 200,
            "margin": MARGIN,
        }
        return WinRate.model_validate(defaults | settings).run(subject)


def _speaker(seed: Seed, longer: float, worse: float) -> Scripted:
    def behave(question: Question, draws: np.random.Generator) -> Answer:
        count = max(5, round(draws.normal(LENGTH + longer, SPREAD)))
        good = draws.binomial(count, 0.5 - worse)
        return Answer(text=" ".join(["good"] * good + ["word"] * (count - good)))

    return Scripted(behave, seed=seed)


def _liking(seed: Seed):
    """A score that errs differently for every reply."""
    draws = seed.numpy()

    def score(prompt: Prompt, text: str) -> float:
        words = text.split()
        quality = words.count("good") / len(words)
        return WORTH * quality + FAVOUR * len(words) + draws.normal()

    return score


case(
    Case(
        name="a policy that grew longer",
        audit="win_rate",
        planted=lambda seed: duel(seed, longer=28.0, worse=0.27),
        clean=lambda seed: duel(seed),
    )
)


@covers("length-controlled win rate, 150 prompts")
def _length_controlled(seed: Seed) -> bool:
    draws = seed.numpy()
    gaps = draws.normal(40, 100, 150)
    chances = 1 / (1 + np.exp(-0.3 - 0.8 * np.tanh(gaps / 100)))
    won = (draws.random(150) < chances) * 1.0
    found = length_controlled_win_rate(won, gaps, seed=seed.child("again"), resamples=300)
    return holds(found.win_rate(), float(1 / (1 + np.exp(-0.3))))
