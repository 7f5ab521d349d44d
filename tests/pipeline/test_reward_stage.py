"""Every family of reward models through its stage, from records to held-out numbers."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from fairlead.core.errors import ConfigError
from fairlead.core.results import StageResult
from fairlead.core.seeds import Seed
from fairlead.data.chat import ChatFormat
from fairlead.data.steps import outcomes
from fairlead.models.heads import Dimensions, Ensemble, Latent
from fairlead.models.loading import load_policy, load_reward_model
from fairlead.pipeline.reward_training import member_part, preference_set
from fairlead.pipeline.stage import Context
from fairlead.pipeline.stages.compare import CompareStage, two_by_two
from fairlead.pipeline.stages.judgements import JudgementsStage
from fairlead.pipeline.stages.reward import FITTED, RewardStage
from fairlead.records import Comparison, Prompt, Provenance, Ranking, Rating
from fairlead.records.files import read_records, write_records
from fairlead.rewards.base import Reply
from fairlead.rewards.model import ModelReward
from fairlead.testbeds.arithmetic import ArithmeticWorld
from small_world import comparisons, tiny_reward_model, write_base

QUICK: dict[str, Any] = {
    "batch_size": 16,
    "epochs": 1,
    "learning_rate": 3e-3,
    "microbatch_tokens": 800,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a tiny base model and judgements of the assistant's world."""
    folder = tmp_path_factory.mktemp("run")
    write_base(folder / "stages" / "base" / "model")
    JudgementsStage(name="judged", train_prompts=60, test_prompts=40).run(at(folder, "judged"))
    return folder


def at(run: Path, name: str) -> Context:
    folder = run / "stages" / name
    folder.mkdir(parents=True, exist_ok=True)
    return Context(run, folder, Seed(0).child(name), False)


def fitted(run: Path, name: str, data: str = "rankings", **settings: Any) -> StageResult:
    given = {
        "name": name,
        "model": "@base",
        "data": f"@judged/train-{data}.jsonl",
        "test": f"@judged/test-{data}.jsonl",
        "max_length": 64,
        "train": QUICK,
    }
    return RewardStage.model_validate(given | settings).run(at(run, name))


def values(result: StageResult) -> dict[str, float]:
    return {e.name: e.value for e in result.estimates}


def test_every_objective_with_a_head_has_a_place_in_the_stage() -> None:
    kinds = {o.model_fields["kind"].default for o in FITTED}
    assert kinds == {
        "bradley_terry",
        "inform",
        "odin",
        "multi_objective",
        "cost_model",
        "plackett_luce",
        "general_preference",
        "process_reward",
    }


HEADS = {
    "inform": "latent",
    "odin": "quality_length",
    "multi_objective": "dimensions",
    "general_preference": "preference",
    "plackett_luce": "scalar",
}


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "head"), HEADS.items())
def test_families_on_rankings(kind: str, head: str, run: Path) -> None:
    result = fitted(run, f"family-{kind}".replace("_", "-"), objective={"kind": kind})
    found = values(result)
    assert 0 <= found["reward_model/accuracy"] <= 1
    assert found["reward_model/calibration_error"] < 0.5
    saved = load_reward_model(run / "stages" / f"family-{kind}".replace("_", "-") / "model")
    assert saved.settings.kind == head


@pytest.mark.slow
def test_dimensions_are_those_that_the_data_rates(run: Path) -> None:
    fitted(run, "rated", objective={"kind": "multi_objective"})
    settings = load_reward_model(run / "stages" / "rated" / "model").settings
    assert settings == Dimensions(names=("concise", "correct", "harmless"))
    with pytest.raises(ConfigError, match="rates no reply"):
        fitted(
            run,
            "misnamed",
            objective={"kind": "multi_objective"},
            head={"kind": "dimensions", "names": ["charm"]},
        )


def test_scores_are_centred_on_preferred_replies_and_costs_are_not(run: Path) -> None:
    fitted(run, "centred")
    model = load_reward_model(run / "stages" / "centred" / "model")
    rankings = read_records(run / "stages" / "judged" / "train-rankings.jsonl")
    chat = ChatFormat(model.tokenizer)
    best: list[Reply] = []
    for record in rankings:
        assert isinstance(record, Ranking)
        text = record.responses[record.ranks.index(0)]
        prompt, response = chat.response_ids(record.prompt, text)
        best.append(Reply(record.prompt, prompt, response, text))
    scores = ModelReward(model, model.tokenizer).score(best).values
    assert scores.mean().item() == pytest.approx(0.0, abs=1e-4)
    fitted(run, "free", normalise="none")
    assert load_reward_model(run / "stages" / "free" / "model").offset.item() == 0.0
    found = values(fitted(run, "costs", "safety", objective={"kind": "cost_model"}))
    assert load_reward_model(run / "stages" / "costs" / "model").offset.item() == 0.0
    assert 0 <= found["reward_model/sign_accuracy"] <= 1
    with pytest.raises(ValidationError, match="zero"):
        fitted(run, "costs", objective={"kind": "cost_model"}, normalise="centre")


