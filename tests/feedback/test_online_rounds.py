"""A policy's replies go to people, and the next round starts from what they said."""

import json
from collections import Counter
from pathlib import Path

import pytest
from small_campaigns import World, at
from sqlalchemy import select

from fairlead.core.errors import ConfigError
from fairlead.core.seeds import Seed
from fairlead.feedback.campaigns import set_campaign_state
from fairlead.feedback.errors import Conflict
from fairlead.feedback.exports.settings import ExportSettings
from fairlead.feedback.exports.write import list_exports
from fairlead.feedback.privacy.affected import affected_stages
from fairlead.feedback.store import open_store
from fairlead.feedback.store.tables import Candidate, Item, SelectionBatch, Suggestion
from fairlead.generation.sampling import Sampling
from fairlead.lineage import verify
from fairlead.lineage.manifest import sha256_path
from fairlead.models.loading import save_reward_model
from fairlead.pipeline.feedback_round import Asking, Desk, ask
from fairlead.pipeline.iterating import iterate
from fairlead.pipeline.recipe import Recipe, parse_recipe
from fairlead.pipeline.runner import run_recipe
from fairlead.pipeline.stage import LabelsPending
from fairlead.records import Ranking, Rating
from fairlead.records.files import read_records, write_records
from small_world import prompts, tiny_policy, tiny_reward_model, write_base
from tiny_runs import fails, fairlead, json_of

SAMPLING = {"max_new_tokens": 6}


class Office:
    """A store in a file, people who work there, and a policy to be judged."""

    def __init__(self, folder: Path, work: dict | None = None, **settings):
        self.folder, self.db = folder, folder / "labels.db"
        self.store = open_store(str(self.db))
        self.world = World(self.store, people=2)
        self.campaign = self.world.campaign([], work=work, **settings)
        self.base = write_base(folder / "base")
        self.asked = folder / "asked.jsonl"
        write_records(self.asked, prompts(12))
        self.clock = 0

    def recipe(self, rounds: int = 1, **more) -> Recipe:
        """Rounds of collecting and DPO, as the rounds section writes them out."""
        stages = []
        for n in range(1, rounds + 1):
            policy = str(self.base) if n == 1 else f"@round-{n - 1}-policy"
            earlier = None if n == 1 else f"@round-{n - 1}-label/train.jsonl"
            stages += [self.collect(n, policy, earlier, **more), self.train(n)]
        return parse_recipe({"name": "loop", "stages": stages}, where="test")

    def collect(self, n: int, policy: str, earlier: str | None, **more) -> dict:
        return {
            "kind": "collect",
            "name": f"round-{n}-label",
            "policy": policy,
            "data": str(self.asked),
            "store": str(self.db),
            "campaign": "c",
            "earlier": earlier,
            "test_share": 0,
            "sampling": SAMPLING,
        } | more

    def train(self, n: int) -> dict:
        return {
            "kind": "preference",
            "name": f"round-{n}-policy",
            "model": str(self.base),
            "data": f"@round-{n}-label/train.jsonl",
            "train": {"batch_size": 4, "max_steps": 2, "learning_rate": 1e-3},
            "max_length": 60,
        }

    def answer_all(self, *_: object) -> int:
        """Everybody prefers the longer reply, as often as there is work."""
        done = 0
        for person in self.world.people:
            while not hasattr(task := self.claim(person), "why"):
                longer = max(task.candidates, key=lambda c: (len(c.text), c.id))
                self.world.answer(person, task, {"preferred": longer.id}, now=at(self.clock))
                done += 1
        return done

    def claim(self, person):
        self.clock += 1
        return self.world.claim(person, self.campaign, now=at(self.clock))

    def rows(self, table) -> list:
        with self.store.read() as session:
            return list(session.scalars(select(table)))


@pytest.fixture
def office(tmp_path):
    made = Office(tmp_path)
    yield made
    made.store.close()


def test_a_run_stops_for_people_and_goes_on_with_their_answers(office):
    run = office.folder / "run"
    with pytest.raises(LabelsPending, match="0 of 12 answers to 12 items"):
        run_recipe(office.recipe(), run)
    with pytest.raises(LabelsPending):
        run_recipe(office.recipe(), run, resume=True)
    assert len(office.rows(Item)) == 12 and len(office.rows(SelectionBatch)) == 1
    assert office.answer_all() == 12
    run_recipe(office.recipe(), run, resume=True)
    folder = run / "stages" / "round-1-label"
    written = read_records(folder / "train.jsonl")
    assert written == read_records(folder / "new.jsonl") and len(written) == 12
    assert all(len(one.chosen) >= len(one.rejected) for one in written)
    texts = {row.text for row in office.rows(Candidate)}
    assert {text for one in written for text in (one.chosen, one.rejected)} == texts
    assert verify(run).ok


