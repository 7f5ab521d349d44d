"""The layers of a transformers model, and the states behind them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from fairlead.core.errors import ConfigError
from fairlead.models.trunk import body


def layers_of(model: Any) -> nn.ModuleList:
    """The layers of a model, from first to last.

    Raises:
        ConfigError: it has no list of as many modules as its configuration has layers.
    """
    inner = body(model)
    count = inner.config.get_text_config().num_hidden_layers
    lists = (module for module in inner.modules() if isinstance(module, nn.ModuleList))
    found = next((modules for modules in lists if len(modules) == count), None)
    if found is None:
        raise ConfigError(
            f"the layers of {type(inner).__name__} cannot be told",
            expected=f"a list of {count} modules",
            got="none",
            remedy="leave out what reads activations",
        )
    return found


@contextmanager
def kept_states(model: Any, places: Tensor) -> Iterator[list[Tensor]]:
    """Within the block every call of the model adds its layers' states at some places.

    Args:
        model: the model.
        places: into the flattened [sequence, length] of the call.
    """
    held: list[Tensor] = []

    def keep(_: nn.Module, __: Any, output: Any) -> None:
        held.append(state_of(output).flatten(0, 1)[places])

    handles = [layer.register_forward_hook(keep) for layer in layers_of(model)]
    try:
        yield held
    finally:
        for handle in handles:
            handle.remove()


def state_of(output: Any) -> Tensor:
    """The state among what a layer gives."""
    return output if isinstance(output, Tensor) else output[0]
