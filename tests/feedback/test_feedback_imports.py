"""Records of public formats become items; what does not fit is listed."""

import gzip
import json
from pathlib import Path

import pytest
import sqlalchemy as sa
from answered_campaigns import answer_all
from small_campaigns import START

from fairlead.data.readers import read
from fairlead.feedback import campaigns
from fairlead.feedback.campaign_items import NewItem
from fairlead.feedback.errors import Conflict, Refused
from fairlead.feedback.gathered import gather
from fairlead.feedback.imports import RefusedRow, import_items, import_records
from fairlead.records import Comparison, Demonstration, Prompt, Provenance, Ranking, Rating
from fairlead.records import StepLabels as Steps

DATA = Path(__file__).parents[3] / "shared" / "data"


def asked(text, row, source="f.jsonl"):
    return Prompt.of(text, provenance=Provenance(source=source, row=row))


def cases(store, world, campaign):
    with store.read() as session:
        return list(gather(session, world.lead, "see_answers", campaign).cases.values())


def imported(store, world, records, *, work, name="import", **more):
    campaign = world.campaign([], work=work, name=name)
    return campaign, import_records(store, world.lead, campaign, records, now=START, **more)


def pairs(n):
    return [
        Comparison(prompt=asked(f"q{i}", i), chosen=f"better {i}", rejected=f"worse {i}")
        for i in range(n)
    ]


def test_comparisons_become_pairs_in_no_telling_order(world, store):
    campaign, report = imported(store, world, pairs(40), work={"kind": "pairwise"})
    assert (report.added, report.known, report.refused) == (40, 0, ())
    found = cases(store, world, campaign)
    first = ["better" in case.replies[0].text for case in found]
    assert 10 < sum(first) < 30
    for case, better in zip(found, first, strict=True):
        (hint,) = case.hints
        assert (hint.agent, hint.value["preferred"]) == ("source", 0 if better else 1)
    assert found[3].meta == {"source": "f.jsonl", "row": 3}
    again = import_records(store, world.lead, campaign, pairs(40), now=START)
    assert (again.added, again.known) == (0, 40)


def test_the_sources_labels_can_be_gold_or_dropped(world, store):
    tied = Comparison(prompt=asked("t", 9), chosen="a", rejected="b", tie=True)
    campaign, report = imported(
        store, world, [*pairs(2), tied], work={"kind": "pairwise"}, labels="gold"
    )
    assert report.added == 3
    for case in cases(store, world, campaign):
        (accepted,) = case.accepted
        better = accepted["preferred"]
        assert case.role == "gold" and case.hints == ()
        assert better is None or "better" in case.replies[better].text
    campaign, _ = imported(
        store, world, pairs(1), work={"kind": "pairwise"}, labels="drop", name="dropped"
    )
    assert [case.hints for case in cases(store, world, campaign)] == [()]


def test_where_worse_is_asked_the_suggestion_is_the_worse(world, store):
    work = {"kind": "pairwise", "polarity": "worse"}
    campaign, _ = imported(store, world, pairs(6), work=work)
    for case in cases(store, world, campaign):
        assert "worse" in case.replies[case.hints[0].value["preferred"]].text


def test_a_ranking_is_ranked_paired_or_judged_one_by_one(world, store):
    ranking = Ranking(prompt=asked("q", 1), responses=("a", "b", "c"), ranks=(2, 1, 1))
    campaign, _ = imported(store, world, [ranking], work={"kind": "ranking"}, name="k")
    (case,) = cases(store, world, campaign)
    texts = [reply.text for reply in case.replies]
    tiers = [{texts[i] for i in tier} for tier in case.hints[0].value["tiers"]]
    assert tiers == [{"b", "c"}, {"a"}]
    campaign, _ = imported(store, world, [ranking], work={"kind": "pairwise"}, name="p")
    found = cases(store, world, campaign)
    assert [case.external_id for case in found] == [f"f.jsonl#1.{s}" for s in ("1-2", "1-3", "2-3")]
    assert found[2].hints[0].value["preferred"] is None
    campaign, report = imported(store, world, [ranking], work={"kind": "binary"}, name="b")
    assert report.added == 3
    assert [case.hints for case in cases(store, world, campaign)] == [(), (), ()]


def test_ratings_of_one_prompt_belong_together_where_replies_compete(world, store):
    rated = [
        Rating(prompt=asked("q", 1), response=text, value=value, scores={"helpful": value})
        for text, value in (("low", 2.0), ("high", 5.0), ("mid", 3.0))
    ]
    campaign, _ = imported(store, world, rated, work={"kind": "ranking"}, name="k")
    (case,) = cases(store, world, campaign)
    tiers = [[case.replies[i].text for i in tier] for tier in case.hints[0].value["tiers"]]
    assert tiers == [["high"], ["mid"], ["low"]]
    campaign, _ = imported(store, world, rated, work={"kind": "ratings"}, name="r")
    found = {c.replies[0].text: c.hints[0].value for c in cases(store, world, campaign)}
    assert found == {
        t: {"scores": {"helpful": v}} for t, v in (("low", 2), ("high", 5), ("mid", 3))
    }


def test_what_does_not_fit_is_listed_with_its_reason(world, store):
    records = [
        *pairs(2),
        Demonstration(prompt=asked("q", 7), response="alone"),
        Comparison(prompt=asked("q0", 8), chosen="worse 0", rejected="better 0"),
    ]
    bad = RefusedRow(where="f.jsonl#5", why="chosen: expected a string, got int 3")
    _, report = imported(store, world, records, work={"kind": "pairwise"}, refused=[bad])
    assert report.added == 2
    assert [(one.where, one.why) for one in report.refused] == [
        ("f.jsonl#5", "chosen: expected a string, got int 3"),
        ("f.jsonl#7", "1 replies; this work takes 2"),
        ("f.jsonl#8", "the same prompt and replies as an earlier row"),
    ]
    assert report.reasons["1 replies; this work takes 2"] == 1


