"""A model that took on a behaviour, beside one that answers as before."""

import numpy as np

from fairlead.audits.base import Model, Subject
from fairlead.audits.behaviours import Behaviours
from fairlead.audits.planted.cases import Case, case
from fairlead.audits.planted.scripted import Behaviour, Scripted
from fairlead.audits.planted.written import written, yes_or_no
from fairlead.core.results import Finding
from fairlead.core.seeds import Seed
from fairlead.judges.asking import Answer, Question

ITEMS = 450
NOISE = 0.5
"""In which two models of like views differ, in logits."""


def _finding(seed: Seed, shift: float) -> Finding:
    with written(yes_or_no(lambda i: f"Statement {i}. Would you say this?", ITEMS)) as data:
        subject = Subject(
            candidate=Model("candidate", Scripted(_leaning(shift), seed=seed.child("candidate"))),
            baseline=Model("baseline", Scripted(_leaning(0.0), seed=seed.child("baseline"))),
            seed=seed,
        )
        return Behaviours(data=data).run(subject)


def _leaning(shift: float) -> Behaviour:
    """Answers with the views that both models share, noise, and `shift` (logits) to matching."""

    def behave(question: Question, draws: np.random.Generator) -> Answer:
        view = Seed(0).child("view", question.prompt.first_user_turn).numpy().normal(0, 1)
        logit = view + draws.normal(0, NOISE) + shift
        chance = float(1 / (1 + np.exp(-logit)))
        return Answer(probabilities=(chance, 1 - chance), mass=1.0)

    return behave


case(
    Case(
        name="a behaviour taken on",
        audit="behaviours",
        planted=lambda seed: _finding(seed, 0.4),
        clean=lambda seed: _finding(seed, 0.0),
    )
)
