"""`python -m tests.reference FILE`: files that match, differ, or make no sense."""

import copy
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from reference.compare import differences
from reference.registry import CASES, NotOffered, as_tensors
from reference.runner import main, read, run

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT.parent / "shared" / "reference" / "reference_values.json"
LATER = {
    *("pref.ai_labels", "dec.args", "dec.cards", "dec.controlled_decoding"),
    *("ovs.weak_to_strong", "ovs.conformal", "agr.cohen", "agr.fleiss", "agr.krippendorff"),
    *("agr.dawid_skene", "agr.paired_ranking", "agr.position_bias"),
}
"""Cases of parts of the product that are still to come."""


@pytest.fixture
def published() -> dict[str, Any]:
    if not PUBLISHED.is_file():
        pytest.skip("../shared/reference/reference_values.json is not beside this checkout")
    return read(PUBLISHED)


def written(folder: Path, cases: Any) -> Path:
    path = folder / "values.json"
    path.write_text(cases if isinstance(cases, str) else json.dumps(cases))
    return path


def said(path: Path) -> tuple[int, list[str]]:
    lines: list[str] = []
    return main(path, lines.append), lines


def test_the_published_values(published) -> None:
    code, lines = said(PUBLISHED)
    assert code == 0, "\n".join(lines)
    outcome = run(published)
    assert set(outcome.not_built) <= LATER
    assert len(outcome.matched) == len(published) - len(outcome.not_built)
    built, missing = len(outcome.matched), len(outcome.not_built)
    assert lines[-1] == f"{built} of {len(published)} cases match, {missing} not built"
    assert sum(len(found) for found in outcome.not_offered.values()) <= 12


def moved(leaf: Any) -> Any:
    """The first number of a nested value is no longer what it was."""
    if isinstance(leaf, dict):
        key = next(iter(leaf))
        return {**leaf, key: moved(leaf[key])}
    if isinstance(leaf, list):
        return [moved(leaf[0]), *leaf[1:]]
    return leaf + 2e-6 * (1 + abs(leaf))


def test_every_moved_output_is_found(published, tmp_path: Path) -> None:
    """Each output of each case that is built is compared, at its first number."""
    usual = run(published)
    for name in usual.matched:
        unlike = {d.path.split(".")[0] for d in usual.not_offered.get(name, [])}
        for key, leaf in published[name]["outputs"].items():
            if key in unlike:
                continue
            case = copy.deepcopy(published[name])
            case["outputs"][key] = moved(leaf)
            outcome = run({name: case})
            assert list(outcome.mismatched) == [name], f"{name}: {key}"
            assert outcome.mismatched[name][0].path.startswith(key)


def test_a_mismatch_is_named_and_fails(tmp_path: Path) -> None:
    code, lines = said(written(tmp_path, {"rm.bt": TINY | {"outputs": {"per_pair": [0.5]}}}))
    assert code == 1
    assert lines[0] == "rm.bt: per_pair[0]: expected 0.5, got 0.3132616875"
    assert lines[-1] == "0 of 1 cases match, 0 not built"


TINY = {
    "inputs": {"r_chosen": [1.0], "r_rejected": [0.0]},
    "outputs": {"per_pair": [math.log1p(math.exp(-1))], "accuracy": 1.0},
}


def test_as_a_command(tmp_path: Path) -> None:
    path = written(tmp_path, {"rm.bt": TINY, "of.the_future": TINY})
    got = subprocess.run(
        [sys.executable, "-m", "tests.reference", str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (got.returncode, got.stderr) == (0, "")
    lines = ["not built: of.the_future", "1 of 2 cases match, 1 not built"]
    assert got.stdout.splitlines() == lines


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("[]", "expected an object of cases"),
        ("{}", "expected an object of cases"),
        ('{"rm.bt": 3}', "case 'rm.bt' needs an object named 'inputs'"),
        ('{"rm.bt": {"inputs": {}}}', "case 'rm.bt' needs an object named 'outputs'"),
        ('{"rm.bt": {"inputs": {}, "outputs": {}}}', "no outputs to compare"),
    ],
)
def test_a_malformed_file_is_refused(tmp_path: Path, text: str, words: str) -> None:
    code, lines = said(written(tmp_path, text))
    assert code == 2 and len(lines) == 1
    assert lines[0].startswith("error: ") and words in lines[0]


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    code, lines = said(tmp_path / "none.json")
    assert code == 2 and "cannot be read" in lines[0]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"r_chosen": [1.0]}, "no input 'r_rejected'"),
        ({"r_chosen": [1.0, 2.0, 3.0], "r_rejected": [1.0, 2.0]}, "Error"),
    ],
)
def test_inputs_that_do_not_fit_are_a_mismatch(tmp_path: Path, inputs, words: str) -> None:
    code, lines = said(written(tmp_path, {"rm.bt": {**TINY, "inputs": inputs}}))
    assert code == 1
    assert lines[0].startswith("rm.bt: expected 'outputs'") and words in lines[0]


def numbers(*shape: int, seed: int, low: float = -2.0, high: float = 0.0) -> list:
    random = torch.Generator().manual_seed(seed)
    drawn = torch.rand(*shape, generator=random, dtype=torch.float64)
    return (low + (high - low) * drawn).tolist()


