"""One planted fault at a time in runs that are otherwise healthy."""

import math
from pathlib import Path
from typing import Any

import pytest

from fairlead.core.errors import DataError
from fairlead.report.diagnose import CHECKS, Diagnosis, Fault, Finding, Verdict, diagnose
from fairlead.report.diagnose.evidence import Part
from planted_runs import HEALTHY, REWARD, RL, SFT, Planted, write_planted


def found(folder: Path, stages: dict[str, Planted]) -> Diagnosis:
    return diagnose(write_planted(folder / "run", stages))


def finding(diagnosis: Diagnosis, stage: str, what: str) -> Finding:
    (only,) = [f for f in diagnosis.findings if f.stage == stage and f.what.startswith(what)]
    return only


def test_nothing_is_found_in_a_healthy_run(tmp_path: Path):
    diagnosis = found(tmp_path, HEALTHY)
    assert diagnosis.fault is Fault.NONE
    wrong = [f for f in diagnosis.findings if f.verdict in (Verdict.ODD, Verdict.BAD)]
    assert wrong == []
    assert {f.stage for f in diagnosis.findings} == set(HEALTHY)


SFT_FAULTS = {
    "negative log-likelihood at the end": {"curves": {"loss/nll": (5.9, 5.0)}},
    "negative log-likelihood, end over start": {"curves": {"loss/nll": (1.5, 2.5)}},
    "highest negative log-likelihood": {"curves": {"loss/nll": (14.0, 2.0)}},
    "held-out less training": {"estimates": {"sft/held_out_nll": (3.0, 2.9, 3.1)}},
    "gradient norm": {"curves": {"train/gradient_norm": (500.0, 500.0)}},
    "stopped with an error": {"status": "failed"},
}
REWARD_FAULTS = {
    "accuracy on held-out pairs": {"estimates": {"reward_model/accuracy": (0.5, 0.46, 0.54)}},
    "accuracy on training pairs": {"curves": {"reward/accuracy": (0.5, 0.4)}},
    "training less held-out": {"curves": {"reward/accuracy": (0.5, 1.2)}},
    "margin of chosen over rejected, training": {"curves": {"reward/margin": (0.0, 80.0)}},
    "stopped with an error": {"status": "failed"},
}
RL_FAULTS = {
    "ratio of new to old": {"curves": {"policy/ratio": (1.2, 1.0)}},
    "sampler's distance": {"curves": {"rollout/sampler_gap": (0.0, 0.3)}},
    "KL to the reference": {"curves": {"policy/kl_k1": (0.0, 150.0)}},
    "distance of an update": {"curves": {"policy/kl_old_k3": (0.0, 3.0)}},
    "share of clipped": {"curves": {"policy/clip_fraction": (0.6, 0.8)}},
    "entropy, end over start": {"curves": {"policy/entropy": (1.5, 0.001)}},
    "gain in score, in": {"curves": {"reward/score": (0.5, -1.0)}},
    "groups whose replies": {"curves": {"reward/zero_std_groups": (0.5, 1.0)}},
    "spread of the advantages": {"curves": {"policy/advantage_std": (1.0, 100.0)}},
    "length of replies": {"curves": {"rollout/length": (20.0, 250.0)}},
    "replies that end by themselves, at": {"curves": {"rollout/eos_rate": (1.0, 0.1)}},
    "gain in score on held-out": {"estimates": {"score_gain/rl": (-0.4, -0.5, -0.3)}},
    "stopped with an error": {"status": "failed"},
}
PREFERENCE_FAULTS = {
    "accuracy of the implicit reward on held": {
        "estimates": {"preference/implicit_accuracy": (0.5, 0.46, 0.54)}
    },
    "accuracy of the implicit reward on train": {"curves": {"reward/accuracy": (0.5, 0.3)}},
    "change in log-probability": {"curves": {"policy/logp_chosen": (-50.0, -400.0)}},
    "distance from the reference": {"curves": {"policy/log_ratio_abs": (0.0, 300.0)}},
}


def planted() -> list[Any]:
    groups = (
        ("sft", Fault.SFT, SFT_FAULTS),
        ("reward", Fault.REWARD_MODEL, REWARD_FAULTS),
        ("rl", Fault.RL, RL_FAULTS),
        ("preference", Fault.RL, PREFERENCE_FAULTS),
    )
    return [
        pytest.param(stage, fault, what, changes, id=f"{stage}: {what}")
        for stage, fault, faults in groups
        for what, changes in faults.items()
    ]


@pytest.mark.parametrize(("stage", "fault", "what", "changes"), planted())
def test_one_planted_fault_is_named(
    tmp_path: Path, stage: str, fault: Fault, what: str, changes: dict[str, Any]
):
    diagnosis = found(tmp_path, HEALTHY | {stage: HEALTHY[stage].but(**changes)})
    assert diagnosis.fault is fault
    bad = finding(diagnosis, stage, what)
    assert bad.verdict is Verdict.BAD and bad.remedy and bad.reason
    assert {f.stage for f in diagnosis.findings if f.verdict is Verdict.BAD} == {stage}


@pytest.mark.parametrize(
    ("what", "curves"),
    [
        ("replies that end by themselves, first", {"rollout/eos_rate": (0.1, 0.95)}),
        ("entropy, first", {"policy/entropy": (6.0, 4.0)}),
        (
            "score of the first",
            {"reward/score": (-8.0, -7.0), "reward/score_squared": (65.0, 65.0)},
        ),
    ],
)
def test_a_poor_start_of_rl_is_the_fault_of_sft(tmp_path: Path, what: str, curves: Any):
    diagnosis = found(tmp_path, HEALTHY | {"rl": RL.but(curves=curves)})
    assert diagnosis.fault is Fault.SFT
    assert finding(diagnosis, "rl", what).verdict is Verdict.BAD


