"""Sampling from a policy in this process, with the very weights that are being trained.

Each prompt is read once however many samples it gets, and rows that finish leave the batch. Every
sample has a random stream of its own, so neither its companions nor the chunk it falls into
change what it says.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from fairlead.core.errors import ConfigError, DataError, TrainingError
from fairlead.core.seeds import Seed
from fairlead.data.chat import Ids
from fairlead.generation.decoders import Decoder, decoder
from fairlead.generation.sampling import Finish, Rollout, Sampling, choose
from fairlead.models.policy import Policy

LEAVING = 0.25
"""Finished rows leave once they are this share of the batch: leaving copies the cache."""


class LocalEngine:
    """Samples from a policy without copying its weights.

    Args:
        policy: what to sample from; its present weights are used at every call.
        max_rows: replies decoded together; the memory knob.

    Raises:
        ConfigError: `max_rows` is below 1.
    """

    def __init__(self, policy: Policy, *, max_rows: int = 64) -> None:
        if max_rows < 1:
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
        check_room(prompts, sampling.max_new_tokens, room_of(self.policy))
        rows = [_Row(i, k, ids) for i, ids in enumerate(prompts) for k in range(n)]
        # Neighbours of equal length waste no slots.
        by_length = sorted(rows, key=lambda row: len(row.prompt))
        with torch.no_grad(), evaluating(self.policy.model):
            for start in range(0, len(rows), self.max_rows):
                self._decode(by_length[start : start + self.max_rows], sampling, seed)
        return [row.rollout() for row in rows]

    def _decode(self, rows: list["_Row"], sampling: Sampling, seed: Seed) -> None:
        """Writes the replies of one chunk into its rows."""
        order = {row.prompt_index: row.prompt for row in rows}
        places = {index: place for place, index in enumerate(order)}
        model = self._decoder()
        owners = [places[row.prompt_index] for row in rows]
        logits = model.prefill(list(order.values()), owners, sampling.max_new_tokens - 1)
        uniforms = _uniforms(rows, sampling.max_new_tokens, seed).to(logits.device)
        for step in range(sampling.max_new_tokens):
            tokens, logps = choose(logits, sampling, uniforms[:, step])
            for row, token, logp in zip(rows, tokens.tolist(), logps.tolist(), strict=True):
                self._append(row, token, logp, sampling)
            going = [place for place, row in enumerate(rows) if row.finish is None]
            if not going:
                return
            if len(rows) - len(going) >= LEAVING * len(rows):
                stay = torch.tensor(going, device=tokens.device)
                model.keep(stay)
                tokens, uniforms = tokens[stay], uniforms[stay]
                rows = [rows[place] for place in going]
            logits = model.step(tokens)

    def _decoder(self) -> Decoder:
        """What gives the logits."""
        return decoder(self.policy)

    def _append(self, row: "_Row", token: int, logp: float, sampling: Sampling) -> None:
        if row.finish is not None:
            return
        if not math.isfinite(logp):
            raise TrainingError(
                "the policy's logits are not finite, so nothing can be sampled",
                where=f"prompt {row.prompt_index}, token {len(row.tokens)} of the reply",
                got=f"log-probability {logp}",
                remedy="go back to the last sound checkpoint and lower the learning rate",
            )
        row.tokens.append(token)
        row.logps.append(logp)
        row.finish = self._finish(row.tokens, sampling)

    def _finish(self, tokens: list[int], sampling: Sampling) -> Finish | None:
        if tokens[-1] in self.eos:
            return "eos"
        if sampling.stop and ends_in_stop(tokens, sampling.stop, self.policy.tokenizer):
            return "stop"
        return "length" if len(tokens) == sampling.max_new_tokens else None


@dataclass
class _Row:
    """A reply in the making."""

    prompt_index: int
    sample: int
    prompt: Ids
    tokens: list[int] = field(default_factory=list[int])
    logps: list[float] = field(default_factory=list[float])
    finish: Finish | None = None

    def rollout(self) -> Rollout:
        assert self.finish is not None, "a row was never decoded to its end"
        return Rollout(
            prompt_index=self.prompt_index,
            sample=self.sample,
            prompt=self.prompt,
            tokens=tuple(self.tokens),
            logps=tuple(self.logps),
            finish=self.finish,
        )


def _uniforms(rows: Sequence[_Row], steps: int, seed: Seed) -> Tensor:
    """[row, step], float64; a row's numbers follow from its prompt's and its own index alone."""
    streams = (seed.child(row.prompt_index, row.sample).numpy() for row in rows)
    return torch.stack([torch.from_numpy(stream.random(steps)) for stream in streams])


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
