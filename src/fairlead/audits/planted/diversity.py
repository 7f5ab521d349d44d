"""A sampler that says nearly the same thing every time, beside one with fresh samples."""

import numpy as np

from fairlead.audits.base import Model, Subject
from fairlead.audits.diversity import Diversity, loss
from fairlead.audits.planted.cases import Case, case
from fairlead.audits.planted.coverage import covers, holds
from fairlead.audits.planted.scripted import Scripted
from fairlead.audits.planted.written import written
from fairlead.core.results import Finding
from fairlead.core.seeds import Seed
from fairlead.judges.asking import Answer, Question

PROMPTS, SAMPLES, LENGTH = 24, 5, 8
WORDS = np.array([f"{a}{b}" for a in ("ba", "de", "fi", "go", "hu", "ka") for b in "lmnrst"])


def sampled(seed: Seed, collapse: float, **settings: object) -> Finding:
    """The audit of a candidate that gives one fixed reply to a prompt with this probability."""
    rows = ({"prompt": f"Tell me about number {i}."} for i in range(PROMPTS))
    with written(rows) as prompts:
        subject = Subject(
            candidate=Model("candidate", _speaker(seed.child("candidate"), collapse)),
            baseline=Model("baseline", _speaker(seed.child("baseline"), 0.0)),
            seed=seed,
        )
        defaults = {"prompts": prompts, "samples": SAMPLES, "items": PROMPTS}
        return Diversity.model_validate(defaults | settings).run(subject)


def _speaker(seed: Seed, collapse: float) -> Scripted:
    def behave(question: Question, draws: np.random.Generator) -> Answer:
        if draws.random() < collapse:
            draws = seed.child(question.prompt.messages[0].content).numpy()
        count = draws.integers(LENGTH // 2, LENGTH * 2)
        return Answer(text=" ".join(draws.choice(WORDS, count)))

    return Scripted(behave, seed=seed)


case(
    Case(
        name="collapsed sampler",
        audit="diversity",
        planted=lambda seed: sampled(seed, 0.9),
        clean=lambda seed: sampled(seed, 0.0),
    )
)


@covers("loss of diversity, 60 prompts")
def _loss(seed: Seed) -> bool:
    draws = seed.child("data").numpy()
    base = draws.beta(6, 3, 60)
    ours = base * draws.beta(8, 2, 60)
    return holds(loss(np.column_stack([ours, base]), seed=seed, level=0.95), 0.2)
