"""Attention for packed sequences, registered through transformers' own interface.

The layout reaches it beside the call: any causal model whose attention goes through
`AttentionInterface` can be packed without a change to its code. No mask of size tokens squared
exists; short trees are attended a few at a time under one small mask, long ones branch by branch.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface

from fairlead.core.errors import ConfigError
from fairlead.objectives.batch import Packed, Tree

NAME = "fairlead_packed"

SMALL = 192
"""Neighbouring trees are attended together while they hold at most this many tokens: one call on
a small masked block costs less than many calls on tiny ones."""


@dataclass(frozen=True)
class Segment:
    """Neighbouring tokens that attend to themselves and to at most one earlier segment."""

    length: int
    prefix: int | None
    """Index of the earlier segment they also attend to."""
    mask: Tensor | None
    """None where they attend causally to themselves alone."""


@dataclass(frozen=True)
class Layout:
    """How a pack attends."""

    segments: tuple[Segment, ...]
    """One behind the other they make up the pack."""
    longest: int
    """Longest sequence, prefix included, in tokens."""


@dataclass(frozen=True)
class Decoding:
    """One new token per row against a cache."""

    attend: Callable[[Tensor, float | None], Tensor]
    """From queries [row, heads, 1, width] and a scale to [row, 1, heads, width], over the keys
    and values that the cache was handed last."""


_state: ContextVar[Layout | Decoding | None] = ContextVar("fairlead_attention", default=None)


@contextmanager
def attending(state: Layout | Decoding) -> Iterator[None]:
    """Makes packed attention follow `state` within the block."""
    token = _state.set(state)
    try:
        yield
    finally:
        _state.reset(token)


def layout(packed: Packed, *, causal: bool = True) -> Layout:
    """The attention layout of a pack; not `causal`: every sequence attends to all of itself."""
    device = packed.input_ids.device
    segments: list[Segment] = []
    block: list[Tree] = []
    for tree in packed.trees:
        if block and tree.start + tree.length - block[0].start > SMALL:
            segments.append(_block(block, causal, device))
            block = []
        if tree.length > SMALL:
            segments += _long_tree(tree, len(segments), causal, device)
        else:
            block.append(tree)
    if block:
        segments.append(_block(block, causal, device))
    longest = max(tree.prefix + max(tree.branches) for tree in packed.trees)
    return Layout(tuple(segments), longest)


def _block(trees: Sequence[Tree], causal: bool, device: torch.device) -> Segment:
    first, last = trees[0], trees[-1]
    length = last.start + last.length - first.start
    if len(trees) == 1 and causal and len(first.branches) == 1:
        return Segment(length, None, None)
    mask = torch.zeros(length, length, dtype=torch.bool)
    for tree in trees:
        start = tree.start - first.start
        shared = slice(start, start + tree.prefix)
        mask[shared, shared] = True
        position = shared.stop
        for own in tree.branches:
            branch = slice(position, position + own)
            mask[branch, shared] = True
            mask[branch, branch] = True
            position = branch.stop
    return Segment(length, None, (mask.tril() if causal else mask).to(device))


def _long_tree(tree: Tree, place: int, causal: bool, device: torch.device) -> list[Segment]:
    """Segments of a tree by itself; the first has index `place` in its layout."""
    if len(tree.branches) == 1 and causal:
        return [Segment(tree.length, None, None)]
    if not tree.prefix and causal:
        return [Segment(length, None, None) for length in tree.branches]
    segments = [Segment(tree.prefix, None, None)] if tree.prefix else []
    for length in tree.branches:
        mask = torch.ones(length, tree.prefix + length, dtype=torch.bool, device=device)
        mask = mask.tril(tree.prefix) if causal else mask
        segments.append(Segment(length, place if tree.prefix else None, mask))
    return segments


def packed_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention of [1, heads, tokens, width] under the current layout, or of one decoding step.

    Raises:
        ConfigError: the model caps its attention logits or its window is shorter than a sequence;
            such models are run padded instead.
    """
    state = _state.get()
    assert state is not None, "packed attention called outside `attending`"
    if softcap is not None:
        raise ConfigError("attention logit caps cannot be packed", remedy="run the model padded")
    if isinstance(state, Decoding):
        return state.attend(query, scaling), None
    if sliding_window is not None and sliding_window < state.longest:
        raise ConfigError(
            "a sequence is longer than the model's attention window",
            expected=f"at most {sliding_window} tokens",
            got=f"{state.longest} tokens",
            remedy="lower max_length",
        )
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    # Split once: the gradient of a split is one concatenation, that of every slice a whole tensor.
    lengths = [segment.length for segment in state.segments]
    queries, keys, values = (x.split(lengths, dim=2) for x in (query, key, value))
    parts = [
        F.scaled_dot_product_attention(
            queries[place],
            _with_prefix(keys, place, segment),
            _with_prefix(values, place, segment),
            attn_mask=segment.mask,
            is_causal=segment.mask is None,
            dropout_p=dropout,
            scale=scaling,
        )
        for place, segment in enumerate(state.segments)
    ]
    return torch.cat(parts, dim=2).transpose(1, 2), None


def _with_prefix(pieces: Sequence[Tensor], place: int, segment: Segment) -> Tensor:
    """The segment's own piece of keys or values, behind that of its prefix."""
    own = pieces[place]
    return own if segment.prefix is None else torch.cat([pieces[segment.prefix], own], dim=2)


def attend_once(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float | None
) -> Tensor:
    """One query per row; grouped heads share their keys without copying them.

    Args:
        query: [row, heads, 1, width].
        key: [row, kv heads, slot, width].
        value: likewise.
        mask: [row, slot], True where a slot counts; None where all do.
        scaling: of the products; None for 1 / sqrt(width).

    Returns:
        [row, 1, heads, width].
    """
    rows, heads, _, width = query.shape
    grouped = query.reshape(rows, key.shape[1], heads // key.shape[1], width)
    out = F.scaled_dot_product_attention(
        grouped, key, value, attn_mask=None if mask is None else mask[:, None, None], scale=scaling
    )
    return out.reshape(rows, 1, heads, -1)


AttentionInterface.register(NAME, packed_attention)
