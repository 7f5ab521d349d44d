"""Alignment while decoding: the policy stays as it is, a reward chooses what it says.

One file per decoder: its settings and what it does.
"""

import importlib
import pkgutil
from typing import Annotated, Union

from pydantic import Field

from fairlead.decoding.base import (
    DECODERS,
    Decoded,
    Decoder,
    DecoderSettings,
    Models,
    Spent,
)

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

AnyDecoder = Annotated[
    Union[tuple(DECODERS.values())],  # pyright: ignore  # noqa: UP007 - made at run time
    Field(discriminator="kind"),
]
"""Every decoder that a recipe can name; `kind` says which."""

__all__ = [
    "DECODERS",
    "AnyDecoder",
    "Decoded",
    "Decoder",
    "DecoderSettings",
    "Models",
    "Spent",
]
