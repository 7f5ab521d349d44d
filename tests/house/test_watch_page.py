"""The page on the watch shows the committed results, and acceptance holds in them."""

import json

import pytest
from benchmarks.pages import digest
from benchmarks.watch import ARMS, RESULTS, SECOND, seeded
from benchmarks.watch_page import FIGURE, PAGE, filled, table

from fairlead.stats.means import mean_estimate


def results() -> dict:
    return json.loads(RESULTS.read_text())


def test_page_shows_the_committed_results():
    text = PAGE.read_text()
    assert filled(text, results()) == text, "run `python -m benchmarks.watch --page`"


def test_figure_was_drawn_from_the_committed_results():
    assert digest(results()) in FIGURE.read_text(), "run `python -m benchmarks.watch --page`"


def test_what_was_kept_is_worth_at_least_what_the_unwatched_run_ended_with():
    more = [run["over_unwatched"]["watched"]["value"] for run in results()["runs"]]
    assert len(more) >= 5
    assert min(more) >= 0
    assert mean_estimate(more).low > 0


def test_rows_of_means_are_means_of_the_seeds():
    result = results()
    gains = [run["gain"]["unwatched"]["value"] for run in result["runs"]]
    row = next(line for line in table(result).splitlines() if "**mean**" in line)
    assert f"{mean_estimate(gains).value:.2f} [" in row


@pytest.mark.parametrize("arms", [ARMS[:1], ARMS])
def test_an_arm_runs_only_the_stages_it_needs(arms: tuple[str, ...]):
    names = {stage.name for stage in seeded(1, None, arms).stages}
    assert {"unwatched", "watched"} <= names
    assert (names & SECOND == SECOND) == ("by-model" in arms)
