import json
import math
from pathlib import Path

import pytest
from pydantic import ValidationError

from fairlead.core.errors import DataError
from fairlead.core.estimates import NamedEstimate
from fairlead.lineage import (
    Figure,
    Reply,
    Sample,
    Scores,
    Series,
    StageResult,
    Table,
    read_result,
    write_result,
)


def test_result_survives_the_disk(tmp_path: Path):
    series = Series(label="dpo", x=(0, 1), y=(0.5, math.nan), low=(0.4, 0.1), high=(0.6, 0.9))
    result = StageResult(
        estimates=(NamedEstimate(name="w", value=0.5, low=0.4, high=0.6, n=9, method="m", seed=1),),
        notes=("a note",),
        tables=(Table(title="t", columns=("a", "b"), rows=(("x", 1), (True, 0.5))),),
        figures=(Figure(title="f", x_label="x", y_label="y", series=(series,)),),
        samples=(
            Sample(prompt="p", replies=(Reply(policy="q", text="r", scores=Scores(gold=1)),)),
        ),
    )
    write_result(tmp_path, result)
    assert read_result(tmp_path) == result
    assert read_result(tmp_path).figures[0].series[0].y == (0.5, None)


def test_numbers_that_are_not_finite_leave_standard_json(tmp_path: Path):
    estimate = NamedEstimate(name="w", value=1, low=math.nan, high=math.inf, n=1, method="m")
    write_result(tmp_path, StageResult(estimates=(estimate,)))
    stored = json.loads((tmp_path / "result.json").read_text(), parse_constant=pytest.fail)
    assert stored["estimates"][0]["low"] is None
    (found,) = read_result(tmp_path).estimates
    assert (found.value, math.isnan(found.low), math.isnan(found.high)) == (1.0, True, True)


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [((1.0,), None, "together"), ((1.0,), (1.0,), "1 low for 2 x")],
)
def test_uneven_series_are_refused(low: tuple, high: tuple | None, message: str):
    with pytest.raises(ValidationError, match=message):
        Series(label="s", x=(0, 1), y=(1, 2), low=low, high=high)


def test_uneven_tables_are_refused():
    with pytest.raises(ValidationError, match="row 2 has 1 cells for 2 columns"):
        Table(title="t", columns=("a", "b"), rows=((1, 2), (1,)))


@pytest.mark.parametrize("content", ["[]", '{"estimates": 3}', '{"unknown": 1}', '{"notes": [1]}'])
def test_other_json_is_refused(tmp_path: Path, content: str):
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(DataError, match="not a stage result"):
        read_result(tmp_path)