def test_first_score_is_in_margins_of_the_reward_model(tmp_path: Path):
    diagnosis = found(
        tmp_path, HEALTHY | {"reward": REWARD.but(curves={"reward/margin": (0.5, 0.5)})}
    )
    assert finding(diagnosis, "rl", "score of the first").value == pytest.approx(-1.0)


def test_gain_is_in_deviations_of_single_replies(tmp_path: Path):
    # Means of the first and last four of 40 steps from -0.5 to 0.5; spread sqrt(1.25 - 0.25) = 1.
    gain = finding(found(tmp_path, HEALTHY), "rl", "gain in score, in").value
    assert gain == pytest.approx(36 / 39)


def test_critic_is_judged_by_explained_variance(tmp_path: Path):
    values = {
        "value/error_before": (1.0, 1.0),
        "value/return_squared": (1.5, 1.5),
        "value/return": (1.0, 1.0),
    }
    worse = found(tmp_path, HEALTHY | {"rl": RL.but(curves=values)})
    # Variance of the returns 1.5 - 1 = 0.5; 1 - 1 / 0.5 = -1: odd at the edge.
    explained = finding(worse, "rl", "variance of the returns")
    assert explained.value == pytest.approx(-1.0) and explained.verdict is Verdict.ODD


def test_over_optimisation_is_the_fault_of_the_reward_model(tmp_path: Path):
    gains = {"proxy_gain/rl": (1.0, 0.8, 1.2), "gold_gain/rl": (-0.5, -0.7, -0.3)}
    stages = HEALTHY | {"evaluate": Planted("evaluate", estimates=gains)}
    diagnosis = found(tmp_path, stages)
    assert diagnosis.fault is Fault.REWARD_MODEL
    assert finding(diagnosis, "rl", "reward rises").value == pytest.approx(0.3)


def test_labels_near_chance_are_the_fault_of_the_data(tmp_path: Path):
    ceiling = Planted("label", estimates={"reward_model/accuracy_ceiling": (0.5, 0.48, 0.52)})
    assert found(tmp_path, {"label": ceiling} | HEALTHY).fault is Fault.DATA


def test_share_of_the_ceiling_uses_the_upper_bound(tmp_path: Path):
    ceiling = Planted("label", estimates={"reward_model/accuracy_ceiling": (0.9, 0.88, 0.92)})
    share = finding(found(tmp_path, {"label": ceiling} | HEALTHY), "reward", "share of")
    assert share.value == pytest.approx(0.24 / 0.4) and share.shown == "0.700 of 0.900"


def test_a_fault_upstream_comes_first(tmp_path: Path):
    stages = HEALTHY | {
        "sft": SFT.but(**SFT_FAULTS["negative log-likelihood at the end"]),
        "reward": REWARD.but(**REWARD_FAULTS["accuracy on held-out pairs"]),
        "rl": RL.but(**RL_FAULTS["KL to the reference"]),
    }
    assert found(tmp_path, stages).fault is Fault.SFT


def test_few_pairs_prove_nothing(tmp_path: Path):
    coin = REWARD_FAULTS["accuracy on held-out pairs"]
    diagnosis = found(tmp_path, {"reward": REWARD.but(n=20, **coin)})
    assert finding(diagnosis, "reward", "accuracy on held-out").verdict is Verdict.ODD
    assert diagnosis.fault is Fault.NONE


def test_what_is_missing_is_said_to_be_missing(tmp_path: Path):
    bare = REWARD.but(estimates=dict.fromkeys(REWARD.estimates), curves={"reward/accuracy": None})
    diagnosis = found(tmp_path, HEALTHY | {"reward": bare})
    margin = finding(diagnosis, "reward", "margin of chosen over rejected, training")
    assert margin.verdict is Verdict.OK
    longer = finding(diagnosis, "reward", "pairs in which the longer")
    assert longer.verdict is Verdict.NOT_MEASURED and longer.value is None
    assert diagnosis.fault is Fault.UNKNOWN  # no decisive check of the reward model


@pytest.mark.parametrize("stages", [{}, {"data": Planted("records")}, {"rl": RL.but(steps=3)}])
def test_little_evidence_is_not_called_health(tmp_path: Path, stages: dict[str, Planted]):
    assert found(tmp_path, stages).fault is Fault.UNKNOWN


def test_trends_need_steps(tmp_path: Path):
    diagnosis = found(tmp_path, {"sft": SFT.but(steps=3)})
    assert finding(diagnosis, "sft", "negative log-likelihood, end").verdict is Verdict.NOT_MEASURED
    assert finding(diagnosis, "sft", "negative log-likelihood at").verdict is Verdict.OK


def test_steps_without_a_finite_number_are_left_out(tmp_path: Path):
    diagnosis = found(tmp_path, {"sft": SFT.but(curves={"loss/nll": (math.nan, math.nan)})})
    assert finding(diagnosis, "sft", "negative log-likelihood at").verdict is Verdict.NOT_MEASURED


def test_a_folder_without_a_run_is_refused(tmp_path: Path):
    with pytest.raises(DataError):
        diagnose(tmp_path)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: f"{check.part}: {check.what}")
def test_a_check_has_nested_ranges_and_words(check: Any):
    assert check.odd[0] <= check.normal[0] <= check.normal[1] <= check.odd[1]
    assert check.remedy and check.reason and not check.what.endswith(".")
    assert check.part is not Part.OTHER or check.optional
