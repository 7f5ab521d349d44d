"""Sampling from a policy in this process, with the very weights that are being trained.

Samples of a prompt that start together share the reading of it. Rows that finish leave the batch
and waiting ones take their places. Every sample has a random stream of its own, so neither its
companions nor the time of its start change what it says.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from fairlead.core.errors import ConfigError, DataError
from fairlead.core.seeds import Seed
from fairlead.data.chat import Ids
from fairlead.generation.decoders import Decoder, decoder
from fairlead.generation.rows import Asked, Rows
from fairlead.generation.sampling import Rollout, Sampling
from fairlead.models.policy import Policy

ENTERING = 0.5
"""Waiting rows enter once this share of the rows is free: each wave is attended to by itself."""

ROWS = 64, 256
"""Rows decoded together: never fewer, never more, and between the two as many as `CACHE` allows."""

CACHE = 256 << 20
"""Bytes of keys and values up to which more than the fewest rows are decoded together."""


class LocalEngine:
    """Samples from a policy without copying its weights.

    Args:
        policy: what to sample from; its present weights are used at every call.
        max_rows: replies decoded together, the memory knob; 64 to 256 by the size of their keys and
            values where it is left open.

    Raises:
        ConfigError: `max_rows` is below 1.
    """

    def __init__(self, policy: Policy, *, max_rows: int | None = None) -> None:
        if max_rows is not None and max_rows < 1:
            raise ConfigError(
                "no row could be decoded", expected="max_rows >= 1", got=f"{max_rows}"
            )
        self.policy = policy
        self.max_rows = max_rows
        self.eos = eos_tokens(policy)

    def sample(
        self, prompts: Sequence[Ids], sampling: Sampling, *, n: int, seed: Seed
    ) -> list[Rollout]:
        """`n` replies to each prompt, ordered by prompt and then by sample.

        Args:
            prompts: tokens of each prompt.
            sampling: how to draw and when to end.
            n: replies per prompt.
            seed: each reply draws from `seed.child(prompt index, sample)`.

        Raises:
            DataError: a prompt is empty or leaves no room for a reply.
            ConfigError: a prompt with `max_new_tokens` passes the model's context; `n` below 1.
            TrainingError: the model's logits are not finite.
        """
        if n < 1:
            raise ConfigError("no sample was asked for", expected="n >= 1", got=f"{n}")
        asked = [Asked(i, k, ids) for i, ids in enumerate(prompts) for k in range(n)]
        return self.draw(asked, sampling, seed=seed)

    def draw(self, asked: Sequence[Asked], sampling: Sampling, *, seed: Seed) -> list[Rollout]:
        """One reply to each row, ordered by their prompt indices and then by sample.

        For callers that number the random streams themselves, as those do who go on with texts
        that have begun.

        Args:
            asked: rows; those with one prompt index have the same prompt, which is read once.
            sampling: how to draw and when to end.
            seed: each reply draws from `seed.child(prompt index, sample)`.

        Raises:
            DataError: a prompt is empty or leaves no room for a reply.
            ConfigError: a prompt with `max_new_tokens` passes the model's context.
            TrainingError: the model's logits are not finite.
        """
        prompts = list({row.prompt_index: row.prompt for row in asked}.values())
        check_room(prompts, sampling.max_new_tokens, room_of(self.policy))
        # Neighbours of equal length waste no slots.
        waiting = sorted(asked, key=lambda row: len(row.prompt))
        longest = max(map(len, prompts), default=0) + sampling.max_new_tokens
        rows = self.max_rows or rows_for(self.policy, longest)
        with torch.no_grad(), evaluating(self.policy.model):
            rollouts = list(self._decode(waiting, sampling, seed, rows))
        return sorted(rollouts, key=lambda rollout: (rollout.prompt_index, rollout.sample))

    def _decode(
        self, waiting: Sequence[Asked], sampling: Sampling, seed: Seed, max_rows: int
    ) -> Iterator[Rollout]:
        """Yields replies as they leave the batch."""
        model = self._decoder()
        stops = partial(ends_in_stop, stop=sampling.stop, tokenizer=self.policy.tokenizer)
        rows: Rows | None = None
        logits = tokens = torch.empty(0)
        while waiting or rows:
            free = max_rows - len(rows or ())
            if waiting and (not rows or (model.refills and free >= ENTERING * max_rows)):
                new, waiting = waiting[:free], waiting[free:]
                first = _join(model, new, sampling)
                logits = torch.cat([logits, first]) if rows else first
                rows = rows or Rows(sampling, self._eos_table(first), stops, seed)
                rows.join(new)
            assert rows is not None
            tokens, due = rows.draw(logits)
            if due:
                stay, done = rows.leave()
                yield from done
                model.keep(stay)
                tokens = tokens[stay]
            if rows:
                logits = model.step(tokens)

    def _decoder(self) -> Decoder:
        """What gives the logits."""
        return decoder(self.policy)

    def _eos_table(self, logits: Tensor) -> Tensor:
        """[vocabulary], True for tokens that end a reply."""
        vocabulary = logits.shape[1]
        table = torch.zeros(vocabulary, dtype=torch.bool)
        table[[token for token in self.eos if token < vocabulary]] = True
        return table.to(logits.device)


def _join(model: Decoder, asked: Sequence[Asked], sampling: Sampling) -> Tensor:
    """Reads the prompts of new rows, each once; logits of their first tokens."""
    prompts = {row.prompt_index: row.prompt for row in asked}
    places = {index: place for place, index in enumerate(prompts)}
    owners = [places[row.prompt_index] for row in asked]
    return model.join(list(prompts.values()), owners, sampling.max_new_tokens - 1)


def rows_for(policy: Policy, slots: int) -> int:
    """How many rows of so many tokens are decoded together."""
    config: Any = policy.model.config.get_text_config()
    fewest, most = ROWS
    try:
        heads = config.num_attention_heads
        kv_heads = getattr(config, "num_key_value_heads", None) or heads
        width = getattr(config, "head_dim", None) or config.hidden_size // heads
        token = 2 * config.num_hidden_layers * kv_heads * width * policy.model.dtype.itemsize
    except AttributeError:
        return fewest
    return min(max(CACHE // (token * slots), fewest), most)


def eos_tokens(policy: Policy) -> frozenset[int]:
    """Tokens that end a reply: the tokenizer's EOS and those of the generation config."""
    config: Any = getattr(policy.model, "generation_config", None)
    listed = getattr(config, "eos_token_id", None)
    many = listed if isinstance(listed, list) else [listed]
    ids = [policy.tokenizer.eos_token_id, *many]
    return frozenset(token for token in ids if token is not None)


