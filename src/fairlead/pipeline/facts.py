"""A few facts of the assistant's world as problems, and verdicts on answers to them."""

from collections.abc import Sequence

from fairlead.core.seeds import Seed
from fairlead.pipeline.verdicts import VerdictFormat
from fairlead.records import Demonstration, Problem
from fairlead.testbeds.assistant import IDEAL, AssistantWorld
from fairlead.testbeds.assistant.questions import Split
from fairlead.testbeds.assistant.replies import ReplyRates

ON_FACTS = VerdictFormat(
    student="{question} {attempt}",
    teacher="{question} {solution} {attempt}",
    accept="yes",
    reject="no",
)
"""Verdicts in words that the assistant's world has."""

UNSURE = ReplyRates(correct=0.5, refuses_harmful=0, refuses_harmless=0, agrees=0, pads=0, hedges=0)
"""Knows every other fact, and answers all of them plainly."""


def facts(world: AssistantWorld, n: int, split: Split) -> list[Problem]:
    """All wordings in a split of the first `n` facts by their subject."""
    kinds = ("fact",)
    asked = world.prompts(world.available(split, "fact"), seed=Seed(0), split=split, kinds=kinds)
    solutions = [world.reply(p, rates=IDEAL, seed=Seed(i)) for i, p in enumerate(asked)]
    problems = [
        Problem(prompt=p, answer=s.removesuffix(" .").rpartition(" is ")[2], solution=s)
        for p, s in zip(asked, solutions, strict=True)
    ]
    chosen = sorted({_subject(problem) for problem in problems})[:n]
    return [problem for problem in problems if _subject(problem) in chosen]


def answers_to(
    world: AssistantWorld, problems: Sequence[Problem], each: int, seed: Seed
) -> list[Demonstration]:
    """Several answers to every problem, half of them wrong."""
    return [
        Demonstration(prompt=p.prompt, response=world.reply(p.prompt, rates=UNSURE, seed=own))
        for i, p in enumerate(problems)
        for own in (seed.child(i, k) for k in range(each))
    ]


def verdicts_on(
    world: AssistantWorld, answers: Sequence[Demonstration], problems: Sequence[Problem], seed: Seed
) -> list[Demonstration]:
    """Verdicts that teach a small model what they are, without teaching it to verify.

    Every answer is judged twice: truly with the solution at hand, and by a toss without it.
    """
    stated = {problem.prompt: problem for problem in problems}
    shown: list[Demonstration] = []
    for i, answer in enumerate(answers):
        problem, rng = stated[answer.prompt], seed.child(i).numpy()
        words = {True: ON_FACTS.accept, False: ON_FACTS.reject}
        true = words[world.gold(answer.prompt, answer.response) > 0]
        told = ON_FACTS.teacher_prompt(problem, answer.response)
        blind = ON_FACTS.student_prompt(problem, answer.response)
        tossed = words[bool(rng.random() < 0.5)]
        shown.append(Demonstration(prompt=told, response=true))
        shown.append(Demonstration(prompt=blind, response=tossed))
    return shown


def _subject(problem: Problem) -> str:
    words = problem.prompt.first_user_turn.rstrip(" .?").split()
    return " ".join(words[words.index("the") :])
