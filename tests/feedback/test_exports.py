"""What leaves the store: margins worked out by hand, files that readers read, cards, pseudonyms."""

import csv
import json

import pytest
import sqlalchemy as sa
from answered_campaigns import answer_all, named, planted, preferred, question
from small_campaigns import START, World, at, pair

from fairlead.audits.group_gaps import GroupGaps
from fairlead.audits.planted import world as planted_world
from fairlead.core.errors import ConfigError, DataError
from fairlead.core.seeds import Seed
from fairlead.data.readers import read
from fairlead.data.splits import split
from fairlead.feedback import answers, campaigns, profiles
from fairlead.feedback.campaign_items import NewCandidate, NewItem
from fairlead.feedback.errors import Conflict, Refused
from fairlead.feedback.exports import write
from fairlead.feedback.exports.settings import ExportSettings
from fairlead.feedback.exports.write import (
    export_campaign,
    labels_digest,
    list_exports,
    rebuild_export,
)
from fairlead.feedback.imports import import_records
from fairlead.feedback.privacy.erase import withdraw_work
from fairlead.feedback.store.tables import DatasetExport, ExportMember
from fairlead.lineage.manifest import sha256_path
from fairlead.records import Comparison, Message, Ranking, StepLabels

STRENGTHS = {"kind": "pairwise", "strengths": ["a bit", "better", "much"]}
VOTES = {
    "question 1": ["good 3", "good 1", "bad 2"],
    "question 2": ["tie", "good 2", "tie"],
    "question 3": ["good 1", "bad 1", "tie"],
    "question 4": ["bad 2", "bad 2", "bad 2"],
}


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def exported(store, world, campaign, folder, **settings):
    return export_campaign(
        store, world.lead, campaign, folder, ExportSettings(**settings), now=at(1000)
    )


@pytest.fixture
def planted_pairs(world, store):
    campaign = world.campaign([pair(i) for i in range(1, 5)], work=STRENGTHS, overlap=3)
    campaigns.add_guideline(store, world.lead, campaign, "be careful", now=START)
    answer_all(world, campaign, planted(VOTES, preferred))
    return campaign


def test_margins_and_soft_labels_are_worked_out_by_hand(world, store, planted_pairs, tmp_path):
    made = exported(store, world, planted_pairs, tmp_path / "out")
    records = read(tmp_path / "out/data/train.jsonl", strict=True).records
    by = {r.prompt.first_user_turn: r for r in records}
    one, two, three, four = (by[f"question {i}"] for i in range(1, 5))
    # Two of three for `good`; levels +3, +1, -2.
    assert (one.chosen, one.preference, one.strength) == (
        "good 1",
        pytest.approx(2 / 3),
        pytest.approx(2 / 3),
    )
    # One for `good`, and half of each tie; levels 0, +2, 0.
    assert (two.chosen, two.preference, two.strength) == (
        "good 2",
        pytest.approx(2 / 3),
        pytest.approx(2 / 3),
    )
    assert (three.tie, three.preference, three.strength) == (True, 0.5, 0.0)
    assert (four.chosen, four.preference, four.strength) == ("bad 4", 1.0, 2.0)
    assert made.manifest["records"] == {"train": 4}
    items = {row["item"]: row for row in lines(tmp_path / "out/items.jsonl")}
    assert items["i1"]["votes"] == {"0": 2, "1": 1, "tie": 0}
    assert items["i1"]["soft"] == {
        "first": pytest.approx(2 / 3),
        "second": pytest.approx(1 / 3),
        "tie": 0,
    }


def test_raw_rows_say_who_said_what_in_which_order(world, store, planted_pairs, tmp_path):
    exported(store, world, planted_pairs, tmp_path / "out")
    rows = lines(tmp_path / "out/answers.jsonl")
    assert len(rows) == 12
    assert {tuple(sorted(row["order"])) for row in rows} == {(0, 1)}
    assert {row["seconds"] for row in rows} == {4.0}
    assert {row["guideline"] for row in rows} == {1}
    people = {row["annotator"] for row in rows}
    assert len(people) == 3 and people.isdisjoint({"p0", "p1", "p2"})
    strengths = [row["value"]["strength"] for row in rows if row["item"] == "i1"]
    assert sorted(strengths) == [1, 2, 3]


