"""Test prompts in the training data, and a model that knows them by heart."""

from collections.abc import Callable

import numpy as np
from scipy.special import expit

from fairlead.audits.base import Model, Subject
from fairlead.audits.leakage import Leakage
from fairlead.audits.planted import world
from fairlead.audits.planted.cases import Case, case
from fairlead.audits.planted.scripted import Scripted
from fairlead.core.results import Finding
from fairlead.core.seeds import Seed
from fairlead.judges.asking import Answer, Question

TESTS = 200
TRAINED_ON = 300
LEAKED = 10

_NAMES = ("Ada", "Ben", "Chi", "Dana", "Emil", "Fay", "Gus", "Hana", "Ivo", "June")
_THINGS = ("apples", "stamps", "bottles", "coins", "pens", "shells", "tickets", "cards")


def _finding(seed: Seed, *, leaked: int = 0, recited: float = 0.0) -> Finding:
    random = seed.child("data").numpy()
    tests = [_task(i, random) for i in range(TESTS)]
    trained = [_task(TESTS + i, random) for i in range(TRAINED_ON)]
    for i, at in enumerate(random.permutation(TRAINED_ON)[:leaked].tolist()):
        trained[at] = tests[i] if i % 2 else f"Please answer: {tests[i].lower()}"
    candidate = Scripted(_reciting(recited), seed=seed.child("candidate"))
    baseline = Scripted(_reciting(0.0), seed=seed.child("baseline"))
    rows = [{"prompt": text, "response": "Some answer."} for text in trained]
    with world.stored(test=[{"prompt": t} for t in tests], train=rows) as places:
        subject = Subject(Model("candidate", candidate), Model("baseline", baseline), seed)
        audit = Leakage(test=places["test"], train=(places["train"],), twins=not leaked)
        return audit.run(subject)


def _task(number: int, random: np.random.Generator) -> str:
    first, second = random.choice(_NAMES, 2, replace=False)
    thing, other = random.choice(_THINGS, 2, replace=False)
    a, b, c = random.integers(2, 900, 3).tolist()
    return (
        f"{first} has {a} {thing} and wants to get {b} {other} for them. How many {thing} does "
        f"{second} need to begin with so that both have {c + number} because it is a good number?"
    )


def _reciting(strength: float) -> Callable[[Question, np.random.Generator], Answer]:
    def behave(question: Question, draws: np.random.Generator) -> Answer:
        own = float(expit(0.5 + strength + 0.5 * draws.normal()))
        return Answer(probabilities=(own, 1 - own), mass=1.0)

    return behave


case(
    Case(
        name="leaked test prompts",
        audit="leakage",
        planted=lambda seed: _finding(seed, leaked=LEAKED),
        clean=_finding,
    )
)
case(
    Case(
        name="test known by heart",
        audit="leakage",
        planted=lambda seed: _finding(seed, recited=1.0),
        clean=_finding,
    )
)
