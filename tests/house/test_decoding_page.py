"""The page on decoding shows the committed results, and its words follow the numbers."""

import json

from benchmarks.decoding import RESULTS
from benchmarks.decoding_page import FIGURE, PAGE, filled, reading, table
from benchmarks.pages import digest

REMEDY = "run `python -m benchmarks.decoding --page`"


def interval(value: float, half: float) -> dict[str, float]:
    return {"value": value, "low": value - half, "high": value + half}


STAGE = {
    "estimates": {
        "proxy_gain/x": interval(1.0, 0.25),
        "proxy_over_best_of_n/x": interval(0.5, 0.25),
        "tokens/x": interval(40, 1),
        "proxy_gain/y": interval(0.5, 0.25),
        "proxy_over_best_of_n/y": interval(-0.5, 0.25),
        "tokens/y": interval(80, 1),
    },
    "tables": [
        {
            "columns": ["decoder", "tokens", "proxy", "n at equal tokens"],
            "rows": [["x", 40, 2.0, 1.5], ["best of 2", 50, 1.0, None], ["y", 80, 1.5, 3.2]],
        }
    ],
    "figures": [{"series": [{"y": [0.0, 0.7], "low": [0.0, 0.6], "high": [0.0, 0.8]}]}],
}


def test_page_shows_the_committed_results():
    text = PAGE.read_text()
    assert filled(text, json.loads(RESULTS.read_text())) == text, REMEDY


def test_figure_was_drawn_from_the_committed_results():
    assert digest(json.loads(RESULTS.read_text())) in FIGURE.read_text(), REMEDY


def test_rows_are_in_the_order_of_their_price():
    rows = table(STAGE).splitlines()[2:]
    assert rows == [
        "| x | 40 | 1.00 [0.75, 1.25] | 1.5 | 0.50 [0.25, 0.75] |",
        "| *best of 2* | 50 | 0.70 [0.60, 0.80] |  |  |",
        "| y | 80 | 0.50 [0.25, 0.75] | 3.2 | -0.50 [-0.75, -0.25] |",
    ]


def test_words_follow_the_numbers():
    assert "more with x; less with y" in reading(STAGE, "title")