def test_pseudonyms_differ_between_exports(world, store, planted_pairs, tmp_path):
    for name in ("one", "two"):
        exported(store, world, planted_pairs, tmp_path / name)
    first, second = (
        {row["annotator"] for row in lines(tmp_path / name / "answers.jsonl")}
        for name in ("one", "two")
    )
    assert first.isdisjoint(second)
    with pytest.raises(Refused):
        exported(store, world, planted_pairs, tmp_path / "three", pseudonyms="store")
    owner = world.person("boss", "owner")
    settings = ExportSettings(pseudonyms="store")
    export_campaign(store, owner, planted_pairs, tmp_path / "four", settings, now=at(5))
    assert {row["annotator"] for row in lines(tmp_path / "four/answers.jsonl")} == {
        "p0",
        "p1",
        "p2",
    }


def test_one_record_per_answer_names_its_annotator(world, store, planted_pairs, tmp_path):
    exported(store, world, planted_pairs, tmp_path / "out", records="each")
    records = read(tmp_path / "out/data", strict=True).records
    assert len(records) == 12
    assert len({r.prompt.provenance.annotator for r in records}) == 3
    mine = [r for r in records if r.prompt.first_user_turn == "question 1"]
    assert [(r.chosen, r.strength) for r in mine] == [("good 1", 3), ("good 1", 1), ("bad 1", 2)]
    assert {r.preference for r in mine} == {1.0}


def test_manifest_hashes_members_and_card(world, store, planted_pairs, tmp_path):
    made = exported(store, world, planted_pairs, tmp_path / "out")
    assert made.sha256 == sha256_path(tmp_path / "out/data")
    manifest = json.loads((tmp_path / "out/export.json").read_text())
    assert {n: sha256_path(tmp_path / "out" / n) for n in manifest["files"]} == manifest["files"]
    assert manifest["guidelines"][0]["version"] == 1 and manifest["guidelines"][0]["answers"] == 12
    assert manifest["consents"] == [{"version": None, "people": 3}]
    (quality, strength) = manifest["quality"]
    percent = next(c for c in quality["agreement"] if c["name"] == "percent")
    # 1/3 of pairs agree on items 1 and 2, none on item 3, all on item 4.
    assert percent["value"] == pytest.approx((1 / 3 + 1 / 3 + 0 + 1) / 4)
    assert quality["position_bias"]["n"] == 9 and strength["question"] == "strength"
    card = (tmp_path / "out/README.md").read_text()
    assert "12 answers by 3 people to 4 items" in card
    assert "personal data under the GDPR" in card
    assert f"{percent['value']:.3f}" in card
    assert not any(name in card for name in ("p0", "p1", "p2"))
    with store.read() as session:
        members = session.execute(sa.select(ExportMember.response_id, ExportMember.revision)).all()
    assert len(members) == 12 and {revision for _, revision in members} == {1}


def test_ties_and_the_worse_polarity(world, store, tmp_path):
    work = {"kind": "pairwise", "polarity": "worse"}
    campaign = world.campaign([pair(1)], work=work, overlap=3)
    votes = {"question 1": ["bad", "bad", "good"]}
    answer_all(world, campaign, planted(votes, preferred))
    exported(store, world, campaign, tmp_path / "out")
    (record,) = read(tmp_path / "out/data", strict=True).records
    # Two of three called `bad` the worse one.
    assert (record.chosen, record.preference, record.strength) == (
        "good 1",
        pytest.approx(2 / 3),
        pytest.approx(1 / 3),
    )


