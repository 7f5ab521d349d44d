"""The stage that trains on judged replies, with tiny models: what each objective needs of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from fairlead.core.errors import DataError
from fairlead.core.seeds import Seed
from fairlead.objectives import OBJECTIVES, Need
from fairlead.objectives.dpo import DPO
from fairlead.pipeline.stage import Context
from fairlead.pipeline.stages.preference import OFFLINE, PreferenceStage
from fairlead.records import Comparison, Prompt, Rating, Record, StepLabels
from fairlead.records.files import write_records
from small_world import comparisons, metrics_of, write_base

TRAIN = {"batch_size": 8, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return write_base(tmp_path_factory.mktemp("base"))


def stored(folder: Path, **parts: Sequence[Record]) -> None:
    """Puts records where `@data/PART.jsonl` finds them."""
    for name, part in parts.items():
        (folder / "stages/data").mkdir(parents=True, exist_ok=True)
        write_records(folder / "stages/data" / f"{name}.jsonl", part)


def run(base: Path, folder: Path, records: list[Record], kind: str, **settings: Any) -> Any:
    """Trains on the first three quarters and measures on the rest."""
    cut = 3 * len(records) // 4
    stored(folder, train=records[:cut], test=records[cut:])
    stage = PreferenceStage(
        name="trained",
        model=str(base),
        data="@data/train.jsonl",
        test="@data/test.jsonl",
        objective={"kind": kind},
        max_length=64,
        train=TRAIN,  # pyright: ignore
        **settings,
    )
    own = folder / "trained"
    own.mkdir(exist_ok=True)
    return stage.run(Context(folder, own, Seed(0), resume=False))


def thumbs(n: int) -> list[Rating]:
    pairs = comparisons(n)
    return [
        Rating(prompt=p.prompt, response=text, value=value)
        for i, p in enumerate(pairs)
        for text, value in ([(p.chosen, 1.0)] if i % 2 else [(p.rejected, -1.0)])
    ]


def judged_steps(n: int) -> list[StepLabels]:
    made: list[StepLabels] = []
    for pair in comparisons(n):
        made.append(StepLabels(prompt=pair.prompt, steps=("Well", pair.chosen), labels=(1, 1)))
        made.append(StepLabels(prompt=pair.prompt, steps=("Well", pair.rejected), labels=(1, -1)))
    return made


def test_every_objective_on_judged_replies_is_taken_and_no_other() -> None:
    kinds = {kind.model_fields["kind"].default for kind in OFFLINE}
    assert {"dpo", "ipo", "kto", "orpo", "simpo", "cpo", "step_dpo"} <= kinds
    assert not kinds & {"xpo", "ppo", "bradley_terry", "pairwise_generative", "sft"}


def test_it_is_dpo_unless_another_is_named() -> None:
    stage = {"name": "a", "model": "m", "data": "d"}
    assert PreferenceStage.model_validate(stage).objective == DPO()
    mild = PreferenceStage.model_validate({**stage, "objective": {"beta": 0.3}})
    assert mild.objective == DPO(beta=0.3)
    with pytest.raises(ValidationError):
        PreferenceStage.model_validate({**stage, "objective": {"kind": "ppo"}})


@pytest.mark.parametrize("kind", ["dpo", "simpo"])
def test_the_reference_is_scored_where_it_is_needed_and_not_else(
    base: Path, tmp_path: Path, kind: str
) -> None:
    result = run(base, tmp_path, list(comparisons(32)), kind)
    assert (tmp_path / "trained/reference").exists() == (Need.REFERENCE in OBJECTIVES[kind].needs)
    assert [e.name for e in result.estimates] == ["trained/implicit_accuracy"]
    assert [note.split(":")[0] for note in result.notes] == ["training data", "held-out data"]


def test_thumbs_are_taken_by_kto(base: Path, tmp_path: Path) -> None:
    result = run(base, tmp_path, list(thumbs(48)), "kto")
    first = metrics_of(tmp_path / "trained")[0]
    assert first["loss/total"] == pytest.approx(0.5, abs=1e-6)
    assert first["policy/reference_point"] == pytest.approx(0.0, abs=1e-4)
    names = [e.name for e in result.estimates]
    assert names == ["trained/implicit_auc", "trained/baseline_length_auc"]
    assert all(e.low <= e.value <= e.high for e in result.estimates)


def test_kto_takes_both_sides_of_comparisons(base: Path, tmp_path: Path) -> None:
    result = run(base, tmp_path, list(comparisons(16)), "kto")
    assert result.notes[0].startswith("training data: 24 examples")


def test_microbatches_do_not_change_a_kto_run(base: Path, tmp_path: Path) -> None:
    def last(name: str, tokens: int) -> dict[str, float]:
        train = {**TRAIN, "microbatch_tokens": tokens}
        stored(folder := tmp_path / name, train=thumbs(32))
        stage = PreferenceStage.model_validate(
            {"name": "kto", "model": str(base), "data": "@data/train.jsonl"}
            | {"objective": {"kind": "kto"}, "max_length": 64, "train": train}
        )
        stage.run(Context(folder, folder, Seed(0), resume=False))
        return metrics_of(folder)[-1]

    whole, cut = last("whole", 8192), last("cut", 64)
    for name in ("loss/total", "policy/reference_point", "policy/log_ratio_abs"):
        assert cut[name] == pytest.approx(whole[name], abs=1e-4)
    assert whole["policy/log_ratio_abs"] > 0.01


def test_judged_steps_become_pairs_of_steps_without_eos(base: Path, tmp_path: Path) -> None:
    result = run(base, tmp_path, list(judged_steps(32)), "step_dpo")
    assert result.notes[0].startswith("training data: 24 examples")
    assert metrics_of(tmp_path / "trained")[0]["loss/total"] == pytest.approx(0.693147, rel=1e-4)


def test_kto_needs_replies_to_several_prompts(base: Path, tmp_path: Path) -> None:
    prompt = Prompt.of("Why?")
    records: list[Record] = [Comparison(prompt=prompt, chosen="yes", rejected="no")] * 8
    with pytest.raises(DataError, match="all have the same prompt"):
        run(base, tmp_path, records, "kto")
