"""Critique and revision, comparisons under principles, and red teaming, as stages."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from transformers import LlamaForCausalLM

from fairlead.constitution.critique import revise as critiques
from fairlead.constitution.reading import constitution_text, load_constitution
from fairlead.core.errors import ConfigError, DataError
from fairlead.core.results import StageResult
from fairlead.core.seeds import Seed
from fairlead.data.batches import sequence_batch
from fairlead.data.chat import ChatFormat
from fairlead.judges.asking import Answer, Question
from fairlead.models.loading import load_policy, save_policy
from fairlead.models.policy import Policy
from fairlead.objectives.sft import SFT
from fairlead.pipeline.respondents import ScriptedSpec, respondent_spec
from fairlead.pipeline.stage import Context
from fairlead.pipeline.stages.ai_feedback import AIFeedbackStage
from fairlead.pipeline.stages.preference import PreferenceStage
from fairlead.pipeline.stages.red_team import RedTeamStage, rise_verdict
from fairlead.pipeline.stages.revise import ReviseStage
from fairlead.pipeline.stages.sft import SFTStage
from fairlead.pipeline.stages.testbed import TestbedStage
from fairlead.records import Comparison, Critique, Demonstration, Prompt, Record
from fairlead.records.files import read_records, write_records
from fairlead.stats.means import mean_estimate
from fairlead.testbeds.assistant import DEMONSTRATOR, AssistantWorld
from fairlead.testbeds.assistant.model import word_tokenizer
from fairlead.training.config import TrainConfig
from fairlead.training.loop import train
from fairlead.training.source import DatasetSource
from small_world import items_of, prompts, tiny_llama, tiny_policy, write_base, write_pairs
from tiny_runs import fails, json_of

SHORT = {"max_new_tokens": 8}
WORLD = AssistantWorld()
FIRST_IS_BETTER = {"kind": "scripted", "position": 20.0}
"""A judge who finds the first place better whatever stands there."""


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return write_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def speaker(tmp_path_factory) -> Path:
    """A tiny policy that has learned to speak like the world's demonstrator, helpful to a fault."""
    folder = tmp_path_factory.mktemp("speaker")
    rates = DEMONSTRATOR.model_copy(update={"refuses_harmful": 0.3, "pads": 0.5})
    shown = WORLD.demonstrations(1500, Seed(0), rates=rates)
    policy = tiny_policy()
    items = items_of(shown)
    settings = TrainConfig(batch_size=32, epochs=3, learning_rate=1e-2)
    source = DatasetSource.of(items, sequence_batch, settings, Seed(0))
    train(policy, SFT(), source, settings, seed=Seed(0), run_dir=folder / "run")
    save_policy(policy, folder / "model")
    return folder / "model"


@pytest.fixture(scope="module")
def judging(tmp_path_factory) -> Path:
    """An untrained model whose tokenizer knows the words in which verdicts are given."""
    words = word_tokenizer([*WORLD.texts(), "A B yes no 1 2 3 4 5 6 7 8 9"])
    config = tiny_llama().config
    config.vocab_size, config.max_position_embeddings = len(words), 256
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        policy = Policy(LlamaForCausalLM(config), words, base="judging")
    folder = tmp_path_factory.mktemp("judging")
    save_policy(policy, folder)
    return folder


def at(folder: Path, name: str = "own") -> Context:
    (folder / "stages" / "data").mkdir(parents=True, exist_ok=True)
    write_records(folder / "stages/data/prompts.jsonl", prompts(40))
    own = folder / "stages" / name
    own.mkdir(exist_ok=True)
    return Context(folder, own, Seed(0), resume=False)


def estimates(result: StageResult) -> dict[str, float]:
    return {e.name: e.value for e in result.estimates}


def table(result: StageResult, title: str) -> list[tuple[Any, ...]]:
    return [row for t in result.tables if t.title.startswith(title) for row in t.rows]


def revise(base: Path, **settings: Any) -> ReviseStage:
    values = {
        "name": "own",
        "policy": str(base),
        "data": "@data/prompts.jsonl",
        "critic": {"kind": "scripted"},
        "constitution": "assistant",
        "rules": {"rounds": 2},
        "sampling": SHORT,
    }
    return ReviseStage.model_validate(values | settings)


