"""A program alone, with nobody to talk to."""

from typing import Any


def main(source: str) -> None:
    """Runs a source."""
    namespace: dict[str, Any] = {"__name__": "program"}
    exec(compile(source, "program", "exec", dont_inherit=True), namespace)
