"""The page on selection shows the committed results, and its words follow the numbers."""

import json

import pytest
from benchmarks.pages import digest
from benchmarks.selection import RESULTS, joined
from benchmarks.selection_page import FIGURE, PAGE, filled, reading

REMEDY = "run `python -m benchmarks.selection --page`"


def run(seed: int, random: float, targeted: float) -> dict:
    points = [
        {"strategy": name, "share": 0.1, "accuracy": {"value": value}, "mistakes_found": 0.25}
        for name, value in (("random", random), ("rlthf", targeted))
    ]
    judge = {"nobody": {"value": 0.5}, "points": points}
    return {
        "seed": seed,
        "all_people": {"value": 0.9},
        "judges": {"flips": judge, "length": judge},
    }


def test_page_shows_the_committed_results():
    text = PAGE.read_text()
    assert filled(text, json.loads(RESULTS.read_text())) == text, REMEDY


def test_figure_was_drawn_from_the_committed_results():
    assert digest(json.loads(RESULTS.read_text())) in FIGURE.read_text(), REMEDY


def test_strategies_are_compared_with_random_seed_by_seed():
    found = joined([run(0, 0.6, 0.7), run(1, 0.5, 0.62), run(2, 0.7, 0.81)])
    point = found["judges"]["flips"]["points"][1]
    assert point["less_random"]["value"] == pytest.approx(0.11)
    assert point["less_random"]["low"] == pytest.approx(0.11 - 4.3027 * 0.01 / 3**0.5, abs=1e-4)
    assert point["accuracy"]["value"] == pytest.approx(0.71)


@pytest.mark.parametrize(
    ("targeted", "words"),
    [
        ((0.70, 0.62, 0.81), "2 are clearly better and 0 clearly worse"),
        ((0.50, 0.38, 0.59), "0 are clearly better and 2 clearly worse"),
        ((0.50, 0.62, 0.70), "0 are clearly better and 0 clearly worse"),
    ],
)
def test_words_follow_the_numbers(targeted, words):
    runs = [run(i, r, t) for i, (r, t) in enumerate(zip((0.6, 0.5, 0.7), targeted, strict=True))]
    assert words in reading({"runs": runs, "seeds": joined(runs)})
