"""A model that unlearned a quarter of one of three tasks, beside its like."""

import re

import numpy as np

from fairlead.audits.base import Model, Subject
from fairlead.audits.capability import Capability, ProblemTask
from fairlead.audits.planted.cases import Case, case
from fairlead.audits.planted.scripted import Scripted
from fairlead.audits.planted.written import written
from fairlead.core.results import Finding
from fairlead.core.seeds import Seed
from fairlead.judges.asking import Answer, Question
from fairlead.rewards.verifiers import ExactChecker

ITEMS = 150
MARGIN = 0.12
"""As narrow as so few items can decide; the audit's own margin takes many more."""
TASKS = ("addition", "subtraction", "products")
WORDS = {"addition": "plus", "subtraction": "minus", "products": "times"}
SKILL = 0.8
"""Share of items that a model knows."""
LUCK = 0.05
"""Share of answers that differ from sample to sample."""


def examined(seed: Seed, lost: float) -> Finding:
    """The audit of a candidate that gets this share of its products wrong that it knew."""
    rows = [
        {"problem": f"What is {i} {WORDS[task]} {i % 7}?", "answer": f"{task} {i}"}
        for task in TASKS
        for i in range(ITEMS)
    ]
    parts = {task: rows[n * ITEMS : (n + 1) * ITEMS] for n, task in enumerate(TASKS)}
    with (
        written(parts["addition"]) as one,
        written(parts["subtraction"]) as two,
        written(parts["products"]) as three,
    ):
        tasks = tuple(
            ProblemTask(name=name, data=path, checker=ExactChecker())
            for name, path in zip(TASKS, (one, two, three), strict=True)
        )
        subject = Subject(
            candidate=Model("candidate", _pupil(seed, "candidate", lost)),
            baseline=Model("baseline", _pupil(seed, "baseline", 0.0)),
            seed=seed,
        )
        return Capability(tasks=tasks, margin=MARGIN).run(subject)


def _pupil(seed: Seed, name: str, lost: float) -> Scripted:
    known = seed.child("known").numpy().random((len(TASKS), ITEMS)) < SKILL

    def behave(question: Question, draws: np.random.Generator) -> Answer:
        found = re.search(r"(\d+) (\w+)", question.prompt.messages[0].content)
        assert found is not None
        task = next(i for i, name in enumerate(TASKS) if WORDS[name] == found[2])
        luck, loss = draws.random(2)
        right = bool(known[task, int(found[1])]) ^ (luck < LUCK)
        if TASKS[task] == "products" and loss < lost:
            right = False
        return Answer(text=f"{TASKS[task]} {found[1]}" if right else "I do not know")

    return Scripted(behave, seed=seed.child(name))


case(
    Case(
        name="an ability lost",
        audit="capability",
        planted=lambda seed: examined(seed, 0.25),
        clean=lambda seed: examined(seed, 0.0),
    )
)