def test_what_was_chosen_is_recorded_with_the_policy_hash(office):
    with pytest.raises(LabelsPending):
        run_recipe(office.recipe(budget=5), office.folder / "run")
    (batch,) = office.rows(SelectionBatch)
    assert batch.model_sha256 == sha256_path(office.base)
    assert (batch.strategy, batch.params["pool"], batch.params["budget"]) == ("random", 12, 5)
    items = office.rows(Item)
    assert len(items) == 5
    assert [item.propensity for item in items] == pytest.approx([5 / 12] * 5)
    assert {item.stratum for item in items} == {"random"}


def test_two_rounds_with_people_who_are_waited_for(office):
    said: list[str] = []
    run = office.folder / "run"
    iterate(office.recipe(2), run, wait=True, say=said.append, sleep=office.answer_all)
    first, second = (
        read_records(run / "stages" / f"round-{n}-label" / "train.jsonl") for n in (1, 2)
    )
    assert second[: len(first)] == first and len(second) == len(first) + 12
    assert Counter(row.model_sha256 for row in office.rows(SelectionBatch)) == Counter(
        [sha256_path(office.base), sha256_path(run / "stages" / "round-1-policy" / "model")]
    )
    assert sum(line.startswith("waiting: ") for line in said) == 2
    assert verify(run).ok


def test_same_seed_same_round(office):
    first = ask_now(office, Asking(sampling=Sampling(max_new_tokens=6)))
    again = ask_now(office, Asking(sampling=Sampling(max_new_tokens=6)))
    assert first == again


def ask_now(office, asking: Asking):
    desk = Desk.at(str(office.db), "c")
    try:
        return ask(asking, str(office.base), prompts(12), desk.campaign, Seed(3))
    finally:
        desk.store.close()


def test_people_get_what_the_reward_model_cannot_tell(office):
    for number in (0, 1):
        save_reward_model(tiny_reward_model(number), office.folder / f"reward-{number}")
    models = tuple(str(office.folder / f"reward-{n}") for n in (0, 1))
    settings = {"budget": 5, "rewards": models, "sampling": Sampling(max_new_tokens=6)}
    whole = ask_now(office, Asking(**(settings | {"budget": None})))
    for strategy in ("rm_margin", "judge_disagreement"):
        asked = ask_now(office, Asking(strategy=strategy, **settings))
        strata = Counter(item.stratum for item in asked.items)
        assert strata == {"random": 1, "targeted": 4}
        assert set(asked.names) < set(whole.names)
        assert asked.batch.params["reward_models"] == {m: sha256_path(Path(m)) for m in models}
    asked = ask_now(office, Asking(strategy="rlthf", judge=models[1], **settings))
    assert all(len(item.suggestions) == 1 for item in asked.items)
    desk = Desk.at(str(office.db), "c")
    desk.open(asked)
    desk.store.close()
    assert len(office.rows(Suggestion)) == 5


@pytest.mark.parametrize("settings", [{"strategy": "rm_margin"}, {"strategy": "rlthf"}])
def test_a_strategy_without_its_models_is_refused(office, settings):
    with pytest.raises(ConfigError, match="the strategy goes by"):
        ask_now(office, Asking(sampling=Sampling(max_new_tokens=6), **settings))


@pytest.mark.parametrize(
    ("work", "value", "kind"),
    [
        ({"kind": "ranking"}, "tiers", Ranking),
        ({"kind": "binary"}, {"good": True}, Rating),
        ({"kind": "likert", "levels": 5}, {"score": 4}, Rating),
    ],
)
def test_other_kinds_of_work_become_records_too(tmp_path, work, value, kind):
    office = Office(tmp_path, work=work)
    asked = ask_now(office, Asking(samples=3, sampling=Sampling(max_new_tokens=6)))
    desk = Desk.at(str(office.db), "c")
    desk.open(asked)
    person = office.world.people[0]
    while not hasattr(task := office.claim(person), "why"):
        own = value if value != "tiers" else {"tiers": [[c.id] for c in task.candidates]}
        office.world.answer(person, task, own, now=at(office.clock))
    assert desk.state(asked).complete
    records = exported(office, desk, asked)
    assert len(records) == len(asked.items)
    assert {type(one) for one in records} == {kind}
    desk.store.close()
    office.store.close()