MASK = [[1, 1, 1, 0], [1, 1, 1, 1], [1, 0, 0, 0]]
OTHER_SIZES: dict[str, dict[str, Any]] = {
    "sft.nll": {
        "logits": numbers(3, 4, 7, seed=0),
        "labels": [[0, 6, 5, 0], [1, 2, 3, 4], [2, 0, 0, 0]],
        "mask": MASK,
    },
    "rm.bt": {"r_chosen": numbers(7, seed=1), "r_rejected": numbers(7, seed=2)},
    "rm.kwise": {"rewards_best_to_worst": numbers(2, 5, seed=3)},
    "rm.inform_kl": {"mu": numbers(5, 2, seed=4), "logvar": numbers(5, 2, seed=5)},
    "rm.gpm": {
        "v_a": numbers(2, 6, seed=6),
        "v_b": numbers(2, 6, seed=7),
        "eigenvalues": [0.5, 1.0, 2.0],
        "tau": 0.5,
    },
    "rm.mahalanobis": {
        "sft_points": numbers(9, 2, seed=8),
        "test_points": numbers(4, 2, seed=9),
        "reg_eps": 0.01,
    },
    "rl.gae": {
        "rewards": numbers(3, 4, seed=10),
        "values": numbers(3, 4, seed=11),
        "mask": MASK,
        "gamma": 0.9,
        "lam": 0.8,
    },
    "rl.grpo_loss": {
        "logp_new": numbers(3, 4, seed=12),
        "logp_old": numbers(3, 4, seed=13),
        "ref_logp": numbers(3, 4, seed=14),
        "advantages": numbers(3, seed=15),
        "mask": MASK,
        "eps_low": 0.1,
        "eps_high": 0.3,
        "beta": 0.2,
        "max_len": 11,
    },
    "rl.grpo_advantages": {"rewards": numbers(2, 6, seed=16)},
    "pref.dpo": {
        **{
            name: numbers(5, seed=17 + i, low=-60, high=-20)
            for i, name in enumerate(
                ("policy_chosen", "policy_rejected", "ref_chosen", "ref_rejected")
            )
        },
        "len_chosen": [3, 1, 9, 4, 4],
        "len_rejected": [2, 8, 8, 1, 5],
        "beta": 0.3,
        "epsilon": 0.2,
    },
}


def plain(value: Any) -> Any:
    """What an adapter gives, as a file has it; outputs that are not offered are left out."""
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if not isinstance(v, NotOffered)}
        return {key: plain(part) for key, part in kept.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return value.tolist() if hasattr(value, "tolist") else value


def test_a_second_file_with_other_sizes(tmp_path: Path) -> None:
    cases = {
        name: {"inputs": inputs, "outputs": plain(CASES[name](as_tensors(inputs)))}
        for name, inputs in OTHER_SIZES.items()
    }
    code, lines = said(written(tmp_path, cases))
    assert (code, lines[-1]) == (0, f"{len(cases)} of {len(cases)} cases match, 0 not built")
    assert by_hand("rm.bt", cases) == pytest.approx(cases["rm.bt"]["outputs"]["mean"])
    assert by_hand("rl.grpo_loss", cases) == pytest.approx(
        cases["rl.grpo_loss"]["outputs"]["no_kl"]["dr_grpo"]
    )


def by_hand(name: str, cases: dict[str, Any]) -> float:
    """Two of the results in plain arithmetic."""
    given = cases[name]["inputs"]
    if name == "rm.bt":
        gaps = [c - r for c, r in zip(given["r_chosen"], given["r_rejected"], strict=True)]
        return sum(math.log1p(math.exp(-gap)) for gap in gaps) / len(gaps)
    total = 0.0
    for i, advantage in enumerate(given["advantages"]):
        for t in range(sum(MASK[i])):
            ratio = math.exp(given["logp_new"][i][t] - given["logp_old"][i][t])
            held = min(max(ratio, 1 - given["eps_low"]), 1 + given["eps_high"])
            total += max(-advantage * ratio, -advantage * held)
    return total / (len(MASK) * given["max_len"])


@pytest.mark.parametrize(
    ("expected", "got", "paths"),
    [
        ({"a": 1.0, "b": [1, 2]}, {"a": 1.0 + 1e-7, "b": torch.tensor([1.0, 2.0])}, []),
        ({"a": 1.0}, {"a": 1.0 + 1e-5}, ["a"]),
        ({"a": 1.0}, {}, ["a"]),
        ({"a": {"b": 0.0}}, {"a": 0.0}, ["a.b"]),
        ({"a": [1, 2]}, {"a": [1]}, ["a"]),
        ({"a": [1, 2]}, {"a": [0, 0]}, ["a[0]", "a[1]"]),
        ({"a": 1.0}, {"a": float("nan")}, ["a"]),
        ({"a": float("nan")}, {"a": float("nan")}, []),
        ({"a": "x", "b": None, "c": True}, {"a": "x", "b": None, "c": True}, []),
        ({"a": "x", "b": None}, {"a": "y", "b": 0.0}, ["a", "b"]),
    ],
)
def test_what_counts_as_different(expected: Any, got: Any, paths: list[str]) -> None:
    assert [found.path for found in differences(expected, got)] == paths