def room_of(policy: Policy) -> int:
    """Longest prompt plus reply in tokens."""
    config = policy.model.config.get_text_config()
    window = getattr(config, "sliding_window", None) if policy.trunk.packs else None
    return min(policy.context, window or policy.context)


def check_room(prompts: Sequence[Ids], max_new_tokens: int, room: int) -> None:
    """Refuses prompts that are empty or too long for `room` tokens.

    Raises:
        DataError: a prompt is empty, or there is no room after it.
        ConfigError: a prompt and `max_new_tokens` together pass `room`.
    """
    for index, prompt in enumerate(prompts):
        if not prompt:
            raise DataError(
                "an empty prompt gives the model nothing to continue",
                where=f"prompt {index}",
                remedy="start it with the tokenizer's BOS token",
            )
    lengths = [len(prompt) for prompt in prompts]
    longest = max(lengths, default=0)
    where = f"prompt {lengths.index(longest)}" if lengths else ""
    if longest >= room:
        raise DataError(
            "a prompt leaves no room for a reply",
            where=where,
            expected=f"at most {room - 1} tokens",
            got=f"{longest} tokens",
            remedy="shorten the prompt or use a model with a longer context",
        )
    if longest + max_new_tokens > room:
        raise ConfigError(
            "prompt and reply together would pass the model's context",
            where=where,
            expected=f"at most {room} tokens",
            got=f"{longest} of prompt + {max_new_tokens} of reply",
            remedy=f"set max_new_tokens to at most {room - longest}, or leave out long prompts",
        )


def ends_in_stop(tokens: Sequence[int], stop: Sequence[str], tokenizer: Any) -> bool:
    """Whether a stop text occurs at the end of a reply, given that it did not occur before."""
    # A token has at least one byte, so this many of the last tokens hold any stop text whole;
    # doubled for tokenizers with tokens that show nothing.
    reach = 2 * max(len(text.encode()) for text in stop) + 8
    tail = tokenizer.decode(
        list(tokens[-reach:]), skip_special_tokens=False, clean_up_tokenization_spaces=False
    )
    return any(text in tail for text in stop)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Within the block the model is in evaluation mode; every module returns to its own mode."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
