import pytest

from fairlead.core.errors import ConfigError
from fairlead.objectives import OBJECTIVES
from fairlead.pipeline.single import HELD_OUT, single_stage, stage_of
from fairlead.pipeline.stages import PreferenceStage, RecordsStage, RewardStage, RLStage, SFTStage

KINDS = {
    "sft": SFTStage,
    "reward": RewardStage,
    "bradley_terry": RewardStage,
    "dpo": PreferenceStage,
    "kto": PreferenceStage,
    "simpo": PreferenceStage,
    "ipo": PreferenceStage,
    "step_dpo": PreferenceStage,
    "ppo": RLStage,
    "xpo": RLStage,
}


def made(kind: str, *settings: str):
    more = ("reward=models/reward",) if KINDS.get(kind) is RLStage else ()
    return single_stage(kind, model="m", data="d.jsonl", seed=4, settings=(*more, *settings))


@pytest.mark.parametrize("kind", KINDS)
def test_reads_splits_and_trains(kind: str):
    recipe = made(kind)
    data, stage = recipe.stages
    assert (recipe.name, recipe.seed) == (f"train-{kind}", 4)
    assert isinstance(data, RecordsStage)
    assert data.path == "d.jsonl"
    assert data.parts == {"train": 1 - HELD_OUT, "test": HELD_OUT}
    assert isinstance(stage, KINDS[kind])
    assert (stage.name, stage.model, stage.data) == (kind, "m", "@data/train.jsonl")
    assert getattr(stage, "test", "@data/test.jsonl") == "@data/test.jsonl"


def test_the_objective_is_the_method_with_its_own_defaults():
    stage = made("ipo", "objective.tau=0.3").stages[1]
    assert isinstance(stage, PreferenceStage)
    assert stage.objective.model_dump() == {"kind": "ipo", "tau": 0.3}


def test_every_objective_has_a_stage():
    assert {stage_of(kind) for kind in OBJECTIVES} <= {
        *("sft", "reward", "compare", "preference", "rl", "verification")
    }
    assert stage_of("pairwise_generative") == "compare"
    assert stage_of("process_reward") == "reward"


def test_a_method_that_is_not_there():
    with pytest.raises(ConfigError, match="there is no method 'dop'") as refused:
        made("dop")
    assert "dpo" in refused.value.expected


def test_settings_go_to_the_stage_and_those_of_data_to_reading():
    recipe = made("dpo", "train.epochs=3", "objective.beta=0.2", "data.format=preference")
    data, stage = recipe.stages
    assert isinstance(stage, PreferenceStage)
    assert isinstance(data, RecordsStage)
    assert (stage.train.epochs, stage.objective.beta) == (3, 0.2)
    assert data.format == "preference"


@pytest.mark.parametrize(
    "setting", ["beta=0.2", "objective.bta=0.2", "train.epochs=0", "data.pth=x", "train.epochs"]
)
def test_settings_that_do_not_fit(setting: str):
    with pytest.raises(ConfigError):
        made("dpo", setting)