def test_revisions_keep_their_principles(base: Path, tmp_path: Path):
    context = at(tmp_path)
    result = revise(base).run(context)
    steps = [s for s in read_records(context.folder / "chains.jsonl") if isinstance(s, Critique)]
    assert len(steps) == 80
    used = [s for s in steps if s.fault is None]
    shown = read_records(context.folder / "train.jsonl")
    texts = {(s.prompt.messages, s.revision) for s in used}
    assert all(isinstance(d, Demonstration) for d in shown)
    assert {(d.prompt.messages, d.response) for d in shown} == texts  # pyright: ignore
    for step in used:
        assert step.provenance is not None and step.provenance.feedback == "ai"
        if step.provenance.principle == "no-over-refusal":
            does = WORLD.attributes(step.prompt, step.revision or "")
            assert WORLD.kind(step.prompt) == "harmful" or not does.refuses
    drawn = table(result, "What each principle led to")
    assert sum(row[2] for row in drawn) == 80
    assert sum(row[1] for row in drawn) == pytest.approx(1)
    assert sum(row[3] for row in drawn) == len(used)
    ends = {row[0]: row[1] for row in table(result, "How rounds ended")}
    assert ends["revised"] == len(used) and sum(ends.values()) == 80
    changed = len({s.prompt.messages for s in used}) / 40
    assert estimates(result)["own/revised"] == pytest.approx(changed)


def test_the_same_seed_gives_the_same_revisions(base: Path, tmp_path: Path):
    for name in ("one", "two"):
        revise(base, name=name, critic={"kind": "scripted", "error": 0.3}).run(at(tmp_path, name))
    one, two = (tmp_path / "stages" / name / "chains.jsonl" for name in ("one", "two"))
    assert one.read_text() == two.read_text()


def test_helpful_demonstrations_stand_beside_the_revisions(base: Path, tmp_path: Path):
    context = at(tmp_path)
    shown = [Demonstration(prompt=p, response="well done .") for p in prompts(5)]
    write_records(tmp_path / "stages/data/helpful.jsonl", shown)
    revise(base, helpful="@data/helpful.jsonl").run(context)
    assert read_records(context.folder / "train.jsonl")[-5:] == shown
    left = [d for d in shown if d.prompt.subset != "fact"]
    assert len(left) == 4
    revise(base, helpful="@data/helpful.jsonl", helpful_without=["fact"]).run(context)
    after = read_records(context.folder / "train.jsonl")
    assert after[-4:] == left
    assert [d for d in shown if d not in after] == [d for d in shown if d.prompt.subset == "fact"]


def test_a_critic_who_says_nothing_is_reported(base: Path, tmp_path: Path):
    mute = {"kind": "scripted", "unreadable": 1.0}
    with pytest.raises(DataError, match="no reply was revised") as caught:
        revise(base, critic=mute).run(at(tmp_path))
    assert "parse_fail" in caught.value.got


def label(base: Path, **settings: Any) -> AIFeedbackStage:
    values = {
        "name": "own",
        "policy": str(base),
        "train": "@data/prompts.jsonl",
        "test": "@data/prompts.jsonl",
        "judges": [{"kind": "scripted"}],
        "constitution": "assistant",
        "sampling": SHORT,
        "samples": 3,
        "pairs": 2,
    }
    return AIFeedbackStage.model_validate(values | settings)


def compared(folder: Path, part: str = "train") -> list[Comparison]:
    found = read_records(folder / f"{part}.jsonl")
    return [record for record in found if isinstance(record, Comparison)]