def test_a_head_that_does_not_fit_is_refused(run: Path) -> None:
    with pytest.raises(ConfigError, match="does not give latents"):
        fitted(run, "odd", objective={"kind": "inform"}, head={"kind": "scalar"})


def test_members_with_trunks_of_their_own(run: Path) -> None:
    result = fitted(run, "several", members=2, diversity="folds")
    folder = run / "stages" / "several"
    first, second = (load_reward_model(folder / f) for f in ("model", "member-1/model"))
    assert not torch.equal(first.head.weight, second.head.weight)
    found = values(result)
    assert {"reward_model/accuracy/member-0", "reward_model/accuracy/member-1"} <= found.keys()
    assert found["reward_model/accuracy_where_agreed"] >= found["reward_model/accuracy"] - 0.2


@pytest.mark.slow
def test_members_on_one_trunk(run: Path) -> None:
    result = fitted(run, "heads", head={"kind": "ensemble", "members": 3})
    model = load_reward_model(run / "stages" / "heads" / "model")
    assert model.settings == Ensemble(members=3)
    assert "reward_model/agreement" in values(result)
    assert sum("/member-" in name for name in values(result)) == 3


def named(count: int) -> list[Comparison]:
    """Comparisons of four annotators in turn."""
    records: list[Comparison] = []
    for i, record in enumerate(comparisons(count)):
        at = Provenance(source="x", annotator=f"ann{i % 4}")
        prompt = record.prompt.model_copy(update={"provenance": at})
        records.append(record.model_copy(update={"prompt": prompt}))
    return records


def test_folds_and_groups_of_an_ensemble() -> None:
    model, records = tiny_reward_model(), named(12)
    whole = preference_set(model, records, "bradley_terry", length=64, scale=0.0)
    folds = [member_part(whole, "folds", m, 3, Seed(0)) for m in range(3)]
    left_out = [{i.record for i in whole.items} - {i.record for i in f.items} for f in folds]
    assert sorted(r for own in left_out for r in own) == list(range(12))
    groups = [member_part(whole, "groups", m, 2, Seed(0)) for m in range(2)]
    assert [{i.record % 4 for i in g.items} for g in groups] == [{0, 2}, {1, 3}]
    assert member_part(whole, "seeds", 1, 2, Seed(0)) is whole
    with pytest.raises(ConfigError, match="fewer annotators"):
        member_part(whole, "groups", 0, 5, Seed(0))


def test_strengths_become_margins(run: Path, tmp_path: Path) -> None:
    model = tiny_reward_model()
    records = [r.model_copy(update={"strength": 2.0}) for r in comparisons(4)]
    batch = preference_set(model, records, "bradley_terry", length=64, scale=0.5)
    assert batch.collate(batch.items).strength.tolist() == [1.0] * 4  # pyright: ignore
    plain = preference_set(model, records, "bradley_terry", length=64, scale=0.0)
    assert plain.collate(plain.items).strength is None  # pyright: ignore


