"""What all commands share: the consoles, how errors are shown, how JSON is printed."""

import functools
import json
import os
import sys
from collections.abc import Callable
from typing import Annotated, Any, ParamSpec, TypeVar

import typer
from rich.console import Console

from fairlead.core.errors import FairleadError

out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True)

P = ParamSpec("P")
R = TypeVar("R")

Json = Annotated[bool, typer.Option("--json", help="Print JSON only.")]


def ending(code: int) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Shows Fairlead's own errors as text and leaves with a status; other errors are bugs."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def command(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except FairleadError as error:
                err.print(f"[bold red]error[/]: {escaped(str(error))}", highlight=False)
                raise typer.Exit(code) from error

        return command

    return decorate


for_people = ending(1)
"""What commands are wrapped in whose status is 0 or 1."""


def quiet() -> None:
    """Libraries' progress bars and notices stay out of the way of ours."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()


def escaped(text: str) -> str:
    """Text whose brackets are not taken for styles."""
    return text.replace("[", r"\[")


def print_json(value: Any) -> None:
    """Prints a value as JSON and nothing else."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