@pytest.mark.parametrize("method", ["dawid_skene", "mace", "bradley_terry"])
def test_other_ways_of_aggregation_agree_on_clear_items(world, store, tmp_path, method):
    campaign = world.campaign([pair(i) for i in range(8)], overlap=3)
    answer_all(world, campaign, lambda n, t: {"preferred": named(t)["good"]})
    exported(store, world, campaign, tmp_path / "out", method=method)
    for record in read(tmp_path / "out/data", strict=True).records:
        assert record.chosen.startswith("good") and record.preference > 0.7
        assert record.strength > 0.3


def test_parts_keep_prompts_together_and_equal_those_of_the_records_stage(world, store, tmp_path):
    items = [pair(i) for i in range(30)]
    items += [
        NewItem(
            external_id=f"again {i}",
            messages=(Message(role="user", content=f"question {i}"),),
            candidates=(NewCandidate(text="x"), NewCandidate(text="y")),
        )
        for i in range(10)
    ]
    campaign = world.campaign(items)
    answer_all(world, campaign, lambda n, t: {"preferred": t.candidates[0].id}, people=1)
    parts = {"train": 0.7, "test": 0.3}
    exported(store, world, campaign, tmp_path / "out", parts=parts, seed=5)
    found = {n: read(tmp_path / f"out/data/{n}.jsonl", strict=True).records for n in parts}
    turns = {n: {r.prompt.first_user_turn for r in rs} for n, rs in found.items()}
    assert sum(map(len, found.values())) == 40 and not turns["train"] & turns["test"]
    whole = [*found["train"], *found["test"]]
    theirs = split(whole, parts, Seed(5))
    assert {n: {r.prompt.first_user_turn for r in rs} for n, rs in theirs.items()} == turns


def test_thumbs_from_pairs_and_from_good_and_bad(world, store, tmp_path):
    campaign = world.campaign([pair(1), pair(2)], overlap=3)
    votes = {"question 1": ["good", "good", "bad"], "question 2": ["good", "bad", "tie"]}
    answer_all(world, campaign, planted(votes, preferred))
    made = exported(store, world, campaign, tmp_path / "pairs", format="kto")
    found = {r.response: (r.value, r.scores["good"]) for r in read(tmp_path / "pairs/data").records}
    assert found == {"good 1": (1.0, pytest.approx(2 / 3)), "bad 1": (0.0, pytest.approx(1 / 3))}
    even = "items neither desirable nor undesirable: the opinions are even"
    assert made.manifest["left_out"] == {even: 1}
    item = NewItem(
        external_id="x",
        messages=(Message(role="user", content="q"),),
        candidates=(NewCandidate(text="reply"),),
    )
    campaign = world.campaign([item], work={"kind": "binary"}, overlap=3, name="thumbs")
    answer_all(world, campaign, lambda n, _: {"good": n < 2})
    exported(store, world, campaign, tmp_path / "thumbs")
    (rating,) = read(tmp_path / "thumbs/data", strict=True).records
    assert (rating.value, rating.scores["good"]) == (1.0, pytest.approx(2 / 3))


def test_rankings_by_wins(world, store, tmp_path):
    item = NewItem(
        external_id="r",
        messages=(Message(role="user", content="q"),),
        candidates=tuple(NewCandidate(text=f"{c} x") for c in "abc"),
    )
    campaign = world.campaign([item], work={"kind": "ranking"}, overlap=3)
    orders = [["a", "b", "c"], ["b", "a", "c"], ["ab", "c"]]
    answer_all(
        world,
        campaign,
        lambda n, t: {"tiers": [[named(t)[c] for c in tier] for tier in orders[n]]},
    )
    exported(store, world, campaign, tmp_path / "k")
    (ranking,) = read(tmp_path / "k/data", strict=True).records
    assert dict(zip(ranking.responses, ranking.ranks, strict=True)) == {
        "a x": 0,
        "b x": 0,
        "c x": 1,
    }
    (row,) = lines(tmp_path / "k/items.jsonl")
    # a and b tie (a win each and a tie), both beat c always: (1/2 + 1) / 2.
    assert row["scores"] == {"0": 0.75, "1": 0.75, "2": 0.0}
    assert row["preferences"] == {"0-1": 0.5, "0-2": 1.0, "1-2": 1.0}
    exported(store, world, campaign, tmp_path / "p", format="pairs")
    pairs = read(tmp_path / "p/data", strict=True).records
    assert [(p.chosen, p.rejected, p.tie, p.strength) for p in pairs] == [
        ("a x", "b x", True, 0.0),
        ("a x", "c x", False, 1.0),
        ("b x", "c x", False, 1.0),
    ]


