"""A decoding step recorded once and replayed: the model's operations without its Python.

A step on a CPU is a few hundred small operations, and the modules around them cost more than the
operations. So a step is traced with symbolic rows, its list of operations is simplified (see
`simplify`), and what is replayed holds the model's own parameters: their present values count.
Which operations a model runs may depend on what is not seen here (adapters switched off, say), so
every sampling call first compares a recording with the modules.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

from fairlead.generation.cache import WaveCache
from fairlead.generation.products import Blocked, fits_caches
from fairlead.generation.simplify import Joint, simplified

WORTH = 16
"""Steps below which a reply is not worth a recording."""

KEPT = 4
"""Recordings kept per model: with and without adapters, and some to spare."""

CLOSE = 1e-4
"""Largest difference of logits from the modules', as a share of the largest logit."""

Run = Callable[[Tensor, Tensor, WaveCache], Tensor]
"""A step: from tokens [row], their positions [row] and the cache, which it extends, to logits
[row, vocabulary]."""

log = logging.getLogger(__name__)


@dataclass
class _Known:
    recordings: list["Recording"] = field(default_factory=list)
    refused: bool = False
    """Whether a recording failed: the modules are used from then on."""


_known: WeakKeyDictionary[nn.Module, _Known] = WeakKeyDictionary()


class Recording:
    """The operations of a step, for any number of rows.

    Args:
        modules: the step through the modules.
        layers: how many layers have keys and values.

    Raises:
        Exception: whatever tracing finds in the model that depends on data.
    """

    def __init__(self, modules: Run, layers: int) -> None:
        rows = torch.tensor([2, 3, 5])  # as many as tracing takes for neither 0 nor 1
        traced = make_fx(
            lambda tokens, positions: modules(tokens, positions, _Traced(layers)),
            tracing_mode="symbolic",
            pre_dispatch=True,
            _allow_non_fake_inputs=True,
        )(rows, rows.clone())
        self.code, self.constants = simplified(traced, torch.ops.fairlead.attend.default)

    def bind(self) -> Run:
        """The step with the weights as they are now; they must not change while it is in use."""
        joints = [held for held in self.constants if isinstance(held, Joint)]
        cached = fits_caches(weight for joint in joints for weight in joint.weights)
        bound = [
            Blocked(held.weights, held.biases, cached=cached) if isinstance(held, Joint) else held
            for held in self.constants
        ]
        code = self.code
        return lambda tokens, positions, cache: code(tokens, positions, cache.extend, *bound)


def replay(
    model: nn.Module, modules: Run, attempt: tuple[Tensor, Tensor, WaveCache], expected: Tensor
) -> Run | None:
    """A step that gives what the modules give, recorded now unless there is one.

    Args:
        model: what the recordings belong to.
        modules: the step through the modules.
        attempt: arguments of a step; the cache's next slots are written.
        expected: the modules' logits for them.

    Returns:
        None where the model cannot be recorded.
    """
    known = _known.setdefault(model, _Known())
    for recording in known.recordings:
        run = recording.bind()
        if _agrees(run, attempt, expected):
            return run
    if known.refused or len(known.recordings) == KEPT:
        return None
    try:
        recording = Recording(modules, len(attempt[2].layers))
        run = recording.bind()
        known.refused = not _agrees(run, attempt, expected)
    except Exception as error:  # whatever a foreign model's code makes of being traced
        log.info("%s is decoded by its modules: %s", type(model).__name__, error)
        known.refused = True
    if known.refused:
        return None
    known.recordings.append(recording)
    return run


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
