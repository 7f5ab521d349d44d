"""Proxy and gold over √KL: on tables, in the planted world, and on a policy of a few weights."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from fairlead.audits.base import Model, Subject
from fairlead.audits.over_optimisation import Measured, OverOptimisation, Way
from fairlead.audits.planted import CASES, flagged
from fairlead.core.errors import ConfigError, DataError
from fairlead.core.gates import Gate, verdict_of
from fairlead.core.results import Finding
from fairlead.core.seeds import Seed
from fairlead.models.loading import save_policy
from fairlead.models.policy import Policy
from fairlead.records import Prompt
from fairlead.records.files import write_records
from fairlead.rewards.base import FunctionReward, Reply, Scored
from fairlead.stats.over_optimisation import Fit
from small_world import prompts, tiny_policy

CASE = CASES["over-optimised proxy"]


def way(fit: Fit, reach: float, *, points: int = 8, prompts: int = 400, seed: int = 0) -> Way:
    """A path on which gold follows a curve and the proxy is the distance."""
    draws = np.random.default_rng(seed)
    d = np.linspace(0, reach, points + 1)[:, None]
    noise = draws.normal(0, 0.5, (points + 1, prompts))
    labels = tuple(f"step {i}" for i in range(points + 1))
    return Way(labels, np.repeat(d**2, prompts, axis=1), fit.gain(d) + noise, d + noise)


def found(path: Way, **settings: float) -> Finding:
    audit = OverOptimisation(data="none", resamples=500, **settings)  # pyright: ignore
    return audit.found(Measured(path, way(Fit("best_of_n", 1.0, 0.0, 0), 1.2)), Seed(0))


def gate_of(finding: Finding) -> Gate:
    (gate,) = finding.gates
    return gate


def test_behind_the_peak_the_gate_fails_and_says_where_the_peak_was():
    fit = Fit("best_of_n", 1.6, 0.8, 0.0)
    finding = found(way(fit, 2.0))
    gate = gate_of(finding)
    assert gate.verdict == "fail" == verdict_of(gate.change, gate.margin)
    assert gate.change.value == pytest.approx(4.0 / 1.0 - 1, rel=0.1)
    assert gate.candidate is not None
    assert gate.candidate.value == pytest.approx(gate.change.value + 1)
    peak = next(e for e in finding.estimates if e.name == "KL at the peak (nats)")
    assert peak.low < 1.0 < peak.high
    assert any("gold is shown to fall while the proxy rises" in note for note in finding.notes)


def test_before_the_peak_the_gate_passes_and_no_peak_is_stated():
    finding = found(way(Fit("rl", 3.0, 1.0, 0.0), 2.0, prompts=2000))
    gate = gate_of(finding)
    assert gate.verdict == "pass"
    assert not any("at the peak (nats)" in e.name for e in finding.estimates)
    assert any("lower bound only" in note for note in finding.notes)
    (figure,) = finding.figures
    assert "peak, 95 %" not in [series.label for series in figure.series]


def test_at_the_peak_it_is_undecided():
    fit = Fit("best_of_n", 1.6, 0.8, 0.0)
    assert gate_of(found(way(fit, 1.0, prompts=100))).verdict == "inconclusive"


def test_a_wider_margin_accepts_more():
    path = way(Fit("best_of_n", 1.6, 0.8, 0.0), 1.6)
    assert gate_of(found(path)).verdict == "fail"
    assert gate_of(found(path, margin=4.0)).verdict == "pass"


def test_a_candidate_that_has_not_moved_passes():
    path = way(Fit("best_of_n", 1.0, 0.0, 0.0), 0.05)
    finding = found(path)
    assert gate_of(finding).verdict == "pass"
    assert gate_of(finding).change.value == -1
    assert "hardly moved" in finding.notes[0]


def test_figure_marks_candidate_curve_and_peak():
    (figure,) = found(way(Fit("best_of_n", 1.6, 0.8, 0.0), 2.0)).figures
    series = {one.label: one for one in figure.series}
    assert series["candidate"].x == (pytest.approx(2.0),)
    assert series["gold"].low is not None
    fitted = series["gold, fitted"]
    top = int(np.argmax(np.array(fitted.y, dtype=float)))
    assert series["peak, 95 %"].x[1] == pytest.approx(fitted.x[top], abs=0.05)


def test_planted_defect_is_found_and_the_twin_passes():
    assert all(flagged(CASE.planted(Seed(seed))) for seed in range(10))
    verdicts = [gate_of(CASE.clean(Seed(seed))).verdict for seed in range(60)]
    assert verdicts.count("fail") <= 3
    assert verdicts.count("pass") >= 50


def length(prompt: Prompt, text: str) -> float:
    return float(len(text.split()))


def brevity(prompt: Prompt, text: str) -> float:
    return -length(prompt, text)


def moved(policy: Policy, size: float) -> Policy:
    """A policy whose weights were shaken."""
    draws = torch.Generator().manual_seed(0)
    for weight in policy.model.parameters():
        weight.data += size * torch.randn(weight.shape, generator=draws)
    return policy


def subject(
    folder: Path,
    *,
    gold: Callable[[Prompt, str], float] | None = brevity,
    size: float = 0.03,
    candidate: Policy | None = None,
) -> Subject:
    write_records(folder / "prompts.jsonl", prompts(24))
    rewards = {"proxy": FunctionReward(length)}
    if gold is not None:
        rewards["gold"] = FunctionReward(gold)
    nobody = None
    return Subject(
        candidate=Model("candidate", nobody, candidate or moved(tiny_policy(), size)),  # pyright: ignore
        baseline=Model("baseline", nobody, tiny_policy()),  # pyright: ignore
        seed=Seed(0),
        rewards=rewards,  # pyright: ignore
        locate=lambda name: str(folder / name),
    )


AUDIT = OverOptimisation(
    data="prompts.jsonl", samples=2, best_of=12, max_new_tokens=6, steps=4, resamples=100
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Finding:
    return AUDIT.run(subject(tmp_path_factory.mktemp("whole")))


def test_a_run_measures_the_whole_way(whole: Finding):
    path, best_of = whole.tables
    labels = [row[0] for row in path.rows]
    assert labels == ["baseline", *(f"{s}% of the way" for s in (25, 50, 75)), "candidate"]
    kl = [float(row[1]) for row in path.rows]  # pyright: ignore
    assert kl[0] == 0 < kl[2] < kl[4]
    assert [row[0] for row in best_of.rows] == [f"best of {n}" for n in (1, 2, 3, 4, 6)]
    bound = [math.log(n) - (n - 1) / n for n in (1, 2, 3, 4, 6)]
    got = [float(row[1]) for row in best_of.rows]  # pyright: ignore
    assert all(0 <= k <= b + 1e-9 for k, b in zip(got, bound, strict=True))
    # Gold is the proxy's opposite, in every row and up to the scale of both.
    for row in (*path.rows, *best_of.rows):
        assert row[2] == pytest.approx(-row[5])  # pyright: ignore
    proxies = [float(row[5]) for row in best_of.rows]  # pyright: ignore
    assert proxies == sorted(proxies)
    assert any("geometric mixtures" in note for note in whole.notes)


def test_passages_are_replies_whose_gold_fell_while_the_proxy_rose(whole: Finding):
    assert whole.passages
    for passage in whole.passages:
        assert passage.about == whole.gates[0].name
        assert length(prompts(1)[0], passage.candidate) > length(prompts(1)[0], passage.baseline)


def test_checkpoints_take_the_place_of_mixtures(tmp_path: Path):
    for number, size in enumerate((0.015, 0.02, 0.025)):
        save_policy(moved(tiny_policy(), size), tmp_path / f"step-{number}")
    names = tuple(f"step-{number}" for number in range(3))
    audit = AUDIT.model_copy(update={"checkpoints": names})
    finding = audit.run(subject(tmp_path))
    assert [row[0] for row in finding.tables[0].rows] == ["baseline", *names, "candidate"]
    assert not any("geometric mixtures" in note for note in finding.notes)


class Declines:
    """Says nothing of a third of the lengths."""

    name = "declines"

    def score(self, replies: list[Reply]) -> Scored:
        values = torch.tensor([-float(len(r.text)) for r in replies])
        silent = torch.tensor([float(len(r.text) % 3 == 0) for r in replies])
        return Scored(values, {"unparsed": silent})


def test_replies_without_gold_are_counted_against_the_candidate(tmp_path: Path):
    asked = subject(tmp_path)
    asked.rewards["gold"] = Declines()  # pyright: ignore
    gate = gate_of(AUDIT.run(asked))
    assert gate.unscored["error"] > 0


def test_a_model_against_itself_passes(tmp_path: Path):
    assert gate_of(AUDIT.run(subject(tmp_path, size=0.0))).verdict == "pass"


def test_what_it_needs_is_asked_for(tmp_path: Path):
    with pytest.raises(ConfigError, match="no reward called gold"):
        AUDIT.run(subject(tmp_path, gold=None))
    write_records(tmp_path / "one.jsonl", prompts(1))
    with pytest.raises(DataError, match="nothing to ask"):
        AUDIT.model_copy(update={"data": "one.jsonl"}).run(subject(tmp_path))


class Jury:
    """Three members; they agree on short replies and fall out over long ones."""

    name = "jury"

    def score(self, replies: list[Reply]) -> Scored:
        words = torch.tensor([length(r.prompt, r.text) for r in replies])
        table = torch.stack([words, 2 * words, -words])
        parts = {f"member_{number}": row for number, row in enumerate(table)}
        return Scored(words, parts | {"spread": table.std(0)})


def test_an_ensemble_shows_where_its_members_fall_out(tmp_path: Path):
    asked = subject(tmp_path)
    asked.rewards["proxy"] = Jury()  # pyright: ignore
    finding = AUDIT.run(asked)
    _, disagreement, combined = finding.figures
    (line,) = disagreement.series
    assert line.x == tuple(sorted(line.x))
    assert line.low is not None
    (rise,) = (e for e in finding.estimates if e.name == "rise of the ensemble's disagreement")
    assert rise.value == pytest.approx(line.y[-1] - line.y[0])  # pyright: ignore
    # On one scale all are as wide; two of three want more words, so does their mean, as the proxy.
    gold = {series.label: series.y[-1] for series in combined.series}
    assert gold["mean"] == pytest.approx(finding.tables[1].rows[-1][2])
    assert gold["mean"] < 0
    third = 3 * gold["one member, the mean over all"] - 2 * gold["mean"]  # pyright: ignore
    assert third > 0
    table = finding.tables[-1]
    assert [row[0] for row in table.rows] == list(gold)
    assert [row[1] for row in table.rows] == list(gold.values())
    assert table.rows[0][4] == 0


def test_one_reward_has_nothing_to_disagree_with(whole: Finding):
    assert len(whole.figures) == 1
    assert len(whole.tables) == 2