def step_item():
    return NewItem(
        external_id="s",
        messages=(Message(role="user", content="1+1+1?"),),
        candidates=(NewCandidate(text="2\n4\n5", steps=("2", "4", "5")),),
    )


def test_steps_as_records_and_as_prm800k(world, store, tmp_path):
    work = {"kind": "steps", "rewrite": True}
    campaign = world.campaign([step_item()], work=work, overlap=4)
    said = [
        {"labels": [1, -1], "unsure": [1], "rewrite": {"step": 1, "text": "3"}},
        {"labels": [1, -1]},
        {"labels": [1, 1, 1]},
        {"labels": [1], "finish": "give_up"},
    ]
    answer_all(world, campaign, lambda n, _: said[n], people=4)
    exported(store, world, campaign, tmp_path / "s")
    (record,) = read(tmp_path / "s/data", strict=True).records
    # Two against one see the error in step 2; what one person said of step 3 is not of this proof.
    assert record.labels == (1, -1, None)
    (row,) = lines(tmp_path / "s/items.jsonl")
    assert row["steps"] == [{"1": 3.0}, {"-1": 2.0, "1": 1.0}, {"1": 1.0}]
    exported(store, world, campaign, tmp_path / "prm", format="prm800k")
    rows = lines(tmp_path / "prm/data/train.jsonl")
    assert [r["label"]["finish_reason"] for r in rows] == [
        "found_error",
        "found_error",
        "solution",
        "give_up",
    ]
    assert rows[0]["label"]["total_time"] == 4000
    assert rows[0]["label"]["steps"][1]["completions"][0]["flagged"] is True
    assert rows[0]["label"]["steps"][1]["human_completion"]["text"] == "3"
    again = read(tmp_path / "prm/data/train.jsonl", strict=True)
    assert again.format == "steps"
    assert [r.labels for r in again.records] == [(1, -1), (1, -1), (1, 1, 1), (1,)]


def test_texts_by_people(world, store, tmp_path):
    item = NewItem(external_id="d", messages=(Message(role="user", content="q"),))
    demos = world.campaign([item], work={"kind": "demonstration"}, overlap=2, name="demos")
    answer_all(world, demos, lambda n, _: {"text": f"reply {n}"}, people=2)
    exported(store, world, demos, tmp_path / "demos")
    records = read(tmp_path / "demos/data", strict=True).records
    assert [r.response for r in records] == ["reply 0", "reply 1"]
    judged = item.model_copy(update={"candidates": (NewCandidate(text="rude"),)})
    work = {"kind": "critique", "principles": [{"name": "kind", "text": "be kind"}]}
    critiques = world.campaign([judged], work=work, name="critiques")
    said = {"principle": "kind", "violates": True, "critique": "it is rude", "revision": "polite"}
    answer_all(world, critiques, lambda n, _: said, people=1)
    exported(store, world, critiques, tmp_path / "critiques")
    (critique,) = read(tmp_path / "critiques/data", strict=True).records
    assert (critique.critique, critique.revision) == ("kind: it is rude", "polite")
    attacks = world.campaign([item], work={"kind": "redteam"}, name="attacks")
    turns = [{"role": "user", "content": "do it"}, {"role": "assistant", "content": "no"}]
    answer_all(world, attacks, lambda n, _: {"turns": turns, "success": 1}, people=1)
    exported(store, world, attacks, tmp_path / "attacks")
    (attack,) = read(tmp_path / "attacks/data", strict=True).records
    assert (attack.response, attack.value, attack.scores) == ("no", 1.0, {"success": 1.0})
    assert [m.content for m in attack.prompt.messages] == ["q", "do it"]


