"""Labels of steps without annotators: go on from each step, and see how often it ends well.

Wang et al. 2023 (Math-Shepherd), arXiv:2312.08935.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from fairlead.core.errors import DataError
from fairlead.core.seeds import Seed
from fairlead.data.chat import ChatFormat, Ids
from fairlead.data.steps import line_ends, solution_text
from fairlead.functional.steps import hard_estimate, soft_estimate
from fairlead.generation.sampling import Engine, Sampling
from fairlead.records import Problem, StepLabels
from fairlead.rewards.base import Reply, RewardSource

RIGHT = 0.5
"""Score of the checker from which an answer is right."""


@dataclass(frozen=True)
class Solution:
    """A problem and a solution of it in steps, whose steps are to be labelled."""

    problem: Problem
    steps: tuple[str, ...]


@dataclass(frozen=True)
class RolloutLabels:
    """Labelled solutions, and what was left out."""

    records: list[StepLabels]
    left_out: int
    """Solutions whose steps the tokenizer does not show, for instance empty ones."""


def rollout_labels(
    solutions: Sequence[Solution],
    engine: Engine,
    checker: RewardSource,
    chat: ChatFormat,
    *,
    sampling: Sampling,
    count: int = 8,
    estimate: Literal["hard", "soft"] = "hard",
    seed: Seed,
) -> RolloutLabels:
    """Probability that each step is right, from rollouts of the rest of the solution.

    From each step but the last, `count` completions are sampled. Hard: 1 where any of them is
    right; soft: the share that is right. The last step's label is the check of the answer itself.
    They are values under the engine's policy, not verdicts on the steps: an able policy mends
    wrong steps, a weak one spoils right ones.

    Args:
        solutions: what to label.
        engine: samples from the policy that completes.
        checker: scores whole solutions; 1/2 and above is right.
        chat: the policy's format of prompts and replies.
        sampling: how completions are drawn.
        count: completions per step.
        estimate: how rollouts become labels.
        seed: of the sampling.

    Raises:
        DataError: no solution is left.
    """
    tokens = [chat.response_ids(s.problem.prompt, solution_text(s.steps)) for s in solutions]
    ends = [line_ends(chat, response) for _, response in tokens]
    usable = [i for i, own in enumerate(ends) if len(own) == len(solutions[i].steps)]
    if not usable:
        raise DataError(
            "no solution to label",
            expected="solutions whose steps are lines with words",
            got=f"{len(solutions)} solutions",
            remedy="check the steps, and that the tokenizer keeps line breaks",
        )
    final = _right(checker, [_reply(solutions[i], *tokens[i], chat) for i in usable])
    rolled = _rolled(
        [(solutions[i], *tokens[i], ends[i]) for i in usable],
        engine, checker, chat, sampling, count, seed,
    )  # fmt: skip
    make = hard_estimate if estimate == "hard" else soft_estimate
    records = [
        _labelled(solutions[i], [*(make(own).tolist() if len(own) else []), float(ended)])
        for i, own, ended in zip(usable, rolled, final.tolist(), strict=True)
    ]
    return RolloutLabels(records, len(solutions) - len(usable))


def _rolled(
    solutions: Sequence[tuple[Solution, Ids, Ids, Ids]],
    engine: Engine,
    checker: RewardSource,
    chat: ChatFormat,
    sampling: Sampling,
    count: int,
    seed: Seed,
) -> list[torch.Tensor]:
    """For each solution, [step but the last, rollout]: whether the completion is right."""
    prefixes = [
        (solution, prompt, response[: _next_line(chat, response, end)])
        for solution, prompt, response, ends in solutions
        for end in ends[:-1]
    ]
    sizes = [len(ends) - 1 for *_, ends in solutions]
    if not prefixes:
        return [torch.zeros(0, count, dtype=torch.bool) for _ in sizes]
    asked = [(*prompt, *prefix) for _, prompt, prefix in prefixes]
    rollouts = engine.sample(asked, sampling, n=count, seed=seed)
    replies: list[Reply] = []
    for rollout in rollouts:
        solution, prompt, prefix = prefixes[rollout.prompt_index]
        whole = _reply(solution, prompt, (*prefix, *rollout.tokens), chat)
        replies.append(replace(whole, finish=rollout.finish))
    right = _right(checker, replies).reshape(len(prefixes), count)
    return list(right.split(sizes))


def _next_line(chat: ChatFormat, response: Ids, end: int) -> int:
    """Where the line after the one that ends at `end` begins: behind tokens that are blank."""
    start = end + 1
    while start < len(response) and not str(chat.tokenizer.decode([response[start]])).strip():
        start += 1
    return start


def _reply(solution: Solution, prompt: Ids, response: Ids, chat: ChatFormat) -> Reply:
    problem = solution.problem
    return Reply(problem.prompt, prompt, response, chat.text(response), problem)


def _right(checker: RewardSource, replies: Sequence[Reply]) -> torch.Tensor:
    return checker.score(replies).values >= RIGHT


def _labelled(solution: Solution, chances: Sequence[float]) -> StepLabels:
    labels: tuple[None, ...] = (None,) * len(solution.steps)
    return StepLabels(
        prompt=solution.problem.prompt,
        steps=solution.steps,
        labels=labels,
        probabilities=tuple(chances),
    )
