"""Two ways to run a model token by token, with the same logits.

*Packed* for models that pack: no padding in the prefill, no copying of the cache. *Padded* for
every other causal model: left padding and transformers' own cache.
"""

import inspect
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import DynamicCache

from fairlead.data.chat import Ids
from fairlead.generation.cache import WaveCache, wave
from fairlead.generation.products import BlockedLayers
from fairlead.generation.recording import WORTH, Run, known
from fairlead.models.attention import Decoding, attending, layout
from fairlead.models.policy import Policy
from fairlead.models.trunk import body
from fairlead.objectives.batch import Packed, Tree


class Decoder(Protocol):
    """Runs rows of text through a model, one token at a time."""

    refills: bool
    """Whether rows may join while others are under way."""

    def join(self, prompts: Sequence[Ids], owners: Sequence[int], room: int) -> Tensor:
        """Adds rows behind those under way and reads their prompts, each once.

        Args:
            prompts: distinct prompts, none empty.
            owners: the prompt of each new row.
            room: steps that may follow for them.

        Returns:
            Next-token logits of the new rows, [new row, vocabulary].
        """
        ...

    def step(self, tokens: Tensor) -> Tensor:
        """Appends one token to each row [row]; next-token logits [row, vocabulary]."""
        ...

    def keep(self, rows: Tensor) -> None:
        """Drops all rows but these (ascending indices)."""
        ...


def decoder(policy: Policy) -> Decoder:
    """The faster way that is right for this policy's model."""
    return PackedDecoder(policy) if policy.trunk.packs else PaddedDecoder(policy)


class PackedDecoder:
    """Prefills all prompts in one pack and decodes into preallocated slots."""

    refills = True

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.body = body(policy.model)
        self.cache: WaveCache | None = None
        model = policy.model
        on_cpu = model.device.type == "cpu" and model.dtype == torch.float32
        self.known = known(model) if on_cpu else None
        self.run: Run | None = None
        """How a step is made from the second on."""
        self.positions = torch.zeros(0, dtype=torch.long, device=policy.device)
        """Position of each row's next token, [row]."""

    def join(self, prompts: Sequence[Ids], owners: Sequence[int], room: int) -> Tensor:
        """Reads the prompts in one forward; see `Decoder`."""
        packed = pack_prompts(prompts).to(self.policy.device)
        captured = DynamicCache()
        with attending(layout(packed)):
            hidden = self._hidden(packed.input_ids[None], packed.position_ids[None], captured)
        spans = [slice(tree.start, tree.start + tree.length) for tree in packed.trees]
        self.cache = self.cache or WaveCache(len(captured.layers))
        self.cache.waves.append(wave(captured, spans, owners, room))
        rows = torch.tensor(owners, device=hidden.device)
        ends = packed.ends
        self.positions = torch.cat([self.positions, packed.position_ids[ends][rows] + 1])
        return self.policy.logits(hidden[0, ends])[rows]

    def step(self, tokens: Tensor) -> Tensor:
        """Appends one token to each row; see `Decoder`."""
        assert self.cache is not None, "no row has joined"
        if self.run is None:
            logits = self._modules(tokens, self.positions, self.cache)
            self.run = self._recorded(tokens, logits) or self._with_blocked_layers()
        else:
            logits = self.run(tokens, self.positions, self.cache)
        self.cache.advance()
        self.positions = self.positions + 1
        return logits

    def _recorded(self, tokens: Tensor, logits: Tensor) -> Run | None:
        """A recording that gives these logits for these tokens."""
        if self.known is None or self.cache is None or self.cache.waves[0].room < WORTH:
            return None
        attempt = tokens, self.positions, self.cache
        return self.known.replay(self.policy.model, self._modules, attempt, logits)

    def _with_blocked_layers(self) -> Run:
        layers = BlockedLayers(self.policy.model)

        def run(tokens: Tensor, positions: Tensor, cache: WaveCache) -> Tensor:
            with layers:
                return self._modules(tokens, positions, cache)

        return run

    def _modules(self, tokens: Tensor, positions: Tensor, cache: WaveCache) -> Tensor:
        with attending(Decoding(cache.attend)):
            hidden = self._hidden(tokens[:, None], positions[:, None], cache)
        return self.policy.logits(hidden[:, 0])

    def keep(self, rows: Tensor) -> None:
        """Drops all rows but these (ascending indices)."""
        assert self.cache is not None, "no row has joined"
        self.cache.keep(rows)
        self.positions = self.positions[rows]

    def _hidden(self, ids: Tensor, positions: Tensor, cache: Any) -> Tensor:
        out = self.body(
            input_ids=ids, position_ids=positions, past_key_values=cache, use_cache=True
        )
        return out.last_hidden_state


def pack_prompts(prompts: Sequence[Ids]) -> Packed:
    """Prompts one behind the other, to be read alone; `ends` are their last tokens."""
    bounds = pairwise(accumulate(map(len, prompts), initial=0))
    trees = tuple(Tree(start, 0, (stop - start,)) for start, stop in bounds)
    nothing = torch.zeros(0, dtype=torch.long)
    return Packed(
        input_ids=torch.tensor([token for prompt in prompts for token in prompt]),
        position_ids=torch.cat([torch.arange(len(prompt)) for prompt in prompts]),
        trees=trees,
        rows=nothing,
        targets=nothing,
        row_sequence=nothing,
        ends=torch.tensor([tree.start + tree.length - 1 for tree in trees]),
    )


class PaddedDecoder:
    """Left-padded prompts and transformers' own cache, for any causal model."""

    refills = False
    cache: Any
    mask: Tensor
    """[row, slot], 1 where a token counts."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.body = body(policy.model)
        names = inspect.signature(self.body.forward).parameters
        self.takes_positions = "position_ids" in names
        self.cache_name = "cache_params" if "cache_params" in names else "past_key_values"
        self.layers = BlockedLayers(policy.model)

    def join(self, prompts: Sequence[Ids], owners: Sequence[int], room: int) -> Tensor:
        """Reads the prompts in one padded forward; see `Decoder`."""
        device = self.policy.device
        longest = max(map(len, prompts))
        ids = torch.tensor([[0] * (longest - len(p)) + list(p) for p in prompts], device=device)
        lengths = torch.tensor([len(p) for p in prompts], device=device)
        self.mask = (torch.arange(longest, 0, -1, device=device) <= lengths[:, None]).long()
        self.cache = DynamicCache(config=self.body.config)
        logits = self._logits(ids)
        rows = torch.tensor(owners, device=device)
        self._take(rows)
        return logits[rows]

    def step(self, tokens: Tensor) -> Tensor:
        """Appends one token to each row; see `Decoder`."""
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(tokens), 1)], dim=1)
        with self.layers:
            return self._logits(tokens[:, None])

    def keep(self, rows: Tensor) -> None:
        """Drops all rows but these (ascending indices)."""
        if len(rows):
            self._take(rows)

    def _take(self, rows: Tensor) -> None:
        """The rows at these indices; an index that occurs twice gives two rows."""
        self.cache.reorder_cache(rows)
        self.mask = self.mask[rows]

    def _logits(self, ids: Tensor) -> Tensor:
        """Logits after the last of the new tokens [row, new]."""
        extra: dict[str, Any] = {self.cache_name: self.cache}
        if self.takes_positions:
            positions = (self.mask.cumsum(1) - 1).clamp(min=0)
            extra["position_ids"] = positions[:, -ids.shape[1] :]
        out = self.body(input_ids=ids, attention_mask=self.mask, use_cache=True, **extra)
        return self.policy.logits(out.last_hidden_state[:, -1])