def test_ratings_are_means_by_dimension(world, store, tmp_path):
    item = NewItem(
        external_id="x",
        messages=(Message(role="user", content="q"),),
        candidates=(NewCandidate(text="reply"),),
    )
    campaign = world.campaign([item], work={"kind": "ratings"}, overlap=2)
    answer_all(
        world,
        campaign,
        lambda n, _: {"scores": {"helpful": 1 + n, "harmless": 5, "honest": 3}},
        people=2,
    )
    exported(store, world, campaign, tmp_path / "out")
    (rating,) = read(tmp_path / "out/data", strict=True).records
    assert rating.scores == {"helpful": 1.5, "harmless": 5.0, "honest": 3.0}
    assert rating.value == pytest.approx(9.5 / 3)


def test_gold_repeats_and_late_answers_are_no_training_data(world, store, tmp_path):
    gold = [pair(f"g{i}", role="gold", accepted=({"preferred": 0},)) for i in range(4)]
    campaign = world.campaign([pair(i) for i in range(6)] + gold, gold_rate=0.5, name="g")
    answer_all(world, campaign, lambda n, t: {"preferred": named(t)["good"]}, people=1)
    made = exported(store, world, campaign, tmp_path / "out")
    golds = sum(row["purpose"] == "gold" for row in lines(tmp_path / "out/answers.jsonl"))
    assert golds > 0
    assert made.manifest["records"] == {"train": 6}
    assert made.manifest["left_out"] == {"answers to gold tasks": golds}
    assert made.manifest["quality"][0]["gold_accuracy"]["value"] == 1.0


def test_groups_stay_in_unless_asked_for(world, store, tmp_path):
    for number, who in enumerate(world.people[:3]):
        groups = {"region": "north" if number else "south"}
        profiles.set_profile(store, who, groups=groups, now=START)
    campaign = world.campaign([pair(1)], overlap=3)
    votes = {"question 1": ["bad", "good", "good"]}
    answer_all(world, campaign, planted(votes, preferred))
    exported(store, world, campaign, tmp_path / "without")
    assert "north" not in "".join(p.read_text() for p in (tmp_path / "without").glob("*.*"))
    exported(store, world, campaign, tmp_path / "with", groups=True)
    (row,) = lines(tmp_path / "with/items.jsonl")
    assert row["by_group"]["region: south"]["votes"] == {"first": 0, "second": 1}
    assert row["by_group"]["region: north"]["votes"] == {"first": 2, "second": 0}


def test_an_audit_reads_whom_a_campaign_leaves_out(world, store, tmp_path):
    """Three of five are of the north and of one mind, two of the south are of the other."""
    for number, who in enumerate(world.people[:5]):
        groups = {"region": "north" if number > 1 else "south"}
        profiles.set_profile(store, who, groups=groups, now=START)
    campaign = world.campaign([pair(i) for i in range(1, 9)], overlap=5)
    votes = {f"question {i}": ["bad", "bad", "good", "good", "good"] for i in range(1, 9)}
    answer_all(world, campaign, planted(votes, preferred), people=5)
    exported(store, world, campaign, tmp_path / "out", records="each", groups=True)
    audit = GroupGaps(
        data=str(tmp_path / "out/data"),
        people=str(tmp_path / "out/answers.jsonl"),
        group="region",
        fewest=8,
    )
    found = audit.run(planted_world.subject(Seed(0)))
    # Without their own voice the north is 2 to 2 and the south 1 to 3.
    agreement = {row[0]: row[1:4] for row in found.tables[0].rows}
    assert agreement == {"south": (16, 2, 0.0), "north": (24, 3, 0.5)}
    gaps = {gate.name.split("/")[1]: gate.change.value for gate in found.gates}
    assert gaps["south: the choices of others"] == 0.5


