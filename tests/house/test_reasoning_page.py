"""The page on reasoning shows the committed results, and its arithmetic is right."""

import json

import pytest
from benchmarks.pages import digest
from benchmarks.reasoning import RESULTS, curve
from benchmarks.reasoning_page import FIGURES, PAGE, filled, pooled, smoothed


def test_page_shows_the_committed_results():
    text = PAGE.read_text()
    assert filled(text, json.loads(RESULTS.read_text())) == text, (
        "run `python -m benchmarks.reasoning --page`"
    )


@pytest.mark.parametrize("name", ["curves", "choices"])
def test_figures_were_drawn_from_the_committed_results(name: str):
    figure = (FIGURES / f"reasoning-{name}.svg").read_text()
    assert digest(json.loads(RESULTS.read_text())) in figure, (
        "run `python -m benchmarks.reasoning --page`"
    )


def test_errors_of_seeds_add_in_quadrature():
    estimates = [(0.1, 0.07, 0.13), (0.3, 0.26, 0.34)]
    runs = [dict(zip(("value", "low", "high"), e, strict=True)) for e in estimates]
    found = pooled({"runs": runs}, lambda run: run)
    assert found == pytest.approx({"value": 0.2, "low": 0.175, "high": 0.225})


def test_smoothing_is_the_mean_of_neighbours():
    assert smoothed([0.0, 3.0, 6.0, 0.0]).tolist() == [1.5, 3.0, 3.0, 3.0]


def test_a_rollout_batch_is_placed_where_it_had_been_learned_from(tmp_path):
    lines = [
        {"reward/score": 0.5, "train/token_passes": 10},
        {"train/token_passes": 14},
        {"reward/score": 0.6, "train/token_passes": 24},
    ]
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert curve(path) == [
        {"score": 0.5, "token_passes": 14},
        {"score": 0.6, "token_passes": 24},
    ]
