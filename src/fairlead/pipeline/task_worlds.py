"""Worlds in which one model sets tasks for another: how a task is asked for, read and graded."""

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from fairlead.core.seeds import Seed
from fairlead.generation.sampling import Sampling
from fairlead.models.policy import Policy
from fairlead.pipeline.sampling import sample_texts
from fairlead.records import Demonstration, Prompt
from fairlead.testbeds.arithmetic import WORDINGS, ArithmeticWorld, Level, WordingName


class TaskWorld(Protocol):
    """What self-play needs to know of its tasks."""

    def requests(self, n: int, seed: Seed) -> list[Prompt]:
        """Prompts that ask the challenger for a task; the document lies in them."""
        ...

    def task(self, request: Prompt, text: str) -> Prompt | None:
        """The task that a challenger's text sets; None where it sets none."""
        ...

    def answer(self, task: Prompt, text: str) -> str | None:
        """The answer that a reply gives; None where it gives none in the right form."""
        ...

    def truth(self, task: Prompt) -> str | None:
        """The right answer, where it is known, to see how far the judge can be trusted."""
        ...


class ArithmeticTasks:
    """The challenger writes a question of the arithmetic world; it is asked for a level.

    A request looks like "What is 2?", and a task like "Compute 3 + 4 - 2.". Tasks are kept to
    sums of the training split, so that held-out sums stay unseen.
    """

    def __init__(self, levels: Sequence[Level], wordings: Sequence[WordingName] = WORDINGS) -> None:
        self.world = ArithmeticWorld()
        self.levels = tuple(levels)
        self.wordings = tuple(wordings)

    def requests(self, n: int, seed: Seed) -> list[Prompt]:
        """Levels in turn."""
        return [self.request(self.levels[i % len(self.levels)]) for i in range(n)]

    def request(self, level: Level) -> Prompt:
        """Asks for a sum of a level."""
        return Prompt.of(f"What is {level}?", subset="request")

    def demonstrations(self, n: int, seed: Seed) -> list[Demonstration]:
        """Requests with sums of the right level, to teach the base model what a request is."""
        problems = self.world.problems(n, seed, levels=self.levels, wordings=self.wordings)
        return [
            Demonstration(
                prompt=self.request(_as_level(int(problem.prompt.subset.removeprefix("level-")))),
                response=problem.prompt.first_user_turn,
            )
            for problem in problems
        ]

    def task(self, request: Prompt, text: str) -> Prompt | None:
        """The question, where the text is one with the steps of its level and is not held out."""
        prompt = Prompt.of(text, subset="task")
        if self.world.split(prompt) != "train":
            return None
        steps = len(self.world.solution(prompt).split("\n")) - 1
        return prompt if request == self.request(_as_level(steps)) else None

    def answer(self, task: Prompt, text: str) -> str | None:
        """The number in the last line."""
        verdict = self.world.check_answer(task, text)
        formed = verdict.reason in ("", "wrong answer")
        return str(verdict.answer) if formed and verdict.answer is not None else None

    def truth(self, task: Prompt) -> str | None:
        """The sum's own answer."""
        return self.world.answer(task)


def _as_level(steps: int) -> Level:
    """The level whose sums have so many steps."""
    return steps  # pyright: ignore[reportReturnType]


def majority(
    world: TaskWorld,
    judge: Policy,
    tasks: Sequence[Prompt],
    sampling: Sampling,
    *,
    votes: int,
    coverage: float,
    seed: Seed,
) -> list[str | None]:
    """What the frozen judge answers most often to each task.

    Args:
        world: reads the answers.
        judge: who answers.
        tasks: what is asked.
        sampling: how the judge's replies are sampled.
        votes: replies for each task.
        coverage: share of the votes that must be readable; below it there is no verdict.
        seed: of the sampling.

    Returns:
        For each task the answer with the most votes, the first of equals; None without a verdict.
    """
    if not tasks:
        return []
    texts = sample_texts(judge, tasks, sampling, n=votes, seed=seed)
    found: list[str | None] = []
    for task, own in zip(tasks, texts, strict=True):
        read = [answer for text in own if (answer := world.answer(task, text)) is not None]
        enough = len(read) >= coverage * votes and read
        found.append(Counter(read).most_common(1)[0][0] if enough else None)
    return found
