"""Audits: what became worse, by how much, and whether that is more than was agreed to.

One file per audit: its settings and what it does.
"""

import importlib
import pkgutil
from typing import Annotated, Union

from pydantic import Field

from fairlead.audits.base import AUDITS, Audit, Model, Subject

for _module in pkgutil.iter_modules(__path__):
    if not _module.ispkg:
        importlib.import_module(f"{__name__}.{_module.name}")

AnyAudit = Annotated[
    Union[tuple(AUDITS.values())],  # pyright: ignore  # noqa: UP007 - made at run time
    Field(discriminator="kind"),
]
"""Every audit that a recipe can name; `kind` says which."""

__all__ = ["AUDITS", "AnyAudit", "Audit", "Model", "Subject"]
