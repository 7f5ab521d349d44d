"""A key/value cache that is allocated once and written in place, one slot per step for all rows.

Every row's prompt ends at the same slot, so a step writes one common slot and no row ever moves;
what lies left of a shorter prompt is masked.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, DynamicCache
from transformers.cache_utils import CacheLayerMixin


class SlotLayer(CacheLayerMixin):
    """Keys and values of one layer, [row, kv head, slot, width], filled from the left.

    Args:
        keys: with the first `used` slots filled.
        values: likewise.
        used: slots filled so far.
    """

    is_sliding = False
    keys: Tensor  # pyright: ignore[reportIncompatibleVariableOverride]
    values: Tensor  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, keys: Tensor, values: Tensor, used: int) -> None:
        super().__init__()
        self.keys, self.values = keys, values
        self.used = used
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Writes one token per row, [row, kv head, 1, width]; views of all filled slots."""
        self.keys[:, :, self.used] = key_states[:, :, 0]
        self.values[:, :, self.used] = value_states[:, :, 0]
        self.used += 1
        return self.keys[:, :, : self.used], self.values[:, :, : self.used]

    def keep(self, rows: Tensor) -> None:
        """Closes the ranks of the rows that stay (ascending indices), in the same memory."""
        self.keys = _closed(self.keys, rows, self.used)
        self.values = _closed(self.values, rows, self.used)

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing to do: the memory is there from the start."""

    def get_seq_length(self) -> int:
        """Slots filled so far."""
        return self.used

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length and offset of what a step attends to."""
        return self.used + query_length, 0

    def get_max_length(self) -> int:
        """Slots in all."""
        return self.keys.shape[2]


def _closed(buffer: Tensor, rows: Tensor, used: int) -> Tensor:
    buffer[: len(rows), :, :used] = buffer[rows, :, :used]
    return buffer[: len(rows)]


class SlotCache(Cache):
    """The layers' slots, laid out from a packed prefill.

    Args:
        prefilled: what a packed forward left: per layer [1, kv head, token, width].
        prompts: where each prompt lies in that pack.
        owners: the prompt of each row; rows may share one.
        room: slots for tokens yet to come.
    """

    def __init__(
        self, prefilled: DynamicCache, prompts: Sequence[slice], owners: Sequence[int], room: int
    ) -> None:
        lengths = torch.tensor([p.stop - p.start for p in prompts])
        stops = torch.tensor([p.stop for p in prompts])
        longest = int(lengths.max())
        backwards = torch.arange(longest, 0, -1)
        own = torch.tensor(owners)
        # Slots left of a prompt hold another token's keys: masked, but finite, or 0 * NaN shows.
        tokens = (stops[own, None] - backwards).clamp(min=0)
        layers = [_laid_out(layer, tokens, room) for layer in prefilled.layers]
        super().__init__(layers=[*layers])
        self.valid: Tensor | None = None
        """[row, slot], True where a slot counts; None where all do."""
        if bool((lengths[own] < longest).any()):
            valid = torch.ones(len(own), longest + room, dtype=torch.bool)
            valid[:, :longest] = backwards <= lengths[own, None]
            self.valid = valid.to(layers[0].keys.device)

    def mask(self) -> Tensor | None:
        """Which slots the next step attends to, its own included: [row, slot]."""
        return None if self.valid is None else self.valid[:, : self.get_seq_length() + 1]

    def keep(self, rows: Tensor) -> None:
        """Drops all rows but these (ascending indices)."""
        for layer in self.layers:
            assert isinstance(layer, SlotLayer)
            layer.keep(rows)
        if self.valid is not None:
            self.valid = self.valid[rows]


def _laid_out(layer: Any, tokens: Tensor, room: int) -> SlotLayer:
    used = tokens.shape[1]
    index = tokens.to(layer.keys.device)
    return SlotLayer(_rows(layer.keys, index, room), _rows(layer.values, index, room), used)


def _rows(packed: Tensor, tokens: Tensor, room: int) -> Tensor:
    """[1, kv head, token, width] to [row, kv head, slot, width] with empty slots on the right."""
    rows, used = tokens.shape
    buffer = packed.new_empty(rows, packed.shape[1], used + room, packed.shape[3])
    buffer[:, :, :used] = packed[0][:, tokens].transpose(0, 1)
    return buffer