def test_labels_name_their_principle_and_are_soft(speaker: Path, tmp_path: Path):
    context = at(tmp_path)
    people = [{"name": "people", "temperature": 0.5}]
    result = label(speaker, annotators=people).run(context)
    made = compared(context.folder)
    principles = load_constitution("assistant")
    for one in made:
        assert one.provenance is not None
        drawn = principles.draw(one.prompt, *sorted((one.chosen, one.rejected)))
        assert drawn is not None and drawn.id == one.provenance.principle
        assert one.provenance.wording == drawn.comparison_hash
        assert (one.provenance.feedback, one.provenance.annotator) == ("ai", "scripted")
        assert one.tie is (one.preference == 0.5)
    ends = {row[0]: row[1] for row in table(result, "How comparisons ended")}
    assert ends["scored"] == len(made) + len(compared(context.folder, "test"))
    # An untrained model may end its reply at once, which leaves nothing to compare.
    assert set(ends) <= {"scored", "target_refused"}
    found = estimates(result)
    # A judge who does not mind the order names the same winner in both.
    assert found["own/judge_position_consistency"] == 1.0
    assert found["own/judge_first_place"] == pytest.approx(0.5)
    assert {"own/judge_agreement", "own/judge_kappa", "own/judge_tokens_per_label"} <= set(found)


def test_a_judge_with_a_taste_for_the_first_place_is_found_and_its_labels_are_even(
    base: Path, tmp_path: Path
):
    biased = [{"kind": "scripted", "position": 2.0}]
    result = label(base, judges=biased).run(at(tmp_path))
    found = estimates(result)
    assert found["own/judge_first_place"] > 0.7
    assert found["own/judge_preference_fairness"] == 1.0
    # Ties in truth are ties still: the two orders cancel.
    ties = [one for one in compared(tmp_path / "stages/own") if one.tie]
    assert ties and all(one.preference == 0.5 for one in ties)
    assert any("unvalidated" in note for note in result.notes)


def test_only_what_a_new_version_touches_is_asked_again(speaker: Path, tmp_path: Path):
    label(speaker, name="first").run(at(tmp_path, "first"))
    before = compared(tmp_path / "stages/first")
    same = label(speaker, name="same", labels="@first/train.jsonl", test=None)
    notes = same.run(at(tmp_path, "same")).notes
    assert f"{len(before)} labels taken over" in notes[1]
    assert notes[1].startswith("train: 0 of ")
    text = constitution_text("assistant").replace("say what is true .", "say only what is so .")
    path = tmp_path / "reworded.yaml"
    path.write_text(text)
    stale = sum(o.provenance.principle == "honest" for o in before)  # pyright: ignore
    again = label(
        speaker, name="again", labels="@first/train.jsonl", test=None, constitution=str(path)
    )
    # The scripted judge knows principles by their questions, which are as they were.
    notes = again.run(at(tmp_path, "again")).notes
    assert stale and notes[1].startswith(f"train: {stale} of ")
    assert f"{len(before) - stale} labels taken over" in notes[1]


def test_unreadable_judges_are_counted_and_a_mute_one_stops_the_run(base: Path, tmp_path: Path):
    partly = [{"kind": "scripted", "unreadable": 0.3}]
    result = label(base, judges=partly).run(at(tmp_path))
    ends = {row[0]: row[1] for row in table(result, "How comparisons ended")}
    assert {"scored", "parse_fail"} <= set(ends) <= {"scored", "parse_fail", "target_refused"}
    kept = len(compared(tmp_path / "stages/own")) + len(compared(tmp_path / "stages/own", "test"))
    assert kept == ends["scored"]
    with pytest.raises(DataError, match="not one pair could be labelled"):
        label(base, judges=[{"kind": "scripted", "unreadable": 1.0}]).run(at(tmp_path))


def test_relabelling_from_the_command_line(speaker: Path, tmp_path: Path):
    label(speaker, name="first").run(at(tmp_path, "first"))
    labels = tmp_path / "stages/first/train.jsonl"
    text = constitution_text("assistant").replace('version: "1"', 'version: "2"')
    new = tmp_path / "new.yaml"
    new.write_text(text.replace("say what is true .", "say only what is so ."))
    before = compared(tmp_path / "stages/first")
    stale = sum(o.provenance.principle == "honest" for o in before)  # pyright: ignore
    counted = json_of("constitution", "diff", "assistant", new, "--labels", labels)
    assert counted["labels"]["by_principle"] == {"honest": stale}
    out = tmp_path / "new" / "labels.jsonl"
    found = json_of(
        *("constitution", "relabel", labels, "--constitution", new),
        *("--judge", "{kind: scripted}", "--out", out),
    )
    assert found == {"kept": len(before) - stale, "made anew": stale, "lost": 0}
    after = [r for r in read_records(out) if isinstance(r, Comparison)]
    for old, one in zip(before, after, strict=True):
        assert old.provenance is not None and one.provenance is not None
        if old.provenance.principle == "honest":
            assert one.provenance.source == "constitution assistant-testbed 2"
            assert one.provenance.wording != old.provenance.wording
        else:
            assert one == old


