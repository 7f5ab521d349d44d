"""A key/value cache that is allocated once and written in place, wave by wave.

Rows that enter together are a wave. Within a wave every prompt ends at the same slot, so a step
writes one common slot, no row ever moves, and attention reads no slot that no row needs; what lies
left of a shorter prompt is masked. Rows of one prompt share its keys and values where that is
cheaper. Matrix products run over the rows of all waves at once.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, DynamicCache
from transformers.cache_utils import CacheLayerMixin

from fairlead.models.attention import attend_once


class Wave:
    """Keys and values of rows that entered together, [row, kv head, slot, width] per layer.

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
        layers = list[Any](prefilled.layers)
        device = layers[0].keys.device
        self.rows, self.used, self.slots, self.offset = len(own), longest, longest + room, 0
        self.keys = [self._rows(layer.keys[0][:, tokens.to(device)]) for layer in layers]
        self.values = [self._rows(layer.values[0][:, tokens.to(device)]) for layer in layers]
        self.valid: Tensor | None = None
        """[row, slot], True where a slot counts; None where all do."""
        if bool((lengths[own] < longest).any()):
            valid = torch.ones(len(own), self.slots, dtype=torch.bool)
            valid[:, :longest] = backwards <= lengths[own, None]
            self.valid = valid.to(device)

    def _rows(self, filled: Tensor) -> Tensor:
        """[kv head, row, slot, width] to the layout of a wave, with empty slots on the right."""
        heads, rows, used, width = filled.shape
        buffer = filled.new_empty(rows, heads, self.slots - self.offset, width)
        buffer[:, :, :used] = filled.transpose(0, 1)
        return buffer

    def write(self, layer: int, key: Tensor, value: Tensor) -> None:
        """One token per row, [row, kv head, width], into the next slot."""
        self.keys[layer][:, :, self.used - self.offset] = key
        self.values[layer][:, :, self.used - self.offset] = value

    def attend(self, layer: int, query: Tensor, scaling: float | None) -> Tensor:
        """What each row's new token attends to; see `attend_once`."""
        stop = self.used + 1
        mask = None if self.valid is None else self.valid[:, :stop]
        keys, values = self.keys[layer][:, :, :stop], self.values[layer][:, :, :stop]
        return attend_once(query, keys, values, mask, scaling)

    def keep(self, rows: Tensor) -> None:
        """Drops all rows but these (ascending indices) and their memory."""
        self.rows = len(rows)
        written = self.used - self.offset
        for buffers in (self.keys, self.values):
            for layer, buffer in enumerate(buffers):
                buffers[layer] = self._rows(buffer[rows, :, :written].transpose(0, 1))
        if self.valid is not None:
            self.valid = self.valid[rows]

    @property
    def room(self) -> int:
        """Slots for tokens yet to come."""
        return self.slots - self.used