@pytest.fixture(scope="module")
def sums(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with an untrained model of the arithmetic world, and judged solutions."""
    from fairlead.models.loading import save_policy
    from fairlead.models.policy import Policy

    world, folder = ArithmeticWorld(), tmp_path_factory.mktemp("sums")
    tokenizer = world.tokenizer()
    model = world.fresh_model(tokenizer, Seed(0))
    save_policy(Policy(model, tokenizer, base="x"), folder / "stages" / "base" / "model")
    judged = folder / "stages" / "judged"
    for part, count in (("train", 48), ("test", 30)):
        seed = Seed(0).child(part)
        write_records(judged / f"{part}-steps.jsonl", world.step_labels(count, seed, levels=(1, 2)))
        pairs = world.comparisons(count, seed, levels=(1,))
        write_records(judged / f"{part}-pairs.jsonl", pairs)
    return folder


def test_judged_steps(sums: Path) -> None:
    result = fitted(sums, "process", "steps", objective={"kind": "process_reward"}, max_length=96)
    found = values(result)
    assert found["baseline/always_the_same_step"] >= 0.5
    assert 0 <= found["reward_model/first_error_located"] <= 1
    assert 0 <= found["reward_model/step_auc"] <= 1
    rows = result.tables[0].rows
    assert rows[0][0] == 1 and rows[0][1] == 30
    assert load_reward_model(sums / "stages" / "process" / "model").settings.kind == "steps"


@pytest.mark.slow
def test_outcomes_alone(sums: Path) -> None:
    objective = {"kind": "process_reward"}
    result = fitted(sums, "outcome", "steps", objective=objective, labels="outcome", max_length=96)
    found = values(result)
    assert {"reward_model/outcome_accuracy", "reward_model/outcome_auc"} <= found.keys()
    assert "reward_model/first_error_located" not in found


@pytest.mark.slow
def test_the_best_of_several_solutions_is_measured(sums: Path) -> None:
    world = ArithmeticWorld()
    problems = world.problems(14, Seed(1), levels=(2,))
    rated = [
        Rating(prompt=p.prompt, response=text, value=value)
        for p in problems
        for text, value in ((p.solution, 1.0), ("answer: 0", 0.0))
    ]
    write_records(sums / "stages" / "judged" / "test-rated.jsonl", rated)
    assert len(outcomes(rated)) == 28
    result = fitted(
        sums,
        "picking",
        "steps",
        test="@judged/test-rated.jsonl",
        objective={"kind": "process_reward"},
        labels="outcome",
        max_length=96,
    )
    found = values(result)
    assert found["baseline/random_solution_right"] == pytest.approx(0.5)
    gain = found["reward_model/picked_solution_right"] - 0.5
    assert found["reward_model/picking_gain"] == pytest.approx(gain)


def test_ensembles_of_process_models_are_refused(sums: Path) -> None:
    with pytest.raises(ValidationError, match="members must be 1"):
        fitted(sums, "x", "steps", objective={"kind": "process_reward"}, members=2)


def test_a_policy_learns_to_compare(sums: Path) -> None:
    stage = CompareStage.model_validate(
        {
            "name": "judge",
            "model": "@base",
            "data": "@judged/train-pairs.jsonl",
            "test": "@judged/test-pairs.jsonl",
            "verdict": {"template": "{prompt}\n{first}\n\n{second}\n", "options": ["1", "2"]},
            "train": QUICK,
        }
    )
    result = stage.run(at(sums, "judge"))
    found = values(result)
    assert 0 <= found["judge/accuracy"] <= 1 and 0 <= found["judge/position_decides"] <= 1
    assert "48 comparisons in both orders" in result.notes[0]


def test_rankings_are_compared_two_by_two() -> None:
    ranking = Ranking(prompt=Prompt.of("a"), responses=("x", "y", "z"), ranks=(1, 0, 1))
    pairs = [(c.chosen, c.rejected) for c in two_by_two([ranking])]
    assert pairs == [("y", "x"), ("y", "z")]


def test_judgements_follow_from_the_seed(run: Path, tmp_path: Path) -> None:
    again = JudgementsStage(name="judged", train_prompts=60, test_prompts=40)
    again.run(at(tmp_path, "judged"))
    for name in ("train-rankings", "test-safety"):
        file = f"stages/judged/{name}.jsonl"
        assert (tmp_path / file).read_bytes() == (run / file).read_bytes()
    safety = read_records(run / "stages" / "judged" / "train-safety.jsonl")
    assert len(safety) > 5
    assert all(isinstance(c, Comparison) and c.safer == "chosen" for c in safety)


@pytest.mark.slow
def test_an_inform_head_may_have_another_size(run: Path) -> None:
    fitted(run, "narrow", objective={"kind": "inform"}, head={"kind": "latent", "size": 5})
    assert load_reward_model(run / "stages" / "narrow" / "model").settings == Latent(size=5)


def test_adapters_learn_what_all_weights_would(run: Path):
    result = fitted(run, "adapted", lora={"rank": 4})
    assert len(result.estimates) > 0
    folder = run / "stages" / "adapted" / "model"
    adapted, start = load_reward_model(folder), load_policy(run / "stages" / "base" / "model")
    before, after = start.model.base_model.state_dict(), adapted.model.state_dict()
    changed = {n.split(".")[-2] for n in before if not torch.equal(before[n], after[n])}
    assert changed == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert (folder / "adapter" / "adapter_model.safetensors").stat().st_size < 60_000
    assert adapted.base == start.base
