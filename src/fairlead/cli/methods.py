"""The list of methods as a table for people or as JSON."""

from collections.abc import Sequence
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from fairlead.pipeline.methods import Family, Method, methods


def listed() -> list[dict[str, Any]]:
    """Every method as kind, title, source and needs."""
    fields = {"kind", "title", "source", "needs"}
    return [method.model_dump(mode="json", include=fields) for method in methods()]


def tables() -> Group:
    """The same as a table for each family."""
    every = methods()
    grouped = [(family, [m for m in every if m.family == family]) for family in Family]
    return Group(*(_table(family, own) for family, own in grouped if own))


def _table(family: Family, own: Sequence[Method]) -> Table:
    table = Table(title=str(family), title_justify="left", title_style="bold")
    table.add_column("kind", no_wrap=True)
    for head in ("title", "needs", "source"):
        table.add_column(head, ratio=1)
    for method in own:
        needs = ", ".join(method.needs)
        table.add_row(*map(Text, (method.kind, method.title, needs, method.source)))
    return table
