"""Labels straight from a campaign into a run."""

from datetime import UTC, datetime

import pytest

from fairlead.core.errors import ConfigError
from fairlead.core.files import read_json
from fairlead.data.readers import read
from fairlead.feedback import answers, assignment, campaign_items, campaigns, shown_tasks
from fairlead.feedback.permissions import LOCAL, Actor
from fairlead.feedback.privacy.erase import withdraw_work
from fairlead.feedback.store import open_store
from fairlead.feedback.store.tables import Annotator, Membership
from fairlead.lineage import verify
from fairlead.pipeline.recipe import parse_recipe
from fairlead.pipeline.runner import run_recipe
from fairlead.records import Message
from small_world import comparisons, write_base

NOW = datetime(2026, 1, 5, tzinfo=UTC)
TRAIN = {"batch_size": 4, "max_steps": 2, "learning_rate": 1e-3}


@pytest.fixture
def labelled(tmp_path):
    """A store with a campaign of 16 pairs that one person answered for the better reply."""
    store = open_store(f"{tmp_path}/labels.db")
    project = campaigns.create_project(store, LOCAL, "tests", now=NOW)
    settings = {"work": {"kind": "pairwise"}, "overlap": 2}
    number = campaigns.create_campaign(store, LOCAL, project, "c", settings, now=NOW, seed=1)
    pairs = comparisons(16)
    better = {pair.chosen for pair in pairs}
    items = [
        campaign_items.NewItem(
            external_id=f"i{i}",
            messages=tuple(Message.model_validate(m.model_dump()) for m in pair.prompt.messages),
            candidates=tuple(
                campaign_items.NewCandidate(text=text) for text in (pair.chosen, pair.rejected)
            ),
        )
        for i, pair in enumerate(pairs)
    ]
    campaign_items.add_items(store, LOCAL, number, items, now=NOW)
    campaigns.set_campaign_state(store, LOCAL, number, "open", now=NOW)
    with store.write() as session:
        for name in ("ann", "bob"):
            session.add(Annotator(id=name, created_at=NOW))
            session.flush()
            session.add(Membership(project_id=project, annotator_id=name))
    answer(store, "ann", better)
    yield store, f"{tmp_path}/labels.db", better
    store.close()


def answer(store, name, better):
    who = Actor(name, "annotator", frozenset({1}))
    while isinstance(task := assignment.claim(store, who, 1, now=NOW), shown_tasks.Task):
        chosen = next(c.id for c in task.candidates if c.text in better)
        value = {"preferred": chosen}
        key = task.client_key
        answers.submit(store, who, task.assignment, client_key=key, value=value, now=NOW)


def recipe(db, base):
    data = {"feedback": db, "campaign": "tests/c"}
    stage = {"kind": "preference", "name": "dpo", "model": str(base), "data": data, "train": TRAIN}
    return parse_recipe({"name": "labelled", "stages": [stage]}, where="test")


def cached(run):
    return [stage["cached"] for stage in read_json(run / "run.json")["stages"]]


def test_a_run_reads_a_campaign_and_notices_new_answers(labelled, tmp_path):
    store, db, better = labelled
    write_base(tmp_path / "base")
    made = recipe(db, tmp_path / "base")
    assert [(s.name, s.kind) for s in made.stages] == [
        ("dpo-labels", "feedback"),
        ("dpo", "preference"),
    ]
    run = tmp_path / "run"
    run_recipe(made, run)
    records = read(run / "stages/dpo-labels/train.jsonl", strict=True).records
    assert len(records) == 16 and {r.chosen for r in records} <= better
    assert verify(run).ok
    run_recipe(made, run)
    assert cached(run) == [True, True]
    answer(store, "bob", better)
    run_recipe(made, run)
    assert cached(run) == [False, False]
    report = withdraw_work(store, LOCAL, "bob", runs=[run], now=NOW)
    assert [stage.stage for stage in report.affected.stages] == ["dpo", "dpo-labels"]
    kept = run / "stages/dpo"  # its checkpoints hold a model, too
    assert str(kept / "model") in report.affected.models
    assert all(model.startswith(f"{kept}/") for model in report.affected.models)
    run_recipe(made, run)
    assert cached(run) == [False, False]
    assert verify(run).ok


def test_two_stages_share_one_export_and_settings_go_along():
    data = {"feedback": "x.db", "campaign": "c", "export": {"method": "bradley_terry"}}
    stages = [
        {"kind": "reward", "name": "rm", "model": "m", "data": data},
        {"kind": "preference", "name": "dpo", "model": "m", "data": dict(data)},
    ]
    made = parse_recipe({"name": "r", "stages": stages}, where="test")
    assert [stage.name for stage in made.stages] == ["rm-labels", "rm", "dpo"]
    assert made.stages[0].export.method == "bradley_terry"
    assert made.stages[2].data == "@rm-labels/train.jsonl"
    assert parse_recipe(made.model_dump(mode="json"), where="again") == made


def test_what_is_not_there_is_said_before_anything_runs(labelled, tmp_path):
    made = recipe(f"{tmp_path}/none.db", tmp_path)
    with pytest.raises(ConfigError, match="no such database"):
        run_recipe(made, tmp_path / "run")
    assert not (tmp_path / "run").exists()