def test_mixed_sources_are_weighed(base: Path, speaker: Path, tmp_path: Path):
    context = at(tmp_path)
    label(speaker, name="own", annotators=[{"name": "people"}]).run(context)
    stage: dict[str, Any] = {
        "name": "dpo",
        "model": str(base),
        "data": "@own/train.jsonl",
        "max_length": 64,
        "train": {"batch_size": 8, "max_steps": 2},
        "source_weights": {"human": 2.0, "ai": 0.5},
    }
    PreferenceStage.model_validate(stage).run(at(tmp_path, "dpo"))
    with pytest.raises(ValidationError, match="kto takes single replies"):
        PreferenceStage.model_validate(stage | {"objective": {"kind": "kto"}})


@dataclass
class Parrot:
    """Answers from records alone: what was asked word for word gets what was answered then."""

    records: Sequence[Record]
    name: str = "scripted"

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        shown = [one for one in self.records if isinstance(one, Demonstration)]
        said = {one.prompt.messages: one.response for one in shown}
        return [Answer(text=said[question.prompt.messages]) for question in questions]


def test_an_overheard_critic_is_replayed_by_its_records(speaker: Path, tmp_path: Path):
    context = at(tmp_path)
    stage = revise(speaker, critic={"kind": "scripted", "error": 0.2})
    stage.run(context)
    steps = [s for s in read_records(context.folder / "chains.jsonl") if isinstance(s, Critique)]
    parrot = Parrot(read_records(context.folder / "overheard.jsonl"))
    firsts = [step for step in steps if step.round == 1]
    asked, replies = [s.prompt for s in firsts], [s.response for s in firsts]
    again = critiques(parrot, load_constitution("assistant"), asked, replies, stage.rules)
    assert [step for chain in again for step in chain.steps] == steps


def test_judges_are_overheard_about_training_pairs_alone(speaker: Path, tmp_path: Path):
    context = at(tmp_path)
    settings = {"test": "@data/held-out.jsonl", "judges": [FIRST_IS_BETTER]}
    held_out = WORLD.prompts(10, seed=Seed(0), split="held_out")
    write_records(tmp_path / "stages/data/held-out.jsonl", held_out)
    label(speaker, **settings).run(context)
    shown = read_records(context.folder / "overheard.jsonl")
    texts = [one.prompt.first_user_turn for one in shown if isinstance(one, Demonstration)]
    assert len(texts) == 2 * len(compared(context.folder))
    assert all(any(p.first_user_turn in text for p in prompts(40)) for text in texts)
    assert not any(p.first_user_turn in text for p in held_out for text in texts)
    assert {one.response for one in shown if isinstance(one, Demonstration)} == {"A"}


def test_a_testbed_that_is_asked_to_knows_the_words_of_its_critic(tmp_path: Path):
    sizes = {"corpus": 1, "demonstrations": 1, "train_prompts": 60, "test_prompts": 1}
    world = TestbedStage.model_validate(
        {"name": "own", "constitution": "assistant", "context": 160, **sizes}
    )
    world.run(at(tmp_path, "world"))
    model = str(tmp_path / "stages/world/model")
    made = {"critic": {"kind": "scripted", "error": 0.5}, "sampling": {"max_new_tokens": 24}}
    revise(model, **made).run(at(tmp_path, "one"))
    judged = label(model, judges=[FIRST_IS_BETTER], sampling={"max_new_tokens": 24})
    judged.run(at(tmp_path, "two"))
    tokenizer = load_policy(model).tokenizer
    for name in ("one", "two"):
        shown = read_records(tmp_path / "stages" / name / "overheard.jsonl")
        for one in shown:
            assert isinstance(one, Demonstration)
            ids = ChatFormat(tokenizer).response_ids(one.prompt, one.response)
            assert sum(map(len, ids)) <= 160
            known = {"one": 0, "two": 8}[name]
            # Marks around two replies and a request, and two in what explains them: nonces.
            assert [*ids[0], *ids[1]].count(tokenizer.unk_token_id) == known


