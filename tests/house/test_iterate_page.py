"""The page on rounds shows the committed results, and its words follow the numbers."""

import json

import numpy as np
import pytest
from benchmarks.iterate import RESULTS, joined, sides_with_truth
from benchmarks.iterate_page import FIGURE, PAGE, filled, reading
from benchmarks.pages import digest

REMEDY = "run `python -m benchmarks.iterate --page`"


def plain(value: float) -> dict:
    return {"value": value, "low": value - 0.1, "high": value + 0.1}


def run(seed: int, online: float, offline: float) -> dict:
    accuracy = {"own_accuracy": plain(0.6)}
    rounds = [{"gold_gain": plain(online / 3 * n), **accuracy} for n in (1, 2, 3)]
    return {
        "seed": seed,
        "online": rounds,
        "offline": {"gold_gain": plain(offline), **accuracy},
        "online_less_offline": plain(online - offline),
    }


def test_page_shows_the_committed_results():
    text = PAGE.read_text()
    assert filled(text, json.loads(RESULTS.read_text())) == text, REMEDY


def test_figure_was_drawn_from_the_committed_results():
    assert digest(json.loads(RESULTS.read_text())) in FIGURE.read_text(), REMEDY


def test_a_proxy_sides_with_the_truth_where_it_orders_replies_alike():
    gold = np.array([[1.0, 0.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    proxy = np.array([[5.0, 1.0, 2.0], [1.0, 1.0, 3.0], [1.0, 2.0, 3.0]])
    # First prompt: two pairs differ, both right. Second: a tie (half), two wrong. Third: none.
    assert sides_with_truth(gold, proxy).value == pytest.approx(2.5 / 5)


@pytest.mark.parametrize(
    ("online", "words"),
    [
        ((0.9, 0.8, 1.0), "three rounds gain"),
        ((0.1, 0.0, 0.2), "three rounds lose"),
        ((0.9, 0.1, 0.5), "contains 0"),
    ],
)
def test_words_follow_the_numbers(online, words):
    runs = [run(i, o, 0.5) for i, o in enumerate(online)]
    text = reading({"runs": runs, "seeds": joined(runs)})
    assert words in text and "0.60 of pairs" in text
