"""What a model holds at the end of a prompt, layer by layer, and what it does without a part of it.

Read and changed by hooks on the layers, so for any transformers model; weights are never touched.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fairlead.data.batches import microbatches, pack
from fairlead.data.chat import Item
from fairlead.models.layers import kept_states, layers_of, state_of
from fairlead.models.policy import Policy
from fairlead.objectives.batch import Packed


@torch.no_grad()
def last_states(
    policy: Policy, prompts: Sequence[Sequence[int]], *, tokens: int = 8192
) -> NDArray[np.float64]:
    """States behind every layer at the last token of each prompt, [layer, prompt, width].

    Args:
        policy: the model.
        prompts: tokens of each.
        tokens: computed at once.
    """
    items = [Item(tuple(prompt), ((prompt[-1],),), record=i) for i, prompt in enumerate(prompts)]
    rows: dict[int, NDArray[np.float64]] = {}
    with _evaluating(policy.model):
        for group in microbatches(items, tokens):
            states = _states(policy, pack(group).to(policy.device))
            rows |= {item.record: own for item, own in zip(group, states, strict=True)}
    return np.stack([rows[i] for i in range(len(prompts))], axis=1)


@contextmanager
def without_direction(policy: Policy, layer: int, direction: NDArray[np.float64]) -> Iterator[None]:
    """Within the block the states behind a layer have no part along a direction.

    Args:
        policy: the model.
        layer: counted from 0.
        direction: [width], of any length but zero.
    """

    def project(_: nn.Module, __: Any, output: Any) -> Any:
        hidden = state_of(output)
        unit = torch.as_tensor(direction, dtype=hidden.dtype, device=hidden.device)
        unit = unit / unit.norm()
        left = hidden - (hidden @ unit)[..., None] * unit
        return left if isinstance(output, Tensor) else (left, *output[1:])

    handle = layers_of(policy.model)[layer].register_forward_hook(project)
    try:
        yield
    finally:
        handle.remove()


def _states(policy: Policy, packed: Packed) -> Iterator[NDArray[np.float64]]:
    """[layer, width] of each prompt, from one call."""
    ends = torch.tensor([tree.start + tree.prefix - 1 for tree in packed.trees])
    places = policy.trunk.places(packed, ends)
    with kept_states(policy.model, places) as held:
        policy.trunk.hidden(packed)
    yield from torch.stack(held, dim=1).double().cpu().numpy()


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Within the block the model is in evaluation mode."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