class GroupedWave(Wave):
    """Rows of which several continue one prompt, whose keys and values are kept and read once.

    A row attends to its prompt and to its own tokens apart; the two are merged by their
    normalisers, which gives what attending to both at once gives.
    """

    def __init__(
        self, prefilled: DynamicCache, prompts: Sequence[slice], owners: Sequence[int], room: int
    ) -> None:
        self.prompts = Wave(prefilled, prompts, range(len(prompts)), 0)
        self.owners = torch.tensor(owners)
        self.rows, self.valid = len(owners), None
        self.used = self.offset = self.prompts.used
        self.slots = self.used + room
        self.keys = [self._none(keys) for keys in self.prompts.keys]
        self.values = [self._none(keys) for keys in self.prompts.keys]
        self._seat()

    def _none(self, keys: Tensor) -> Tensor:
        """Empty slots for all rows."""
        _, heads, _, width = keys.shape
        return keys.new_empty(self.rows, heads, self.slots - self.offset, width)

    def _seat(self) -> None:
        """Gives every row a seat at its prompt: as many seats at each as the fullest needs."""
        counts = self.owners.bincount(minlength=self.prompts.rows)
        self.seats = int(counts.max())
        order = self.owners.argsort(stable=True)
        place = torch.arange(self.rows) - (counts.cumsum(0) - counts)[self.owners[order]]
        self.seat = torch.empty_like(self.owners)
        """The seat of each row, [row], counted over all prompts."""
        self.seat[order] = self.owners[order] * self.seats + place
        self.seated = torch.zeros(self.prompts.rows * self.seats, dtype=torch.long)
        """The row in each seat; any row where nobody sits."""
        self.seated[self.seat] = torch.arange(self.rows)
        self.bias = None
        if self.prompts.valid is not None:
            blank = torch.zeros(self.prompts.valid.shape, dtype=self.keys[0].dtype)
            self.bias = blank.masked_fill(~self.prompts.valid, -torch.inf)[:, None, None]

    def attend(self, layer: int, query: Tensor, scaling: float | None) -> Tensor:
        """What each row's new token attends to; see `attend_once`."""
        rows, heads, _, width = query.shape
        heads_of_keys = self.keys[layer].shape[1]
        # The kernel takes the last dimension for dense without looking.
        grouped = query.reshape(rows, heads_of_keys, heads // heads_of_keys, width).contiguous()
        shared, of_shared = self._to_prompts(layer, grouped, scaling)
        stop = self.used + 1 - self.offset
        keys, values = self.keys[layer][:, :, :stop], self.values[layer][:, :, :stop]
        own, of_own = _flash(grouped, keys, values, scale=scaling)
        share = torch.sigmoid(of_own - of_shared)[..., None].to(own.dtype)
        return torch.lerp(shared, own, share).reshape(rows, 1, heads, width)

    def _to_prompts(
        self, layer: int, grouped: Tensor, scaling: float | None
    ) -> tuple[Tensor, Tensor]:
        """Attention of queries [row, kv head, group, width] to prompts, and its normaliser."""
        keys, values = self.prompts.keys[layer], self.prompts.values[layer]
        _, kv, group, width = grouped.shape
        seats = (self.prompts.rows, self.seats, kv, group, width)
        asked = grouped[self.seated].view(seats).transpose(1, 2).flatten(2, 3)
        out, normaliser = _flash(asked, keys, values, attn_mask=self.bias, scale=scaling)
        out = out.reshape(-1, kv, self.seats, group, width).transpose(1, 2).flatten(0, 1)
        normaliser = normaliser.reshape(-1, kv, self.seats, group).transpose(1, 2).flatten(0, 1)
        return out[self.seat], normaliser[self.seat]

    def keep(self, rows: Tensor) -> None:
        """Drops all rows but these (ascending indices), and prompts that nobody continues."""
        super().keep(rows)
        left, self.owners = self.owners[rows].unique(return_inverse=True)
        if len(left) < self.prompts.rows:
            self.prompts.keep(left)
        self._seat()


def wave(
    prefilled: DynamicCache, prompts: Sequence[slice], owners: Sequence[int], room: int
) -> Wave:
    """The cheaper kind; see `Wave` for the arguments."""
    on_cpu = list[Any](prefilled.layers)[0].keys.device.type == "cpu"
    kind = GroupedWave if on_cpu and len(owners) > len(prompts) else Wave
    return kind(prefilled, prompts, owners, room)


_flash: Any = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default
"""Attention on a CPU, and the logarithm of its normaliser."""


class _Layer(CacheLayerMixin):
    """Hands a layer's new keys and values to the waves."""

    is_sliding = False

    def __init__(self, cache: "WaveCache", place: int) -> None:
        super().__init__()
        self.cache, self.place = cache, place
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Writes one token per row, [row, kv head, 1, width]."""
        self.cache.write(self.place, key_states, value_states)
        return key_states, value_states

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing to do: the memory is there from the start."""

    def get_seq_length(self) -> int:
        """Slots filled so far in the fullest wave."""
        return max((wave.used for wave in self.cache.waves), default=0)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length and offset of what a step attends to."""
        return self.get_seq_length() + query_length, 0

    def get_max_length(self) -> int:
        """Slots in all of the largest wave."""
        return max((wave.slots for wave in self.cache.waves), default=0)


class WaveCache(Cache):
    """The waves that are being decoded together, their rows one behind the other.

    Args:
        layers: the model's layers that have keys and values.
    """

    def __init__(self, layers: int) -> None:
        super().__init__(layers=[_Layer(self, place) for place in range(layers)])
        self.waves: list[Wave] = []
        self.latest = 0
        """The layer that wrote last, and whose attention is therefore next."""

    def extend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float | None
    ) -> Tensor:
        """Writes a layer's new keys and values and attends; see `write` and `attend`."""
        self.write(layer, key, value)
        return self.attend(query, scaling)

    def write(self, layer: int, key: Tensor, value: Tensor) -> None:
        """A layer's new keys and values, [row, kv head, 1, width], into each wave's next slot."""
        self.latest = layer
        for wave, new, content in zip(
            self.waves, self._parts(key[:, :, 0]), self._parts(value[:, :, 0]), strict=True
        ):
            wave.write(layer, new, content)

    def attend(self, query: Tensor, scaling: float | None) -> Tensor:
        """Attention of the layer that wrote last, [row, 1, heads, width].

        Args:
            query: [row, heads, 1, width].
            scaling: of the products with the keys.
        """
        parts = [
            wave.attend(self.latest, own, scaling)
            for wave, own in zip(self.waves, self._parts(query), strict=True)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def advance(self) -> None:
        """Ends a step: the slots just written count as filled."""
        for wave in self.waves:
            wave.used += 1

    def keep(self, rows: Tensor) -> None:
        """Drops all rows but these (ascending indices)."""
        start, staying = 0, list[Wave]()
        for wave in self.waves:
            own = rows[(rows >= start) & (rows < start + wave.rows)] - start
            start += wave.rows
            if 0 < len(own) < wave.rows:
                wave.keep(own)
            if len(own):
                staying.append(wave)
        self.waves = staying

    def _parts(self, rows: Tensor) -> Sequence[Tensor]:
        if len(self.waves) == 1:
            return (rows,)
        return rows.split([wave.rows for wave in self.waves])