def exported(office, desk, asked, **settings) -> list:
    folder = office.folder / "export"
    desk.export(asked, folder, ExportSettings(**settings))
    return read_records(folder / "train.jsonl")


def test_only_the_rounds_own_answers_are_written(office):
    desk = Desk.at(str(office.db), "c")
    rounds = []
    for number in (1, 2):
        asking = Asking(sampling=Sampling(max_new_tokens=6))
        rounds.append(
            ask(asking, str(office.base), prompts(6, number), desk.campaign, Seed(number))
        )
        desk.open(rounds[-1])
        office.answer_all()
    first, second = (exported(office, desk, asked, records="each") for asked in rounds)
    people = [{one.prompt.provenance.annotator for one in own} for own in (first, second)]
    assert len(first) == len(rounds[0].items) and len(second) == len(rounds[1].items)
    assert {one.prompt.messages for one in first} == {one.messages for one in rounds[0].items}
    assert people[0].isdisjoint(people[1])
    assert not (people[0] | people[1]) & {person.pseudonym for person in office.world.people}
    desk.store.close()


def test_what_was_made_of_a_rounds_labels_is_found(office):
    run = office.folder / "run"
    iterate(office.recipe(), run, wait=True, sleep=office.answer_all)
    (export,) = list_exports(office.store, office.world.lead, office.campaign)
    hashes = {digest: name for name, digest in export.manifest["files"].items()}
    found = affected_stages(hashes, [run])
    assert [one.stage for one in found.stages] == ["round-1-label", "round-1-policy"]


def test_a_closed_campaign_takes_no_round(office):
    set_campaign_state(office.store, office.world.lead, office.campaign, "closed", now=at(1))
    asked = ask_now(office, Asking(sampling=Sampling(max_new_tokens=6)))
    desk = Desk.at(str(office.db), "c")
    with pytest.raises(Conflict, match="closed campaign"):
        desk.open(asked)
    desk.store.close()


def test_a_campaign_that_prefers_nothing_is_refused(tmp_path):
    office = Office(tmp_path, work={"kind": "demonstration"})
    with pytest.raises(ConfigError, match="nothing of which reply is better"):
        Desk.at(str(office.db), "c")
    office.store.close()


def collecting(office, *more: object) -> list[object]:
    return [
        *("feedback", "collect", "--policy", office.base, "--campaign", "c", "--db", office.db),
        *("--data", office.asked, "--max-new-tokens", "6", *more),
    ]


def test_the_command_opens_a_round_once_and_says_how_far_it_is(office):
    found = json_of(*collecting(office, "--budget", "4"))
    assert (found["items"], found["added"], found["complete"]) == (4, 4, False)
    assert found["model_sha256"] == sha256_path(office.base)
    assert office.answer_all() == 4
    found = json_of(*collecting(office, "--budget", "4", "--wait"))
    assert (found["added"], found["answers"], found["complete"]) == (0, 4, True)


def test_the_command_asks_the_campaigns_own_prompts(office):
    fairlead(*collecting(office))
    own = [a for a in collecting(office, "--seed", "5") if a not in ("--data", office.asked)]
    assert json_of(*own)["items"] == 12
    assert len({row.prompt_sha256 for row in office.rows(Item)}) == 12


def test_the_command_names_what_is_wrong(office):
    assert "random_share" in fails(*collecting(office, "--random-share", "0.1"))
    assert "strategy" in fails(*collecting(office, "--strategy", "best"))
    own = [a for a in collecting(office) if a not in ("--data", office.asked)]
    assert "no prompts yet" in fails(*own)


def test_iterate_stops_with_its_own_exit_code(office):
    stages = [office.collect(1, str(office.base), None)]
    for one in stages:
        one["name"] = "label"
    path = office.folder / "loop.yaml"
    value = {"name": "loop", "stages": [], "rounds": {"count": 1, "stages": stages}}
    path.write_text(json.dumps(value))
    arguments = ("iterate", path, "--out", office.folder / "run")
    assert fairlead(*arguments).exit_code == 3
    assert fairlead(*arguments, "--resume").exit_code == 3
    office.answer_all()
    result = fairlead(*arguments, "--resume")
    assert result.exit_code == 0, result.output


def test_the_tiny_policy_writes_different_replies(office):
    """What the other tests rest on."""
    assert tiny_policy().base == "tiny"
    asked = ask_now(office, Asking(sampling=Sampling(max_new_tokens=6)))
    assert len(asked.items) == 12 and asked.left_out == 0
