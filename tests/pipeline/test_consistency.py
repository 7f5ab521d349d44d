"""Wrapped prompts, and a policy that learns not to mind them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fairlead.core.errors import DataError
from fairlead.core.results import StageResult
from fairlead.core.seeds import Seed
from fairlead.data.batches import sequence_batch
from fairlead.generation.sampling import Sampling
from fairlead.models.loading import save_policy
from fairlead.objectives.sft import SFT
from fairlead.pipeline.rewards import GoldReward
from fairlead.pipeline.stage import Context
from fairlead.pipeline.stages.consistency import ConsistencyStage
from fairlead.pipeline.wrappers import BiasingCue, Columns, Pair, Paraphrase, Template, few_each
from fairlead.records import Demonstration, Prompt
from fairlead.records.files import read_records, write_records
from fairlead.testbeds.arithmetic import ArithmeticWorld
from fairlead.testbeds.assistant.questions import Split
from fairlead.testbeds.assistant.replies import ReplyRates
from fairlead.training.config import TrainConfig
from fairlead.training.loop import train
from fairlead.training.source import DatasetSource
from small_world import items_of, tiny_policy, world

FACTS = 8


def context(folder: Path, *, resume: bool = False) -> Context:
    return Context(folder, folder / "stages/own", Seed(0), resume)


def given(folder: Path, name: str, records: Sequence[Any]) -> str:
    write_records(folder / f"stages/given/{name}.jsonl", records)
    return f"@given/{name}.jsonl"


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path):
    (tmp_path / "stages/given").mkdir(parents=True)


def facts(split: Split) -> list[Prompt]:
    """All wordings of a few facts."""
    every = world().prompts(world().available(split, "fact"), seed=Seed(0), split=split,
                            kinds=["fact"])  # fmt: skip
    subjects = sorted({subject(p) for p in world().prompts(40, seed=Seed(1), split="train",
                                                           kinds=["fact"])})[:FACTS]  # fmt: skip
    return [p for p in every if subject(p) in subjects]


def subject(prompt: Prompt) -> str:
    words = prompt.first_user_turn.rstrip(" .?").split()
    return " ".join(words[words.index("the") :])


def test_cues_claim_something_wrong_about_the_same_fact(tmp_path: Path):
    asked = facts("held_out")
    pairs = BiasingCue().pairs(context(tmp_path), given(tmp_path, "asked", asked))
    assert {p.clean for p in pairs} == set(asked)
    held_out = {
        p.first_user_turn
        for p in world().prompts(
            world().available("held_out", "sycophancy"),
            seed=Seed(0),
            split="held_out",
            kinds=["sycophancy"],
        )
    }
    for pair in pairs:
        assert subject(pair.clean) in pair.wrapped.first_user_turn
        assert pair.wrapped.first_user_turn in held_out


def test_answers_of_the_assistant_are_the_stated_values():
    cue, prompt = BiasingCue(), Prompt.of("x")
    assert cue.answer(prompt, "perhaps it is rome .") == "rome"
    assert cue.answer(prompt, "yes , the capital of france is rome .") == "rome"
    assert cue.answer(prompt, "i can not help") == "i can not help"


def test_paraphrases_ask_for_the_same_sum(tmp_path: Path):
    problems = ArithmeticWorld().problems(3, Seed(0))
    pairs = Paraphrase().pairs(context(tmp_path), given(tmp_path, "sums", problems))
    assert len(pairs) == 9
    for pair in pairs:
        assert pair.problem is not None
        assert ArithmeticWorld().answer(pair.wrapped) == pair.problem.answer
    prompt = problems[0].prompt
    assert Paraphrase().answer(prompt, "1 + 1 = 2\nanswer: 2") == "2"
    assert Paraphrase().answer(prompt, "1 + 1") == "1 + 1"


def test_templates_stand_around_the_last_turn(tmp_path: Path):
    wrapper = Template(before="I think it is Rome. ", after=" Thanks!", marker="Answer:")
    (pair,) = wrapper.pairs(context(tmp_path), given(tmp_path, "one", [Prompt.of("Capital?")]))
    assert pair.wrapped.first_user_turn == "I think it is Rome. Capital? Thanks!"
    assert wrapper.answer(pair.clean, "Hm. ANSWER:  Paris \nbye") == "paris"
    assert wrapper.answer(pair.clean, "Paris") == "paris"


def test_columns_hold_texts_or_messages(tmp_path: Path):
    turns = [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]
    rows = [{"prompt": "q", "wrapped": "please, q"}, {"prompt": "q", "wrapped": turns}]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    pairs = Columns().pairs(context(tmp_path), str(path))
    assert [p.clean.first_user_turn for p in pairs] == ["q", "q"]
    assert [m.role for m in pairs[1].wrapped.messages] == ["system", "user"]
    path.write_text('{"prompt": "q"}\n')
    with pytest.raises(DataError, match="not a pair") as caught:
        Columns().pairs(context(tmp_path), str(path))
    assert "line 1" in str(caught.value)


def test_few_wrappings_of_each_prompt():
    pairs = [Pair(Prompt.of(f"q{i % 2}"), Prompt.of(f"w{i}")) for i in range(10)]
    chosen = few_each(pairs, 3, Seed(0))
    assert [p.clean.first_user_turn for p in chosen] == ["q0"] * 3 + ["q1"] * 3
    assert len(set(chosen)) == 6 and set(chosen) <= set(pairs)


def speaker(folder: Path, *, epochs: int) -> str:
    """Knows a few facts, and mostly gives in to users who claim something wrong."""
    asked = facts("train")
    pairs = BiasingCue().pairs(context(folder), given(folder, "facts", asked))
    rates = {"correct": 1.0, "refuses_harmful": 0.0, "refuses_harmless": 0.0, "pads": 0.0}
    yielding = ReplyRates(agrees=0.9, hedges=0.0, **rates)
    every = [*asked, *{p.wrapped: None for p in pairs}]
    shown = [
        Demonstration(prompt=p, response=world().reply(p, rates=yielding, seed=Seed(i)))
        for i, p in enumerate(every)
    ]
    policy = tiny_policy()
    source = DatasetSource(items_of(shown), sequence_batch, 16, epochs, 2048, Seed(0))
    train(policy, SFT(), source, TrainConfig(learning_rate=1e-2), seed=Seed(0),
          run_dir=folder / "sft")  # fmt: skip
    save_policy(policy, folder / "base")
    given(folder, "sft", shown)
    return str(folder / "base")


def stage(folder: Path, model: str, **changes: Any) -> ConsistencyStage:
    settings: dict[str, Any] = {
        "model": model,
        "data": given(folder, "clean", facts("train")),
        "test": given(folder, "held_out", facts("held_out")),
        "wrapper": BiasingCue(),
        "truth": GoldReward(world="assistant"),
        "sampling": Sampling(max_new_tokens=16),
        "train": TrainConfig(batch_size=16, epochs=4, learning_rate=3e-3),
        "replay": "@given/sft.jsonl",
        "max_length": 60,
    }
    return ConsistencyStage(name="own", **(settings | changes))


def found(result: StageResult) -> dict[str, Any]:
    return {e.name: e for e in result.estimates}


def test_targets_are_the_clean_replies_and_rounds_are_kept(tmp_path: Path):
    model = speaker(tmp_path, epochs=2)
    short = TrainConfig(batch_size=16, max_steps=2, learning_rate=1e-3)
    own = stage(tmp_path, model, rounds=2, train=short)
    result = own.run(context(tmp_path))
    folder = tmp_path / "stages/own"
    targets = read_records(folder / "round-1/targets.jsonl")
    wrapped = {p.wrapped for p in BiasingCue().pairs(context(tmp_path), own.data)}
    assert targets and all(isinstance(t, Demonstration) and t.prompt in wrapped for t in targets)
    values = {name: e.value for name, e in found(result).items()}
    change = values["flip_rate/round-2"] - values["flip_rate/round-0"]
    assert values["flip_rate_change/own"] == pytest.approx(change)
    before = (folder / "round-1/model/model.safetensors").stat().st_mtime_ns
    (folder / "round-2/measured.json").unlink()
    again = own.run(context(tmp_path, resume=True))
    assert found(again) == found(result)
    assert (folder / "round-1/model/model.safetensors").stat().st_mtime_ns == before


def test_data_without_wrapped_forms_is_refused(tmp_path: Path):
    save_policy(tiny_policy(), tmp_path / "base")
    harmful = world().prompts(4, seed=Seed(0), split="train", kinds=["harmful"])
    own = stage(tmp_path, str(tmp_path / "base"), data=given(tmp_path, "harmful", harmful))
    with pytest.raises(DataError, match="no prompt has a wrapped form"):
        own.run(context(tmp_path))


def test_activations_are_matched_without_replies(tmp_path: Path):
    model = speaker(tmp_path, epochs=2)
    short = TrainConfig(batch_size=16, max_steps=6, learning_rate=1e-3)
    own = stage(tmp_path, model, match="activations", replay=None, train=short)
    result = own.run(context(tmp_path))
    folder = tmp_path / "stages/own/round-1"
    assert not (folder / "targets.jsonl").exists()
    assert "end alike in" in result.notes[1]
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    gaps = [row["activations/relative_gap"] for row in rows]
    assert gaps[-1] < gaps[0]
    with pytest.raises(ValueError, match="about replies"):
        stage(tmp_path, model, match="activations")


@pytest.mark.slow
def test_matched_activations_resist_wrong_claims(tmp_path: Path):
    model = speaker(tmp_path, epochs=40)
    config = TrainConfig(batch_size=16, epochs=8, learning_rate=1e-3)
    own = stage(tmp_path, model, match="activations", replay=None, train=config)
    result = found(own.run(context(tmp_path)))
    # These prompts share one or two tokens at their end; clean answers suffer, too.
    assert result["followed_wrapping_change/own"].high < 0, result
    assert result["wrapped_accuracy_change/own"].low > 0, result


@pytest.mark.slow
def test_consistency_training_resists_wrong_claims(tmp_path: Path):
    model = speaker(tmp_path, epochs=40)
    result = found(stage(tmp_path, model).run(context(tmp_path)))
    assert result["flip_rate_change/own"].high < 0, result
    assert result["wrapped_accuracy_change/own"].low > 0, result
    assert result["clean_accuracy/round-0"].value > 0.5, result
