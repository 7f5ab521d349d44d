"""Sampling replies to records, as stages and commands need it."""

from collections.abc import Sequence

from fairlead.core.clock import Part, section
from fairlead.core.seeds import Seed
from fairlead.data.chat import ChatFormat, encode_prompts
from fairlead.generation.local import LocalEngine
from fairlead.generation.sampling import Sampling
from fairlead.models.policy import Policy
from fairlead.records import Prompt
from fairlead.rewards.base import Reply


def fitting(policy: Policy, prompts: Sequence[Prompt], sampling: Sampling) -> list[Prompt]:
    """The prompts that leave room for a whole reply within the policy's context."""
    room = policy.context - sampling.max_new_tokens
    kept, _ = encode_prompts(prompts, ChatFormat(policy.tokenizer), max_length=room)
    return [prompts[index] for index, _ in kept]


def sample_replies(
    policy: Policy, prompts: Sequence[Prompt], sampling: Sampling, *, n: int, seed: Seed
) -> list[list[Reply]]:
    """`n` replies to each prompt, in order."""
    chat = ChatFormat(policy.tokenizer)
    ids = [chat.prompt_ids(prompt) for prompt in prompts]
    with section(Part.GENERATE):
        rollouts = LocalEngine(policy).sample(ids, sampling, n=n, seed=seed)
    replies: list[list[Reply]] = [[] for _ in prompts]
    for rollout in rollouts:
        index = rollout.prompt_index
        text = chat.text(rollout.tokens)
        replies[index].append(
            Reply(prompts[index], rollout.prompt, rollout.tokens, text, finish=rollout.finish)
        )
    return replies


def sample_texts(
    policy: Policy, prompts: Sequence[Prompt], sampling: Sampling, *, n: int, seed: Seed
) -> list[list[str]]:
    """The texts of `sample_replies`."""
    replies = sample_replies(policy, prompts, sampling, n=n, seed=seed)
    return [[reply.text for reply in own] for own in replies]
