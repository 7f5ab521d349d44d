"""Replies of the reference, sampled and scored once, which shaped rewards are set against."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from fairlead.core.errors import ConfigError, DataError
from fairlead.core.seeds import Seed
from fairlead.data.chat import ChatFormat, Ids
from fairlead.generation.sampling import Engine, Sampling
from fairlead.records import Problem, Prompt
from fairlead.rewards.base import Reply, RewardSource, Scored


@dataclass(frozen=True)
class ReferenceScores:
    """Scores of the reference's replies, for each prompt; asked for once and kept."""

    given: Mapping[Prompt, Sequence[float]] | Callable[[Prompt], Sequence[float]]
    """By prompt, or how to get them."""
    _known: dict[tuple[object, ...], Sequence[float]] = field(
        default_factory=dict[tuple[object, ...], Sequence[float]], repr=False
    )

    def of(self, prompt: Prompt) -> Sequence[float]:
        """Scores of the replies to one prompt.

        Raises:
            DataError: nobody scored a reply to this prompt.
        """
        if prompt.messages not in self._known:
            given = self.given
            asked = given(prompt) if callable(given) else given.get(prompt, ())
            self._known[prompt.messages] = self._checked(asked, prompt)
        return self._known[prompt.messages]

    def per_reply(self, replies: Sequence[Reply]) -> list[Float[Tensor, "1 reference"]]:
        """For each reply the scores of the reference's replies to its prompt, as one row."""
        return [torch.tensor([list(self.of(reply.prompt))]) for reply in replies]

    def _checked(self, scores: Sequence[float], prompt: Prompt) -> Sequence[float]:
        if not len(scores):
            raise DataError(
                "a prompt without scores of reference replies",
                where=prompt.first_user_turn[:80],
                expected="at least one score for every prompt that is sampled from",
                got="none",
                remedy="score reference replies to these prompts with `reference_scores`",
            )
        return tuple(scores)


def reference_scores(
    engine: Engine,
    source: RewardSource,
    prompts: Sequence[tuple[int, Ids]],
    records: Sequence[Prompt | Problem],
    chat: ChatFormat,
    *,
    sampling: Sampling,
    count: int,
    seed: Seed,
) -> ReferenceScores:
    """Samples and scores `count` replies of the reference to every prompt, once for a whole run.

    Args:
        engine: samples from the reference.
        source: the source that is going to be shaped.
        prompts: tokenised prompts, (index into `records`, tokens).
        records: the prompts, or the problems they come from.
        chat: turns the replies into text.
        sampling: how to draw; as the policy's replies are drawn.
        count: replies per prompt (Fu et al. 2025 use up to 10; one already helps).
        seed: of the sampling.
    """
    replies = sample_replies(
        engine, prompts, records, chat, sampling=sampling, count=count, seed=seed
    )
    values = score_per_reply(source, replies).values.tolist()
    known: dict[Prompt, list[float]] = {}
    for reply, value in zip(replies, values, strict=True):
        known.setdefault(reply.prompt, []).append(value)
    return ReferenceScores(known)


def sample_replies(
    engine: Engine,
    prompts: Sequence[tuple[int, Ids]],
    records: Sequence[Prompt | Problem],
    chat: ChatFormat,
    *,
    sampling: Sampling,
    count: int,
    seed: Seed,
) -> list[Reply]:
    """`count` replies to every prompt, to set scales and lines by; arguments as above."""
    rollouts = engine.sample([ids for _, ids in prompts], sampling, n=count, seed=seed)
    replies: list[Reply] = []
    for rollout in rollouts:
        record = records[prompts[rollout.prompt_index][0]]
        problem = record if isinstance(record, Problem) else None
        prompt = record.prompt if isinstance(record, Problem) else record
        text = chat.text(rollout.tokens)
        replies.append(Reply(prompt, rollout.prompt, rollout.tokens, text, problem, rollout.finish))
    return replies


def lengths_of(replies: Sequence[Reply]) -> Float[Tensor, " reply"]:
    """Tokens of each reply."""
    return torch.tensor([float(len(reply.response_ids)) for reply in replies])


def score_per_reply(source: RewardSource, replies: Sequence[Reply]) -> Scored:
    """Scores of a source whose values are scores.

    Raises:
        ConfigError: its values are advantages already, which no change of score may touch.
    """
    scored = source.score(replies)
    if scored.advantages:
        raise ConfigError(
            f"{source.name} gives advantages, which cannot be shaped or combined",
            expected="a source of scores",
            got="values made by comparing the replies of a prompt",
            remedy="use it alone, with the credit rule that takes its values as they are",
        )
    return scored