def test_several_files_of_demonstrations_are_mixed(base: Path, tmp_path: Path):
    context = at(tmp_path)
    for name, n in (("few", 3), ("more", 5)):
        shown = [Demonstration(prompt=p, response="it is rome .") for p in prompts(n)]
        write_records(tmp_path / f"stages/data/{name}.jsonl", shown)
    stage = SFTStage.model_validate(
        {
            "name": "own",
            "model": str(base),
            "data": ["@data/few.jsonl", "@data/more.jsonl"],
            "train": {"batch_size": 4, "max_steps": 1},
        }
    )
    assert stage.upstream() == ["data"]
    assert stage.run(context).notes[0].startswith("training data: 8 examples")


def attack(base: Path, **settings: Any) -> RedTeamStage:
    values = {
        "name": "own",
        "baseline": str(base),
        "policies": {"same": str(base)},
        "behaviours": "@data/prompts.jsonl",
        "harmless": "@data/prompts.jsonl",
        "subsets": ["harmful"],
        "attacks": ["direct", "polite"],
        "gold": "assistant",
        "sampling": SHORT | {"temperature": 0.0},
    }
    return RedTeamStage.model_validate(values | settings)


def test_a_policy_against_itself_changes_nothing(base: Path, tmp_path: Path):
    result = attack(base).run(at(tmp_path))
    found = {e.name: e for e in result.estimates}
    harmful = sum(p.subset == "harmful" for p in prompts(40))
    assert f"{harmful} harmful and {40 - harmful} harmless requests" in result.notes[0]
    for attack_name in ("direct", "polite", "any"):
        change = found[f"attack_success_change/same/{attack_name}"]
        assert (change.value, change.low, change.high) == (0, 0, 0)
    assert found["over_refusal_change/same"].value == 0
    assert found["helpfulness_change/same"].value == 0
    assert table(result, "Harm against help")[1][-1] == "yes"


def test_without_a_judge_the_report_says_that_none_was_validated(speaker: Path, tmp_path: Path):
    result = attack(speaker, gold=None).run(at(tmp_path))
    assert any("judge unvalidated" in note for note in result.notes)
    # It complies with many requests, and refuses some; the signs tell which.
    found = estimates(result)
    known = estimates(attack(speaker).run(at(tmp_path, "known")))
    assert 0 < found["attack_success/baseline/direct"] <= 1
    assert found["attack_success/baseline/direct"] >= known["attack_success/baseline/direct"]
    finds = read_records(tmp_path / "stages/own/finds.jsonl")
    assert finds and all(isinstance(f, Prompt) and f.provenance is not None for f in finds)


def test_unknown_attacks_and_missing_requests(base: Path, tmp_path: Path):
    with pytest.raises(ValidationError, match="unknown attacks"):
        attack(base, attacks=["magic"])
    with pytest.raises(ConfigError, match="no harmful request is left"):
        attack(base, subsets=["nothing"]).run(at(tmp_path))


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([0.0, 0.0, 0.01, 0.0], "yes"),
        ([1.0, 0.9, 1.0, 0.8], "no"),
        ([0.0, 1.0, 0.0, 0.0], "not enough evidence"),
    ],
)
def test_three_verdicts_on_a_rise(values: list[float], verdict: str):
    assert rise_verdict(mean_estimate(values), 0.05) == verdict


