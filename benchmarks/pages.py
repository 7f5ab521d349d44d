"""What the pages of results have in common: marked blocks, intervals in cells, figures."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from fairlead.core.files import sha256_json

BLUE, VERMILION, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
ORANGE, SKY = "#e69f00", "#56b4e9"
"""Okabe and Ito's colours, which readers who see colours otherwise can tell apart."""
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "path",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
}


def with_blocks(text: str, blocks: Mapping[str, str]) -> str:
    """The Markdown text with the content of its marked blocks replaced.

    Raises:
        ValueError: the text has no such block.
    """
    for name, content in blocks.items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        if begin not in text or end not in text:
            raise ValueError(f"the page has no block {begin} ... {end}")
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        text = pattern.sub(lambda _, c=f"{begin}\n{content}\n{end}": c, text)
    return text


def cell(estimate: Mapping[str, float], *, digits: int = 2) -> str:
    """A value with its interval."""
    value, low, high = (f"{estimate[k]:.{digits}f}" for k in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


@contextmanager
def drawing(
    file: Path, result: dict[str, Any], *, size: tuple[float, float], salt: str, grid: str = "both"
) -> Iterator[Figure]:
    """A figure to draw on, saved in the end: the same results give the same bytes.

    Args:
        file: the SVG.
        result: what is drawn; the file carries its digest.
        size: width and height in inches.
        salt: what the names inside the SVG are made from.
        grid: axis that the grid lines stand on.
    """
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": salt, "axes.grid.axis": grid}):
        canvas = Figure(figsize=size, layout="constrained", facecolor="white")
        yield canvas
        metadata = {"Date": None, "Creator": None, "Description": digest(result)}
        canvas.savefig(file, format="svg", metadata=metadata)


def digest(result: dict[str, Any]) -> str:
    """Names the results in the figure that was drawn from them."""
    return sha256_json(result)