@pytest.mark.parametrize("policy", ["report", "mask", "refuse"])
def test_personal_data_on_the_way_out(world, store, tmp_path, policy):
    leak = pair(1).model_copy(
        update={"messages": (Message(role="user", content="I am a@b.example"),)}
    )
    campaign = world.campaign([leak, pair(2), pair(3)])
    answer_all(
        world,
        campaign,
        lambda n, t: (
            {"preferred": named(t)["good"]},
            "ring 020 7946 0958" if t.messages[-1].content == "question 2" else "",
        ),
        people=1,
    )
    made = exported(store, world, campaign, tmp_path / "out", pii=policy)
    text = "".join(p.read_text() for p in (tmp_path / "out").rglob("*.*") if p.is_file())
    assert made.manifest["personal_data"]["found"] == {"email": 1, "phone": 1}
    assert ("a@b.example" in text, "7946 0958" in text) == ((policy == "report",) * 2)
    left = {"report": 3, "mask": 3, "refuse": 1}[policy]
    assert made.manifest["records"] == {"train": left}
    if policy == "mask":
        assert "I am [email]" in text and "ring [phone]" in text
    if policy == "refuse":
        assert made.manifest["left_out"]["answers with personal data"] == 1
    without = exported(store, world, campaign, tmp_path / "no", reasons=False)
    assert without.manifest["personal_data"]["found"] == {"email": 1}
    assert "7946 0958" not in (tmp_path / "no/answers.jsonl").read_text()


def test_a_spreadsheet_runs_no_formula(world, store, tmp_path):
    campaign = world.campaign([pair(i) for i in range(5)])
    reasons = iter(["=1+1", "+SUM(A1)", "-2+3", "@cmd", "fine, = later"])
    answer_all(
        world, campaign, lambda n, t: ({"preferred": named(t)["good"]}, next(reasons)), people=1
    )
    exported(store, world, campaign, tmp_path / "out")
    with open(tmp_path / "out/answers.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["reason"] for row in rows] == [
        "'=1+1",
        "'+SUM(A1)",
        "'-2+3",
        "'@cmd",
        "fine, = later",
    ]
    raw = [row["reason"] for row in lines(tmp_path / "out/answers.jsonl")]
    assert raw[0] == "=1+1"


def test_weights_of_findings_count_where_asked(store, tmp_path):
    world = World(store, people=6)
    campaign = world.campaign([pair(i) for i in range(60)], overlap=6)

    def choose(number, task):
        """Five agree; the sixth says the opposite throughout."""
        odd = int(question(task).split()[1]) % 2
        return {"preferred": named(task)["good" if odd != (number == 5) else "bad"]}

    answer_all(world, campaign, choose, people=6)
    for weighted, low, high in ((False, 5 / 6, 5 / 6), (True, 0.9, 1.0)):
        folder = tmp_path / str(weighted)
        exported(store, world, campaign, folder, weighted=weighted)
        soft = {r.preference for r in read(folder / "data", strict=True).records}
        assert low - 1e-9 <= min(soft) <= max(soft) <= high + 1e-9


def test_exporting_again_replaces_and_other_folders_are_left_alone(
    world, store, planted_pairs, tmp_path
):
    first = exported(store, world, planted_pairs, tmp_path / "out")
    second = exported(store, world, planted_pairs, tmp_path / "out")
    found = list_exports(store, world.lead, planted_pairs)
    assert [one.stale_why for one in found] == ["replaced by a later export", ""]
    assert first.sha256 == second.sha256
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="something else"):
        exported(store, world, planted_pairs, tmp_path / "mine")
    assert (tmp_path / "mine/thesis.txt").read_text() == "years of work"
    third = rebuild_export(store, world.lead, second.id, now=at(2000))
    assert (third.path, third.sha256) == (second.path, second.sha256)