def test_red_team_command(base: Path, tmp_path: Path):
    path = tmp_path / "asked.jsonl"
    rows = [{"prompt": p.first_user_turn, "label": p.subset} for p in prompts(20)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    from tiny_runs import fairlead

    done = fairlead(
        *("redteam", base, "--behaviours", path, "--harmless", path, "--attacks", "direct,spaced"),
        *("subsets=[harmful]", "sampling.max_new_tokens=4", "--out", tmp_path / "run"),
    )
    assert done.exit_code == 0, done.output
    assert "attack_success/baseline/direct" in done.stdout
    assert (tmp_path / "run/stages/red-team/finds.jsonl").exists()
    error = fails("redteam", base, "--behaviours", path, "--attacks", "magic")
    assert "unknown attacks" in error and "base64" in error


def test_who_is_asked_can_be_a_name_a_file_or_yaml(tmp_path: Path):
    assert respondent_spec("runs/x", where="--judge").model_dump()["model"] == "runs/x"
    assert respondent_spec("{kind: scripted, error: 0.2}", where="x") == ScriptedSpec(error=0.2)
    path = tmp_path / "judge.yaml"
    path.write_text("kind: scripted\nposition: 1\n")
    assert respondent_spec(str(path), where="x") == ScriptedSpec(position=1)
    with pytest.raises(ConfigError, match="nobody is described"):
        respondent_spec("{kind: oracle}", where="--judge")
    with pytest.raises(ConfigError, match="cannot be read"):
        respondent_spec("missing.yaml", where="--judge")


def test_constitution_commands(tmp_path: Path):
    bad = tmp_path / "bad.yaml"
    bad.write_text(constitution_text("default").replace("id: honest", "id: helpful"))
    from tiny_runs import fairlead

    refused = fairlead("constitution", "lint", bad)
    assert refused.exit_code == 1
    assert "the same id as principle 1 (helpful)" in refused.stdout
    assert fairlead("constitution", "lint", "default").stdout == "0 errors, 0 warnings\n"
    assert fairlead("constitution", "show", "default", "--yaml").stdout == constitution_text(
        "default"
    )
    assert json_of("constitution", "show")["hash"] == load_constitution("default").hash
    assert "cannot be read" in fails("constitution", "show", tmp_path / "none.yaml")


def test_a_judge_is_held_against_people(judging: Path, tmp_path: Path):
    path = write_pairs(tmp_path / "pairs.jsonl", 30)
    found = json_of("evaluate", "judge", judging, path, "--most", 20, "--repeats", 2)
    named = {one["name"]: one for one in found["estimates"]}
    assert (found["pairs"], found["validated"]) == (20, True)
    # The same question twice gets the same answer from a model that writes nothing.
    assert named["repetition_stability"]["value"] == 1.0
    assert 0 <= named["agreement"]["value"] <= 1 and named["agreement"]["n"] <= 20
    assert "scripted critic answers under principles" in fails(
        "evaluate", "judge", "{kind: scripted}", path
    )


def test_judges_of_single_replies_are_rewards(judging: Path, tmp_path: Path):
    from fairlead.generation.sampling import Sampling
    from fairlead.models.loading import load_policy
    from fairlead.pipeline.rewards import GradeReward, RubricReward, Setting
    from fairlead.rewards.base import Reply

    policy = load_policy(str(judging)).eval()
    asked = prompts(3)
    setting = Setting.asking(
        asked,
        context=at(tmp_path),
        policy=policy,
        sampling=Sampling(max_new_tokens=8),
        seed=Seed(0),
    )
    replies = [Reply(p, (), (), text) for p in asked for text in ("no thanks .", "i refuse to")]
    rubric: dict[str, Any] = {
        "propositions": [
            {"id": "short", "by": "length", "text": "short", "unit": "words", "most": 2},
            {"id": "declines", "by": "refusal", "text": "declines", "weight": -1},
        ]
    }
    ruled = RubricReward.model_validate({"rubric": rubric}).source(setting).score(replies)
    # Three words: not short. "I refuse to": a refusal, which counts against it.
    assert ruled.values.tolist() == [0.0, -0.5] * 3
    grade = {"judge": {"kind": "local", "model": str(judging)}}
    graded = GradeReward.model_validate(grade).source(setting).score(replies)
    assert bool(((graded.values > -1) & (graded.values < 1)).all())
    assert set(graded.parts) >= {"grade", "unparsed"}