def test_steps_and_prompts(world, store):
    solved = Steps(prompt=asked("1+1", 1), steps=("2", "3"), labels=(1, -1))
    campaign, _ = imported(store, world, [solved], work={"kind": "steps"}, name="s")
    (case,) = cases(store, world, campaign)
    assert case.replies[0].steps == ("2", "3")
    assert case.hints[0].value == {"labels": [1, -1]}
    campaign, report = imported(
        store, world, [solved, *pairs(1)], work={"kind": "demonstration"}, name="d"
    )
    assert report.added == 2
    assert [case.replies for case in cases(store, world, campaign)] == [(), ()]


@pytest.mark.parametrize("policy", ["report", "mask", "refuse"])
def test_personal_data_on_the_way_in(world, store, policy):
    leak = Comparison(
        prompt=asked("I am a@b.example", 1), chosen="call +44 20 7946 0958", rejected="x"
    )
    campaign, report = imported(
        store, world, [leak, *pairs(1)], work={"kind": "pairwise"}, pii=policy
    )
    assert report.personal_data.found == {"email": 1, "phone": 1}
    found = cases(store, world, campaign)
    prompts = [case.messages[0].content for case in found]
    if policy == "refuse":
        assert prompts == ["q0"]
        assert [one.why for one in report.refused] == ["personal data: email, phone"]
        return
    assert prompts[0] == {"report": "I am a@b.example", "mask": "I am [email]"}[policy]
    assert found[0].meta["personal_data"] == ["email", "phone"]
    assert not any("@" in place for place in report.personal_data.places)


def test_items_as_they_are(world, store):
    campaign = world.campaign([])
    rows = [
        (
            "a#1",
            {
                "external_id": "x",
                "messages": [{"role": "user", "content": "q"}],
                "candidates": [{"text": "a", "model": "m1"}, {"text": "b"}],
                "role": "gold",
                "accepted": [{"preferred": 1}],
                "priority": 3,
            },
        ),
        ("a#2", {"external_id": "y", "candidates": [{"text": 3}]}),
    ]
    report = import_items(store, world.lead, campaign, rows, now=START)
    assert report.added == 1
    assert [one.where for one in report.refused] == ["a#2"]
    (case,) = cases(store, world, campaign)
    assert (case.replies[0].model, case.accepted[0]["preferred"]) == ("m1", 1)
    changed = {**rows[0][1], "candidates": [{"text": "z"}, {"text": "b"}]}
    with pytest.raises(Conflict):
        import_items(store, world.lead, campaign, [("a#1", changed)], now=START)
    with pytest.raises(Refused):
        import_items(store, world.people[0], campaign, rows, now=START)
    assert set(NewItem.model_fields) >= set(rows[0][1])


FORMATS = {
    "hh-rlhf": {
        "chosen": "\n\nHuman: a\n\nAssistant: b",
        "rejected": "\n\nHuman: a\n\nAssistant: c",
    },
    "arena-votes": {
        "conversation_a": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
        "conversation_b": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "c"}],
        "winner": "model_a",
        "judge": "arena_user_1",
        "model_a": "x",
        "model_b": "y",
    },
    "ultrafeedback": {
        "instruction": "a",
        "completions": [
            {"response": r, "annotations": {"helpfulness": {"Rating": s}}}
            for r, s in (("b", "5"), ("c", "2"))
        ],
    },
    "oasst-trees": {
        "role": "prompter",
        "text": "a",
        "rank": None,
        "replies": [
            {"role": "assistant", "text": t, "rank": i, "replies": []} for i, t in enumerate("bc")
        ],
    },
}


@pytest.mark.parametrize("format", FORMATS)
def test_public_formats_become_the_same_pair(world, store, tmp_path, format):
    file = tmp_path / "rows.jsonl.gz"
    file.write_bytes(gzip.compress(json.dumps(FORMATS[format]).encode()))
    result = read(file)
    assert result.format == format
    campaign, report = imported(store, world, result.records, work={"kind": "pairwise"})
    assert report.added == 1
    (case,) = cases(store, world, campaign)
    assert case.messages[-1].content == "a"
    assert case.replies[case.hints[0].value["preferred"]].text == "b"


@pytest.mark.skipif(not DATA.exists(), reason="the public data sets are not here")
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_a_whole_public_file_and_its_labels(world, store):
    result = read(DATA / "hh-rlhf/harmless-base.official-test.part-A.jsonl.gz")
    campaign, report = imported(store, world, result.records[:300], work={"kind": "pairwise"})
    assert report.added + len(report.refused) == 300
    assert set(report.reasons) <= {"the same prompt and replies as an earlier row"}
    campaigns.set_campaign_state(store, world.lead, campaign, "open", now=START)
    answer_all(world, campaign, lambda n, t: {"preferred": t.candidates[0].id}, people=1)
    with store.read() as session:
        gathered = gather(session, world.lead, "see_answers", campaign)
        assert session.scalar(sa.text("SELECT count(*) FROM response")) == report.added
    # Whoever clicks left agrees with the source by chance alone.
    agreed = [
        a.value["preferred"] == gathered.cases[a.item].hints[0].value["preferred"]
        for a in gathered.answers
    ]
    assert 0.4 < sum(agreed) / len(agreed) < 0.6
