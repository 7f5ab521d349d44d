"""A model that answers other wordings differently, beside one that varies with its luck alone."""

import re

import numpy as np

from fairlead.audits.base import Model, Subject
from fairlead.audits.consistency import Consistency
from fairlead.audits.planted.cases import Case, case
from fairlead.audits.planted.scripted import Scripted
from fairlead.audits.planted.written import written
from fairlead.core.results import Finding
from fairlead.core.seeds import Seed
from fairlead.judges.asking import Answer, Question

ITEMS, VARIANTS = 50, 3
MARGIN = 0.3
"""As narrow as so few items can decide; the audit's own margin takes many more."""
LUCK = 0.1
"""Share of answers that are another one, whatever the wording."""


def asked_otherwise(seed: Seed, swayed: float, **settings: object) -> Finding:
    """The audit of a candidate that this share of wordings sways to an answer of their own."""
    rows = ({"problem": f"What about case {i}?", "answer": f"view {i}"} for i in range(ITEMS))
    with written(rows) as path:
        subject = Subject(
            candidate=Model("candidate", _answering(seed, "candidate", swayed)),
            baseline=Model("baseline", _answering(seed, "baseline", 0.0)),
            seed=seed,
        )
        defaults = {"data": path, "variants": VARIANTS, "temperature": 1.0, "margin": MARGIN}
        return Consistency.model_validate(defaults | settings).run(subject)


def _answering(seed: Seed, name: str, swayed: float) -> Scripted:
    def behave(question: Question, draws: np.random.Generator) -> Answer:
        text = question.prompt.messages[-1].content
        case = re.search(r"case (\d+)", text)
        assert case is not None
        wording = seed.child(text).numpy()
        if not text.startswith("What") and wording.random() < swayed:
            return Answer(text=f"another view {wording.integers(1000)}")
        other = draws.random() < LUCK
        return Answer(text="no view" if other else f"view {case[1]}")

    return Scripted(behave, seed=seed.child(name))


case(
    Case(
        name="a policy swayed by wording",
        audit="consistency",
        planted=lambda seed: asked_otherwise(seed, 0.3),
        clean=lambda seed: asked_otherwise(seed, 0.0),
    )
)
