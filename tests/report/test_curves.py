import math
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from fairlead.report.collect import read_curves
from fairlead.report.drawing import thin


def test_curves_keep_steps_and_count_what_they_leave_out(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(
        '{"step": 1, "loss/dpo": 0.7, "note": "warm-up", "flag": true}\n'
        '{"step": 2, "loss/dpo": NaN}\n'
        "\n"
        '{"step": 4, "loss/dpo": 0.5, "reward/margin": 1}\n'
        '{"loss/dpo": 0.4}\n'
        '{"step": 5, "loss/d'
    )
    curves, notes = read_curves(path)
    assert [c.name for c in curves] == ["loss/dpo", "reward/margin"]
    assert curves[0].steps == [1, 2, 4]
    assert (curves[0].values[0], curves[0].values[2]) == (0.7, 0.5)
    assert math.isnan(curves[0].values[1])
    assert notes == [
        "metrics.jsonl: 2 lines could not be read; the curves leave them out.",
        "metrics.jsonl: 2 values are not numbers; the curves leave them out.",
        "metrics.jsonl: loss/dpo was not finite at 1 of 3 steps.",
    ]


def test_thinning_averages_neighbours_without_gaps():
    values = [1.0, 3.0, math.nan, 5.0, math.nan, math.nan, 7.0]
    steps, means, width = thin([1, 2, 3, 4, 5, 6, 7], values, most=4)
    assert (steps, width) == ([2, 4, 6, 7], 2)
    assert (means[0], means[1], means[3]) == (2.0, 5.0, 7.0)
    assert math.isnan(means[2])


@given(st.lists(st.floats(-1e6, 1e6), max_size=200), st.integers(1, 50))
def test_thinning_keeps_the_range_and_the_end(values: list[float], most: int):
    steps, means, width = thin([float(i) for i in range(len(values))], values, most)
    assert len(steps) == len(means) == math.ceil(len(values) / width)
    assert len(means) <= most
    if values:
        assert steps[-1] == len(values) - 1
        assert min(values) - 1e-3 <= min(means) <= max(means) <= max(values) + 1e-3
