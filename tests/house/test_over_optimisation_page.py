"""The page on over-optimisation shows the committed results, and its arithmetic is right."""

import json

import numpy as np
import pytest
from benchmarks.over_optimisation import RESULTS, Point, against, gold_at, peak_and_fall
from benchmarks.over_optimisation_page import FIGURE, PAGE, filled
from benchmarks.pages import digest


def point(step: int, gold: list[float], kl: float) -> Point:
    values = np.array(gold)
    return Point(step, values, values, np.full(len(gold), kl), values)


def test_page_shows_the_committed_results():
    text = PAGE.read_text()
    assert filled(text, json.loads(RESULTS.read_text())) == text, (
        "run `python -m benchmarks.over_optimisation --page`"
    )


def test_figure_was_drawn_from_the_committed_results():
    assert digest(json.loads(RESULTS.read_text())) in FIGURE.read_text(), (
        "run `python -m benchmarks.over_optimisation --page`"
    )


def test_peak_is_chosen_on_one_half_and_measured_on_the_other():
    # Even prompts are best at step 1, odd ones at step 2: each half is measured at the other's.
    path = [
        point(0, [0.0] * 4, 0),
        point(1, [3.0, 1.0, 3.2, 0.8], 1),
        point(2, [1.0, 4.0, 1.2, 4.4], 2),
    ]
    found = peak_and_fall(path)
    assert found["peak_gain"].value == pytest.approx(np.mean([1.0, 1.0, 1.2, 0.8]))
    assert found["fall"].value == pytest.approx(np.mean([0.0, -3.0, 0.0, -3.6]))


def test_gold_between_two_points_is_on_the_line_over_the_root_of_the_kl():
    path = [point(0, [0.0, 0.0], 0.0), point(1, [2.0, 4.0], 4.0), point(2, [1.0, 1.0], 9.0)]
    assert gold_at(path, 1.0).tolist() == [1.0, 2.0]
    assert gold_at(path, 2.5).tolist() == [1.5, 2.5]
    assert gold_at(path, 7.0).tolist() == [1.0, 1.0]


def test_methods_meet_at_the_shorter_of_the_two_ways():
    single = [point(0, [0.0, 0.1], 0.0), point(1, [-2.0, -2.1], 16.0)]
    near = [point(0, [0.0, 0.1], 0.0), point(1, [1.0, 1.2], 4.0)]
    found = against(near, single)
    assert found["common_distance"] == 2.0
    assert found["gold_at_common_distance"]["value"] == pytest.approx(1.1 + 1.0)
    assert found["final_gold"]["value"] == pytest.approx(1.1 + 2.05)
