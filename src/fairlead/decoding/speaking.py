"""The policy as decoders use it: prompts as tokens, drawn replies with what they cost."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from fairlead.core.errors import TrainingError
from fairlead.core.seeds import Seed
from fairlead.data.chat import ChatFormat, Ids
from fairlead.decoding.base import Spent
from fairlead.generation.local import LocalEngine, ends_in_stop, rows_for
from fairlead.generation.sampling import Finish, Rollout, Sampling
from fairlead.models.policy import Policy
from fairlead.records import Prompt
from fairlead.rewards.base import Reply


@dataclass(frozen=True)
class Spoken:
    """A prompt's samples."""

    replies: tuple[Reply, ...]
    logps: tuple[float, ...]
    """Log-probability in nats of each whole reply under the distribution it was drawn from."""
    spent: Spent


class Speaker:
    """A policy that answers prompts."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.chat = ChatFormat(policy.tokenizer)
        self.engine = LocalEngine(policy)

    def ids(self, prompts: Sequence[Prompt]) -> list[Ids]:
        """The prompts' tokens."""
        return [self.chat.prompt_ids(prompt) for prompt in prompts]

    def reply(self, prompt: Prompt, ids: Ids, tokens: Ids, finish: Finish) -> Reply:
        """A reply of these tokens."""
        return Reply(prompt, ids, tokens, self.chat.text(tokens), finish=finish)

    def sample(
        self, prompts: Sequence[Prompt], sampling: Sampling, *, n: int, seed: Seed
    ) -> list[Spoken]:
        """`n` replies to each prompt, drawn from `seed.child(prompt's place, sample)`.

        Raises:
            DataError: a prompt leaves no room for a reply.
            ConfigError: a prompt with `max_new_tokens` passes the model's context.
        """
        asked = self.ids(prompts)
        drawn: list[list[Rollout]] = [[] for _ in prompts]
        for rollout in self.engine.sample(asked, sampling, n=n, seed=seed):
            drawn[rollout.prompt_index].append(rollout)
        return [
            Spoken(
                tuple(self.reply(prompt, r.prompt, r.tokens, r.finish) for r in own),
                tuple(sum(r.logps) for r in own),
                drawing(len(ids), [len(r.tokens) for r in own]),
            )
            for prompt, ids, own in zip(prompts, asked, drawn, strict=True)
        ]


def drawing(prompt: int, replies: Sequence[int]) -> Spent:
    """What drawing replies of these lengths to one prompt costs.

    The prompt is read once for all of them, and its last position gives every first token. The last
    token of a reply is drawn and never read.
    """
    return Spent(policy_tokens=prompt + sum(length - 1 for length in replies))


def cut_at_stop(
    begun: Ids, more: Ids, stop: Sequence[str], tokenizer: PreTrainedTokenizerBase
) -> tuple[Ids, bool]:
    """What goes on behind a beginning, up to the first stop text, and whether there is one.

    A stop text may straddle the border; the beginning itself holds none.
    """
    if stop:
        for length in range(1, len(more) + 1):
            if ends_in_stop((*begun, *more[:length]), stop, tokenizer):
                return more[:length], True
    return more, False


def groups(policy: Policy, prompts: Sequence[int], max_new_tokens: int) -> Iterator[list[int]]:
    """Places of prompts that are decoded together, as many as the engine would.

    Args:
        policy: who decodes.
        prompts: length of each prompt.
        max_new_tokens: longest reply.
    """
    if prompts:
        rows = rows_for(policy, max(prompts) + max_new_tokens)
        yield from (list(range(len(prompts)))[s : s + rows] for s in range(0, len(prompts), rows))


def check_finite(logits: Tensor) -> None:
    """Refuses logits from which nothing can be chosen.

    Raises:
        TrainingError: some are infinite or no numbers.
    """
    if not bool(logits.isfinite().all()):
        raise TrainingError(
            "the policy's logits are not finite, so nothing can be decoded",
            remedy="go back to the last sound checkpoint and lower the learning rate",
        )