def test_the_digest_follows_the_answers(world, store, planted_pairs, tmp_path):
    before = labels_digest(store, world.lead, planted_pairs)
    exported(store, world, planted_pairs, tmp_path / "out")
    assert labels_digest(store, world.lead, planted_pairs) == before
    who = world.people[0]
    answers.undo(store, who, answers.last_answers(store, who, planted_pairs)[0].response, now=at(9))
    assert labels_digest(store, world.lead, planted_pairs) != before


def test_what_cannot_be_exported_says_so(world, store, tmp_path):
    campaign = world.campaign([pair(1)])
    with pytest.raises(DataError, match="nothing to export"):
        exported(store, world, campaign, tmp_path / "out")
    with pytest.raises(ConfigError, match="no such export"):
        exported(store, world, campaign, tmp_path / "out", format="steps")
    binary = world.campaign([], work={"kind": "binary"}, name="b")
    with pytest.raises(ConfigError, match="no such aggregation"):
        exported(store, world, binary, tmp_path / "out", method="bradley_terry")
    with pytest.raises(Refused):
        export_campaign(store, world.people[0], campaign, tmp_path / "out", now=at(1))
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="shares"):
        ExportSettings(parts={"train": 0.5})
    with store.read() as session:
        assert session.scalars(sa.select(DatasetExport.id)).all() == []


def said_by_the_source(task):
    """The task's answer as the suggestion beside it says."""
    (hint,) = task.suggestions
    return hint.value


ROUND_TRIPS = {
    "pairwise": {
        "chosen": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: d",
        "rejected": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: e",
    },
    "ranking": {
        "role": "prompter",
        "text": "a",
        "rank": None,
        "replies": [
            {"role": "assistant", "text": text, "rank": rank, "replies": []}
            for text, rank in (("x", 2), ("y", 0), ("z", 1))
        ],
    },
    "steps": {
        "question": {"problem": "1+1+1?"},
        "label": {
            "steps": [
                {"completions": [{"text": "2", "rating": 1}], "chosen_completion": 0},
                {"completions": [{"text": "4", "rating": -1}], "chosen_completion": None},
            ]
        },
    },
    "binary": {"prompt": "a", "completion": "b", "label": False},
}


@pytest.mark.parametrize("kind", ROUND_TRIPS)
def test_what_comes_in_and_is_confirmed_goes_out_the_same(world, store, tmp_path, kind):
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(ROUND_TRIPS[kind]) + "\n")
    (record,) = read(file).records
    campaign = world.campaign([], work={"kind": kind}, overlap=3, show_suggestions=True)
    import_records(store, world.lead, campaign, [record], now=START)
    assert answer_all(world, campaign, lambda n, t: said_by_the_source(t)) == 3
    exported(store, world, campaign, tmp_path / "out")
    (again,) = read(tmp_path / "out/data", strict=True).records
    assert again.prompt.messages == record.prompt.messages
    assert content(again) == content(record)


def content(record):
    """What a record says, whatever the order of its replies."""
    match record:
        case Comparison():
            return record.chosen, record.rejected, record.tie
        case Ranking():
            return sorted(zip(record.ranks, record.responses, strict=True))
        case StepLabels():
            return record.steps, record.labels
        case _:
            return record.response, record.value


def test_an_answer_that_changes_meanwhile_leaves_no_file(world, store, tmp_path, monkeypatch):
    campaign = world.campaign([pair(1)])
    answer_all(world, campaign, lambda n, t: {"preferred": named(t)["good"]}, people=1)
    built = write.build

    def slow(*arguments, **more):
        """Withdraws the work while the export is being made."""
        found = built(*arguments, **more)
        withdraw_work(store, world.people[0], now=at(50))
        return found

    monkeypatch.setattr(write, "build", slow)
    with pytest.raises(Conflict, match="changed while"):
        exported(store, world, campaign, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with store.read() as session:
        assert session.scalars(sa.select(DatasetExport.id)).all() == []
