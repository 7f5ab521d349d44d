"""Campaigns whose answers are written down beforehand."""

from collections.abc import Callable
from typing import Any

from small_campaigns import START, World, at

from fairlead.feedback.shown_tasks import Task

Choose = Callable[[int, Task], Any]
"""From the number of the person and their task to a value, or (value, reason)."""


def question(task: Task) -> str:
    """The words of the user."""
    return task.messages[-1].content


def named(task: Task) -> dict[str, int]:
    """Candidate ids by the first word of their text."""
    return {one.text.split()[0]: one.id for one in task.candidates}


def answer_all(world: World, campaign: int, choose: Choose, *, people: int = 3) -> int:
    """Everybody answers all that they get; returns how many answers there are."""
    n = 0
    for number, who in enumerate(world.people[:people]):
        while isinstance(task := world.claim(who, campaign, now=at(n)), Task):
            chosen = choose(number, task)
            value, reason = chosen if isinstance(chosen, tuple) else (chosen, "")
            world.answer(who, task, value, now=at(n), reason=reason, active_ms=4000)
            n += 1
    return n


def planted(votes: dict[str, list[Any]], value: Callable[[Task, Any], Any]) -> Choose:
    """Answers by question: the n-th entry is the n-th person's vote."""
    return lambda number, task: value(task, votes[question(task)][number])


def preferred(task: Task, vote: str) -> dict[str, Any]:
    """A vote like `good`, `bad 2` or `tie`."""
    name, _, strength = vote.partition(" ")
    level = int(strength) if strength else None
    return {"preferred": named(task).get(name), "strength": level}


__all__ = ["START", "Choose", "answer_all", "named", "planted", "preferred", "question"]
