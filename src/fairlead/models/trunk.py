"""Hidden states of packed sequences from any transformers model.

Two ways, one result: *packed* (no padding, shared prompts computed once), for models whose
attention goes through transformers' interface, and *padded*, for every other model. Which one is
safe is not looked up in a list: it is tried on a few tokens when the model is wrapped.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fairlead.models.attention import NAME, attending, layout
from fairlead.objectives.batch import Packed, Tree


@dataclass(frozen=True)
class Padded:
    """A pack spread out to [sequence, length] and where each packed token went."""

    input_ids: Tensor
    mask: Tensor
    places: Tensor
    """Index into the flattened [sequence, length] of each packed token's first copy."""


def spread(packed: Packed) -> Padded:
    """Right-padded copies of every sequence, each with its own copy of the shared prefix."""
    sequences: list[Tensor] = []
    places = torch.zeros(packed.input_ids.shape[0], dtype=torch.long)
    longest = max(tree.prefix + max(tree.branches) for tree in packed.trees)
    for tree in packed.trees:
        position = tree.start + tree.prefix
        shared = torch.arange(tree.start, position)
        for length in tree.branches:
            own = torch.cat([shared, torch.arange(position, position + length)])
            # Written for every branch: the last copy of the prefix wins, all copies are equal.
            places[own] = len(sequences) * longest + torch.arange(len(own))
            sequences.append(own)
            position += length
    device = packed.input_ids.device
    ids = torch.zeros(len(sequences), longest, dtype=torch.long, device=device)
    mask = torch.zeros_like(ids)
    for row, own in enumerate(sequences):
        ids[row, : len(own)] = packed.input_ids[own.to(device)]
        mask[row, : len(own)] = 1
    return Padded(ids, mask, places.to(device))


def body(model: Any) -> Any:
    """The part of a model that gives hidden states, with adapters in place where it has some."""
    inner = model.get_base_model() if hasattr(model, "peft_config") else model
    if inner.get_output_embeddings() is None:
        return inner
    return inner.base_model


class Trunk:
    """Calls a transformers model for hidden states; holds no parameters of its own.

    Args:
        model: a causal model, an encoder, or a peft model around either.
        causal: False for bidirectional encoders.
    """

    def __init__(self, model: Any, *, causal: bool = True) -> None:
        self.model = model
        self.causal = causal
        self.packs = self._can_pack()

    def hidden(self, packed: Packed) -> Tensor:
        """Last hidden states of all packed tokens, [token, width]."""
        return self._packed(packed) if self.packs else self._padded(packed)

    def places(self, packed: Packed, tokens: Tensor) -> Tensor:
        """Where packed tokens lie in the flattened [sequence, length] that the model computes."""
        return tokens if self.packs else spread(packed).places[tokens]

    def _packed(self, packed: Packed) -> Tensor:
        with attending(layout(packed, causal=self.causal)):
            out = body(self.model)(
                input_ids=packed.input_ids[None],
                position_ids=packed.position_ids[None],
                use_cache=False,
            )
        return out.last_hidden_state[0]

    def _padded(self, packed: Packed) -> Tensor:
        padded = spread(packed)
        out = body(self.model)(
            input_ids=padded.input_ids, attention_mask=padded.mask, use_cache=False
        )
        return out.last_hidden_state.flatten(0, 1)[padded.places]

    @torch.no_grad()
    def _can_pack(self) -> bool:
        """Whether packing gives this model the hidden states that padding gives it."""
        inner = body(self.model)
        was_training, before = inner.training, inner.config._attn_implementation
        inner.eval()
        if before == NAME:  # a copy of a model that was packed already
            before = "sdpa"
            inner.set_attn_implementation(before)
        probe = _probe(inner, shared=self.causal)
        expected = self._padded(probe)
        try:
            inner.set_attn_implementation(NAME)
            got = self._packed(probe)
            close = 1e-4 if got.dtype in (torch.float32, torch.float64) else 5e-2
            packs = got.shape == expected.shape and bool(
                (got - expected).abs().max() <= close * expected.abs().max().clamp(min=1)
            )
        except Exception as error:  # whatever a foreign model raises means: not packable
            packs = False
            warnings.warn(f"{type(inner).__name__} runs padded: {error}", stacklevel=2)
        if not packs:
            inner.set_attn_implementation(before)
        inner.train(was_training)
        return packs


@contextmanager
def unpacked(model: nn.Module) -> Iterator[None]:
    """Within the block the model attends as it comes, so that others' code can call it."""
    inner = body(model)
    if inner.config._attn_implementation != NAME:
        yield
        return
    inner.set_attn_implementation("sdpa")
    try:
        yield
    finally:
        inner.set_attn_implementation(NAME)


def _probe(model: nn.Module, *, shared: bool) -> Packed:
    """A tiny pack of two trees whose tokens exist in every vocabulary."""
    device = next(model.parameters()).device
    if shared:
        trees = (Tree(0, 3, (2, 4)), Tree(9, 0, (5,)))
        positions = [0, 1, 2, 3, 4, 3, 4, 5, 6, 0, 1, 2, 3, 4]
    else:
        trees = (Tree(0, 0, (9,)), Tree(9, 0, (5,)))
        positions = [*range(9), *range(5)]
    ids = torch.arange(14, device=device) % min(model.get_input_embeddings().num_embeddings, 14)  # pyright: ignore
    nothing = torch.zeros(0, dtype=torch.long, device=device)
    return Packed(
        input_ids=ids,
        position_ids=torch.tensor(positions, device=device),
        trees=trees,
        rows=nothing,
        targets=nothing,
        row_sequence=nothing,
        ends=nothing,
    )


def without_dropout(model: nn.Module) -> None:
    """Switches dropout off for good: log-probabilities must not be noisy in preference training."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        _zero_dropouts(module)
    if hasattr(model, "config"):
        _zero_dropouts(model.config)


def _zero_dropouts(holder: Any) -> None:
    """Many models keep probabilities as plain numbers, on their modules or read from the config."""
    for name, value in vars(holder).items():
        if "drop" in name and isinstance(value, float):
            setattr(holder, name, 0.0)
