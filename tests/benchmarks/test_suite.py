"""Arithmetic of the suite: floors by hand, what counts, when sides are unequal; and the page."""

from pathlib import Path
from typing import Any

import pytest
from benchmarks.comparisons import DPO, GRPO, ROWS, SFT, WORKS
from benchmarks.floors import Text
from benchmarks.pages import digest
from benchmarks.rates import Rates
from benchmarks.rows import Unequal, rows_of
from benchmarks.suite import RESULTS
from benchmarks.table import TITLES, render, short
from benchmarks.work import (
    GROUP,
    PACK_LENGTH,
    PACKS,
    SIZES,
    Size,
    ends,
    make_pairs,
    packed_batches,
    recorded_replies,
)

from benchmarks import floors
from fairlead.core.files import read_json

RATES = Rates(gemm_gflops=100.0, memory_gbs=10.0, weights_gbs=20.0)
TINY = Size(2, 1, 1, 3, 5, pairs=2, batch=1, prompts=1, grpo_steps=1)


def answer(seconds: float, *, others: float = 0.0, loss: float = 1.0, **more: Any) -> dict:
    return {
        "seconds": seconds,
        "cpu_seconds": seconds,
        "others_cpu_seconds": others * seconds,
        "faults": 80,
        "above_mib": 10 * seconds,
        "steps": [{"loss": loss, "gradient_norm": 2.0}] * 4,
        "parts": {},
        "lengths": [],
        "data": "same",
        **more,
    }


def sides(ours: list[dict], peer: list[dict], tuned: list[dict]) -> dict[str, list[dict]]:
    return {"ours": ours, "peer": peer, "peer_tuned": tuned}


def test_parameters_are_those_of_the_model(tmp_path: Path) -> None:
    from benchmarks.work import make_model
    from safetensors.torch import load_file

    size = SIZES["S"]
    make_model(size, tmp_path)
    held = load_file(tmp_path / "model.safetensors")
    assert sum(weight.numel() for weight in held.values()) == size.body + size.head == 4_212_992


def test_training_floor_by_hand() -> None:
    # body: 4*4 + 3*2*3 + 2*2 of the layer, and the last norm's 2; head: 5*2
    assert (TINY.body, TINY.head) == (40, 10)
    texts = [Text(prompt=3, reply=1), Text(prompt=1, reply=2)]
    # 6*40*7 + 6*10*3 + 6*1*2*(16 + 9) = 2160 operations; 2 steps of 28 bytes for 50 weights
    found = floors.training(TINY, RATES, texts, steps=2)
    assert found.operations == 2160
    assert found.seconds == pytest.approx(2160 / 100e9 + 2 * 28 * 50 / 10e9)
    assert floors.training(TINY, RATES, texts, steps=2, head=False).operations == 1980


def test_decoding_floor_by_hand() -> None:
    texts = [Text(prompt=3, reply=2), Text(prompt=4, reply=1)]
    # prompts: 2*40*7; first token: 2 rows, second: 1 row; 200 bytes of weights are read for each
    multiplied = [2 * 50 * 2, 2 * 50 * 1]
    cached = [2 * 2 * 4 * (3 + 4), 2 * 2 * 4 * (3 + 1)]
    assert all(m / 100e9 < 200 / 20e9 for m in multiplied)
    expected = 560 / 100e9 + 2 * 200 / 20e9 + sum(cached) / 10e9
    found = floors.decoding(TINY, RATES, texts)
    assert found.seconds == pytest.approx(expected)
    assert found.operations == 560 + sum(multiplied)


@pytest.mark.parametrize("model", SIZES)
def test_packs_hold_every_example_once_and_fit(model: str) -> None:
    size = SIZES[model]
    steps = packed_batches(size)
    lengths = [[len(p.prompt) + len(p.chosen) for p in step] for step in steps]
    assert sorted(map(repr, (p for step in steps for p in step))) == sorted(
        map(repr, make_pairs(size))
    )
    assert all(sum(step) <= PACKS * PACK_LENGTH for step in lengths)


@pytest.mark.parametrize("model", SIZES)
def test_recorded_replies_end_once_or_are_cut(model: str) -> None:
    size = SIZES[model]
    stops = set(ends(size))
    replies = [reply for own in recorded_replies(size) for reply in own]
    assert len(replies) == GROUP * size.prompts
    assert len(stops) == size.vocabulary // 64
    for reply in replies:
        assert not stops & set(reply[:-1])
        assert (reply[-1] == 0) or len(reply) == 128


def test_medians_leave_out_the_warm_up_and_the_disturbed() -> None:
    ours = [answer(9), answer(2), answer(7, others=0.5), answer(4), answer(3)]
    peer = [answer(99), answer(10), answer(11), answer(15)]
    tuned = [answer(99), answer(6), answer(6), answer(9)]
    (row,) = rows_of(SFT, "S", sides(ours, peer, tuned), 3, RATES)
    assert (row["ours_s"], row["peer_s"], row["peer_tuned_s"]) == (3, 11, 6)
    assert row["speedup"] == pytest.approx(11 / 3)
    assert row["speedup_tuned"] == 2
    assert sorted(row["rounds_s"]["ours"]) == [2, 3, 4]
    assert (row["left_out"], row["others_cpus"]) == (1, 0)
    assert row["memory_ratio"] == pytest.approx(30 / 150)
    assert row["ours_faults"] == 20
    floor = floors.sft(SIZES["S"], RATES)
    assert row["floor_ratio"] == pytest.approx(3 / floor.seconds)
    assert row["peer_gflops"] == pytest.approx(floor.operations / 11e9)


def test_parts_of_a_step_of_grpo() -> None:
    lengths = [[10] * 16, [30] * 16]
    turn = answer(8, parts={"making": 5.0, "sampling": 4.0}, lengths=lengths)
    turn["steps"] = turn["steps"][:2]
    both = [turn, turn]
    whole, update, rollout = rows_of(GRPO, "M", sides(both, both, both), 1, RATES)
    assert whole["ours_s"] == 4
    assert update["ours_s"] == 1.5
    assert rollout["ours_s"] == pytest.approx(1000 * 4 / 640)
    assert whole["ours_tokens"] == 320
    assert rollout["ours_tokens_per_s"] == pytest.approx(160)
    assert whole["floor_s"] == pytest.approx(update["floor_s"] + rollout["floor_s"] * 320 / 1000)


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"loss": 1.001}, "loss of peer differs by 0.001, beyond"),
        ({"loss": float("nan")}, "loss of peer differs by nan"),
        ({"data": "other"}, "peer worked on other tokens"),
    ],
)
def test_unequal_sides_are_not_compared(changed: dict, fault: str) -> None:
    ours, theirs = [answer(1), answer(1)], [answer(1, **changed), answer(1)]
    with pytest.raises(Unequal, match=fault):
        rows_of(DPO, "S", sides(ours, theirs, ours), 1, RATES)


def test_every_row_has_a_title() -> None:
    assert list(TITLES) == ROWS
    assert len({work.name for work in WORKS}) == len(WORKS)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.01234, "0.012"), (1.234, "1.23"), (12.34, "12.3"), (99.96, "100"), (1234.5, "1234")],
)
def test_three_digits(value: float, text: str) -> None:
    assert short(value) == text


def test_page_and_figure_show_the_committed_results() -> None:
    result = read_json(RESULTS)
    assert render(result) == RESULTS.with_suffix(".md").read_text(), "run `make bench`"
    assert digest(result) in RESULTS.with_suffix(".svg").read_text(), "run `make bench`"
