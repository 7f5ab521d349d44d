"""A decoding step recorded once and replayed: the model's operations without its Python.

A step on a CPU is a few hundred small operations, and the modules around them cost more than the
operations. So a step is traced with symbolic rows and its list of operations is simplified (see
`simplify`). A recording names the weights it needs, so it serves every model of the same structure
with its present weights: checkpoints of a run, a policy while it is trained. Which operations a
model runs may depend on what is not seen here (adapters switched off, say), so every sampling call
first compares a recording with the modules.
"""

import logging
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

from fairlead.generation.cache import WaveCache
from fairlead.generation.products import Blocked, fits_caches
from fairlead.generation.simplify import Joint, simplified

WORTH = 16
"""Steps of a reply below which it is not worth a recording. Whether one is used depends on the call
alone, not on what was sampled before: a resumed run must sample what the stopped one would have."""

KEPT = 4
"""Recordings kept per structure: with and without adapters, and some to spare."""

CLOSE = 1e-4
"""Largest difference of logits from the modules', as a share of the largest logit."""

Run = Callable[[Tensor, Tensor, WaveCache], Tensor]
"""A step: from tokens [row], their positions [row] and the cache, which it extends, to logits
[row, vocabulary]."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Own:
    """A weight of the model, by its name."""

    name: str


class Recording:
    """The operations of a step, for any number of rows.

    Args:
        model: what is recorded; it is not kept.
        modules: the step through its modules.
        layers: how many layers have keys and values.

    Raises:
        Exception: whatever tracing finds in the model that depends on data.
    """

    def __init__(self, model: nn.Module, modules: Run, layers: int) -> None:
        rows = torch.tensor([2, 3, 5])  # as many as tracing takes for neither 0 nor 1
        traced = make_fx(
            lambda tokens, positions: modules(tokens, positions, _Traced(layers)),
            tracing_mode="symbolic",
            pre_dispatch=True,
            _allow_non_fake_inputs=True,
        )(rows, rows.clone())
        self.code, constants = simplified(traced, torch.ops.fairlead.attend.default)
        names = {_place(tensor): _Own(name) for name, tensor in _tensors(model).items()}
        self.constants = [_mapped(held, lambda t: names.get(_place(t), t)) for held in constants]

    def bind(self, model: nn.Module) -> Run:
        """The step with this model's present weights; they must not change while it is in use."""
        own = _tensors(model)
        held = [
            _mapped(one, lambda t: own[t.name].detach() if isinstance(t, _Own) else t)
            for one in self.constants
        ]
        joints = [one for one in held if isinstance(one, Joint)]
        cached = fits_caches(weight for joint in joints for weight in joint.weights)
        bound = [_blocked(one, cached) if isinstance(one, Joint) else one for one in held]
        code = self.code
        return lambda tokens, positions, cache: code(tokens, positions, cache.extend, *bound)


def _mapped(held: Any, change: Callable[[Any], Any]) -> Any:
    """A constant with each of its tensors changed."""
    if not isinstance(held, Joint):
        return change(held)
    biases = None if held.biases is None else tuple(map(change, held.biases))
    return Joint(tuple(map(change, held.weights)), biases, held.transposed)


def _blocked(joint: Joint, cached: bool) -> Blocked:
    weights: Sequence[Tensor] = joint.weights
    if joint.transposed:
        weights = [weight.t() for weight in weights]
    return Blocked(weights, joint.biases, cached=cached)


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, tied ones once."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _place(tensor: Tensor) -> tuple[int, torch.Size, tuple[int, ...]]:
    return tensor.data_ptr(), tensor.shape, tensor.stride()


@dataclass
class Known:
    """What is known of models of one structure."""

    recordings: list[Recording] = field(default_factory=list[Recording])
    refused: bool = False
    """Whether a recording failed: the modules are used from then on."""

    def replay(
        self,
        model: nn.Module,
        modules: Run,
        attempt: tuple[Tensor, Tensor, WaveCache],
        expected: Tensor,
    ) -> Run | None:
        """A step that gives what the modules give, recorded now unless there is one.

        Args:
            model: of this structure.
            modules: the step through its modules.
            attempt: arguments of a step; the cache's next slots are written.
            expected: the modules' logits for them.

        Returns:
            None where the model cannot be recorded.
        """
        for recording in self.recordings:
            run = recording.bind(model)
            if _agrees(run, attempt, expected):
                return run
        if self.refused or len(self.recordings) == KEPT:
            return None
        try:
            recording = Recording(model, modules, len(attempt[2].layers))
            run = recording.bind(model)
            self.refused = not _agrees(run, attempt, expected)
        except Exception as error:  # whatever a foreign model's code makes of being traced
            log.info("%s is decoded by its modules: %s", type(model).__name__, error)
            self.refused = True
        if self.refused:
            return None
        self.recordings.append(recording)
        return run


def known(model: nn.Module) -> Known:
    """What is known of models that are built like this one."""
    parts = tuple((name, type(module)) for name, module in model.named_modules())
    weights = tuple((name, t.shape, t.dtype) for name, t in _tensors(model).items())
    config: Any = model.config
    settings = {**config.to_dict(), "_name_or_path": ""}
    changed = weakref.ref(model) if any(map(_is_changed, model.modules())) else None
    return _of_structure(parts, weights, repr(settings), changed)


@lru_cache(maxsize=8)
def _of_structure(*_: Any) -> Known:
    return Known()


def _is_changed(module: nn.Module) -> bool:
    """Whether a module does what its class does not say."""
    return "forward" in vars(module) or bool(module._forward_hooks or module._forward_pre_hooks)


def _agrees(run: Run, attempt: tuple[Tensor, Tensor, WaveCache], expected: Tensor) -> bool:
    difference = (run(*attempt) - expected).abs().max()
    return bool(difference <= CLOSE * expected.abs().max())


class _Traced(WaveCache):
    """Notes attention as one operation."""

    def write(self, layer: int, key: Tensor, value: Tensor) -> None:
        """Keeps them until the layer's attention, which is next."""
        self.latest, self.key, self.value = layer, key, value

    def attend(self, query: Tensor, scaling: float | None) -> Tensor:
        """The operation that stands for it."""
        return _attend(self.latest, query, self.key, self.value, scaling)


@torch.library.custom_op("fairlead::attend", mutates_args=())
def _attend(layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
    """Stands for attention in a recording."""
    raise AssertionError("attention is given to a recording, not called in it")


@_attend.register_fake
def _(layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
    rows, heads, _, width = query.shape
    return query.new_empty(rows, 1, heads, width)
