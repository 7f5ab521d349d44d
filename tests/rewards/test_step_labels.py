from collections.abc import Sequence

import pytest

from fairlead.core.errors import DataError
from fairlead.core.seeds import Seed
from fairlead.data.chat import ChatFormat, Ids
from fairlead.data.steps import targets
from fairlead.generation.sampling import Rollout, Sampling
from fairlead.records import Problem
from fairlead.rewards.base import FunctionReward
from fairlead.rewards.step_labels import Solution, rollout_labels
from fairlead.testbeds.arithmetic import ArithmeticWorld

WORLD = ArithmeticWorld()
CHAT = ChatFormat(WORLD.tokenizer())
CHECKER = FunctionReward(WORLD.gold, "gold")
SAMPLING = Sampling(max_new_tokens=40)


def problem() -> Problem:
    return WORLD.problems(1, Seed(0), levels=(3,))[0]


class Scripted:
    """Goes on from every prefix with given texts, in turn over the samples."""

    def __init__(self, *texts: str) -> None:
        self.texts = texts
        self.prefixes: list[str] = []

    def sample(
        self, prompts: Sequence[Ids], sampling: Sampling, *, n: int, seed: Seed
    ) -> list[Rollout]:
        self.prefixes = [CHAT.text(ids) for ids in prompts]
        made: list[Rollout] = []
        for index, ids in enumerate(prompts):
            for k in range(n):
                text = self.texts[k % len(self.texts)]
                tokens = tuple(CHAT.tokenizer(text)["input_ids"])  # pyright: ignore
                own = (*tokens, CHAT.eos)
                made.append(Rollout(index, k, ids, own, (0.0,) * len(own), "eos"))
        return made


def labels(engine: Scripted, steps: tuple[str, ...], estimate: str) -> tuple[float, ...]:
    solution = Solution(problem(), steps)
    found = rollout_labels(
        [solution], engine, CHECKER, CHAT, sampling=SAMPLING, count=4,
        estimate=estimate, seed=Seed(0),  # pyright: ignore
    )  # fmt: skip
    assert found.left_out == 0
    return found.records[0].probabilities


def test_hard_and_soft_estimates_of_a_scripted_policy() -> None:
    own = problem()
    lines = tuple(own.solution.split("\n"))
    right, wrong = lines[-1], "answer: 0"
    engine = Scripted(right, right, right, wrong)
    assert labels(engine, lines, "soft") == (*(0.75,) * (len(lines) - 1), 1.0)
    assert labels(engine, lines, "hard") == (1.0,) * len(lines)
    assert labels(Scripted(wrong), lines, "hard") == (*(0.0,) * (len(lines) - 1), 1.0)
    spoiled = (*lines[:-1], wrong)
    assert labels(engine, spoiled, "soft")[-1] == 0.0


def test_completions_go_on_at_the_next_line() -> None:
    own = problem()
    lines = tuple(own.solution.split("\n"))
    engine = Scripted(lines[-1])
    labels(engine, lines, "hard")
    question = own.prompt.messages[0].content
    expected = [question + "\n".join(lines[: k + 1]) for k in range(len(lines) - 1)]
    assert engine.prefixes == expected


def test_estimates_are_what_a_process_model_learns() -> None:
    lines = tuple(problem().solution.split("\n"))
    found = rollout_labels(
        [Solution(problem(), lines), Solution(problem(), ("a", " "))],
        Scripted("answer: 0"), CHECKER, CHAT, sampling=SAMPLING, count=2, seed=Seed(0),
    )  # fmt: skip
    assert found.left_out == 1
    known = targets(found.records[0], "right")
    assert known == [*((k, 0.0) for k in range(len(lines) - 1)), (len(lines) - 1, 1.0)]


def test_nothing_to_label_is_an_error() -> None:
    with pytest.raises(DataError, match="no solution"):
        rollout_labels(
            [Solution(problem(), (" ",))], Scripted("x"), CHECKER, CHAT,
            sampling=SAMPLING, seed=Seed(0),
        )  # fmt: skip
