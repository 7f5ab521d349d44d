"""What audits of replies share: which prompts, what was said to them, what it is worth."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from fairlead.audits.base import Model, Subject
from fairlead.audits.items.drawing import drawn
from fairlead.core.errors import ConfigError, DataError
from fairlead.core.seeds import Seed
from fairlead.data.chat import ChatFormat
from fairlead.judges.asking import Answer, Question
from fairlead.records import Prompt
from fairlead.rewards.base import Reply, RewardSource, Scored

T = TypeVar("T")


def prompts_of(subject: Subject, name: str, most: int, seed: Seed) -> tuple[Prompt, ...]:
    """Different prompts of whatever records there are, at most so many.

    Raises:
        DataError: fewer than two of them.
    """
    found = [getattr(record, "prompt", record) for record in subject.records(name)]
    asked = list(dict.fromkeys(p for p in found if isinstance(p, Prompt)))
    if len(asked) < 2:
        raise DataError(
            "too few prompts for an audit",
            where=name,
            expected="at least two different prompts",
            got=str(len(asked)),
            remedy="name a file with more prompts",
        )
    return drawn(asked, most, seed)


def replies(
    model: Model, prompts: Sequence[Prompt], *, samples: int, max_tokens: int, temperature: float
) -> list[list[Answer]]:
    """[prompt][sample] what a model says."""
    questions = [
        Question(prompt=p, max_tokens=max_tokens, temperature=temperature, sample=k)
        for p in prompts
        for k in range(samples)
    ]
    answers = model.ask(questions)
    return [answers[i : i + samples] for i in range(0, len(answers), samples)]


def spoken(answer: Answer) -> bool:
    """Whether there is a reply, be it cut off or empty; otherwise nothing came back."""
    return answer.state in ("scored", "truncated")


def state_of(answer: Answer) -> str:
    """How a reply ended for an audit that takes replies as they are."""
    return "scored" if spoken(answer) else answer.state


def reward_named(subject: Subject, name: str, *, where: str) -> RewardSource:
    """A reward of the subject.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in subject.rewards:
        raise ConfigError(
            f"there is no reward called {name}",
            where=where,
            expected=", ".join(subject.rewards) or "a reward",
            got=name,
            remedy=f"add `rewards: {{{name}: ...}}` to the recipe",
        )
    return subject.rewards[name]


def worth(
    reward: RewardSource, asked: Sequence[tuple[Prompt, str]], subject: Subject
) -> NDArray[np.float64]:
    """[reply] what a reward says of texts, nan where it said nothing."""
    return scores_of(reward, as_replies(asked, subject))


def as_replies(asked: Sequence[tuple[Prompt, str]], subject: Subject) -> list[Reply]:
    """Texts as a reward takes them.

    With the tokens of the model in this process, the baseline's where both are: rewards that read
    tokens are made for those.
    """
    policy = subject.baseline.policy or subject.candidate.policy
    chat = None if policy is None else ChatFormat(policy.tokenizer)
    return [_reply(prompt, text, chat) for prompt, text in asked]


def scores_of(reward: RewardSource, replies: Sequence[Reply]) -> NDArray[np.float64]:
    """[reply] what a reward says, nan where it said nothing."""
    return values_of(reward.score(replies))


def values_of(scored: Scored) -> NDArray[np.float64]:
    """[reply] the scores, nan where nothing was said."""
    values = scored.values.double().numpy().copy()
    if "unparsed" in scored.parts:
        values[scored.parts["unparsed"].numpy() > 0] = np.nan
    return values


def same_tokens(a: PreTrainedTokenizerBase, b: PreTrainedTokenizerBase) -> bool:
    """Whether two tokenizers have one vocabulary."""
    return a is b or a.get_vocab() == b.get_vocab()


def _reply(prompt: Prompt, text: str, chat: ChatFormat | None) -> Reply:
    if chat is None:
        return Reply(prompt, (), (), text)
    before, after = chat.response_ids(prompt, text)
    return Reply(prompt, before, after, text)
