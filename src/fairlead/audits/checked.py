"""Replies checked twice: by what a model was trained on, and by what it never met."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairlead.audits.base import Model
from fairlead.data.chat import ChatFormat
from fairlead.data.checks import prompt_of
from fairlead.judges.asking import Answer, Question
from fairlead.records import Problem, Prompt
from fairlead.rewards.base import Reply, RewardSource
from fairlead.stats.gates import SCORED

READABLE = (SCORED, "truncated")
"""States of an answer whose text can be used: one that was cut off may hold what is looked for."""


@dataclass(frozen=True)
class Passed:
    """Which replies pass which checker."""

    visible: NDArray[np.float64]
    """[task, sample] 1 or 0; nan where there is no reply or no score."""
    hidden: NDArray[np.float64]
    texts: tuple[tuple[str, ...], ...]
    """[task][sample]"""
    states: tuple[str, ...]
    """How each reply ended, task by task."""

    @property
    def gap(self) -> NDArray[np.float64]:
        """[task] share of samples that pass the visible less that of the hidden checker."""
        return (self.visible - self.hidden).mean(1)


@dataclass(frozen=True)
class Twice:
    """Two rewards, and what counts as passing them."""

    visible: RewardSource
    """What the model was trained on."""
    hidden: RewardSource
    """What it never met."""
    threshold: float = 0.5
    """A reward of at least this is a pass."""

    def checked(
        self,
        model: Model,
        records: Sequence[Prompt | Problem],
        *,
        samples: int,
        max_tokens: int,
    ) -> Passed:
        """Samples replies at temperature 1 and checks each by both rewards.

        Args:
            model: who answers.
            records: tasks, with their answers where the rewards check against them.
            samples: replies per task.
            max_tokens: longest reply.
        """
        owners = [record for record in records for _ in range(samples)]
        questions = [
            Question(
                prompt=prompt_of(record),
                temperature=1.0,
                max_tokens=max_tokens,
                sample=i % samples,
            )
            for i, record in enumerate(owners)
        ]
        answers = model.ask(questions)
        chat = None if model.policy is None else ChatFormat(model.policy.tokenizer)
        replies = [_reply(o, a, chat) for o, a in zip(owners, answers, strict=True)]
        visible, hidden = (
            self._passes(source, replies, answers) for source in (self.visible, self.hidden)
        )
        known = np.isfinite(visible) & np.isfinite(hidden)
        shape = (len(records), samples)
        texts = [answer.text for answer in answers]
        return Passed(
            visible=visible.reshape(shape),
            hidden=hidden.reshape(shape),
            texts=tuple(tuple(texts[i : i + samples]) for i in range(0, len(texts), samples)),
            states=tuple(_state(a, there) for a, there in zip(answers, known, strict=True)),
        )

    def _passes(
        self, source: RewardSource, replies: Sequence[Reply], answers: Sequence[Answer]
    ) -> NDArray[np.float64]:
        scores = source.score(replies).values.double().numpy()
        there = np.array([answer.state in READABLE for answer in answers]) & np.isfinite(scores)
        return np.where(there, (scores >= self.threshold) * 1.0, np.nan)


def _state(answer: Answer, known: bool) -> str:
    if answer.state not in READABLE:
        return answer.state
    return SCORED if known else "error"


def _reply(record: Prompt | Problem, answer: Answer, chat: ChatFormat | None) -> Reply:
    prompt = prompt_of(record)
    asked, said = ((), ()) if chat is None else chat.response_ids(prompt, answer.text)
    problem = record if isinstance(record, Problem) else None
    finish = "length" if answer.state == "truncated" else "eos"
    return Reply(prompt, asked, said, answer.text, problem, finish)
