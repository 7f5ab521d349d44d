import re

import pytest

from fairlead.objectives import OBJECTIVES
from fairlead.pipeline.methods import PROCEDURES, Method, methods

BY_KIND = {method.kind: method for method in methods()}


def test_every_objective_and_every_procedure_is_listed_once():
    kinds = [method.kind for method in methods()]
    assert len(kinds) == len(set(kinds))
    assert set(kinds) == {*OBJECTIVES, *(method.kind for method in PROCEDURES)}


@pytest.mark.parametrize("method", PROCEDURES, ids=lambda method: method.kind)
def test_a_procedure_describes_itself_as_objectives_do(method: Method):
    assert re.search(r"\d{4}", method.source)
    assert method.choose.endswith(".")
    assert method.equation.isascii() and method.equation.count("{") == method.equation.count("}")
    assert method.needs == tuple(sorted(method.needs)) != ()


@pytest.mark.parametrize(
    ("kind", "needs"),
    [
        ("sft", ("demonstrations",)),
        ("dpo", ("pairs", "reference")),
        ("bradley_terry", ("pairs", "reward head")),
        ("ppo", ("prompts", "reward model or verifier", "rollouts", "value head")),
    ],
)
def test_needs_are_words_that_users_know(kind: str, needs: tuple[str, ...]):
    assert BY_KIND[kind].needs == needs


def test_an_objective_says_the_same_here_as_in_its_class():
    dpo = BY_KIND["dpo"]
    objective = OBJECTIVES["dpo"]
    assert (dpo.title, dpo.source, dpo.equation, dpo.choose) == (
        objective.title,
        objective.source,
        objective.equation,
        objective.choose,
    )
