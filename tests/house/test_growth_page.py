"""The page on growth shows the committed results, and its exponents are slopes."""

import json

import pytest
from benchmarks.growth import AXES, RESULTS, exponents, slope
from benchmarks.growth_page import LABELS, PAGE, figure, filled
from benchmarks.pages import digest


def test_page_shows_the_committed_results():
    text = PAGE.read_text()
    assert filled(text, json.loads(RESULTS.read_text())) == text, (
        "run `python -m benchmarks.growth --page`"
    )


@pytest.mark.parametrize("name", LABELS)
def test_figures_were_drawn_from_the_committed_results(name: str):
    result = json.loads(RESULTS.read_text())
    assert digest(result) in figure(name).read_text(), "run `python -m benchmarks.growth --page`"


def test_every_axis_has_a_label_and_its_place_in_the_page():
    assert [axis.name for axis in AXES] == list(LABELS)
    for name in LABELS:
        assert f"<!-- {name}:begin -->" in PAGE.read_text()
        assert f"figures/{figure(name).name}" in PAGE.read_text()


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_slope_is_the_power(power: float):
    assert slope([2, 4, 8, 32], [3 * x**power for x in (2, 4, 8, 32)]) == pytest.approx(power)


def test_exponents_are_those_of_the_larger_half_beyond_the_state():
    sizes = [1, 2, 4, 8, 16, 32]
    points = [
        # A cost that does not grow hides a line in small points; 30 MiB are the optimizer's.
        {
            "size": n,
            "seconds": 1.0 if n < 8 else n**2.0,
            "memory_mib": 30 + 5.0 * n,
            "state_mib": 30,
        }
        for n in sizes
    ]
    assert exponents(points) == {"seconds": pytest.approx(2.0), "memory": pytest.approx(1.0)}
