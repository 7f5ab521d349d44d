"""Tables of labels and statistics from the store, kind by kind."""

import numpy as np
import pytest
from answered_campaigns import answer_all, named, planted, preferred, question
from small_campaigns import START, at, pair

from fairlead.core.seeds import Seed
from fairlead.feedback import assignment, profiles
from fairlead.feedback.campaign_items import NewCandidate, NewItem, NewSuggestion
from fairlead.feedback.errors import Refused
from fairlead.feedback.gathered import gather
from fairlead.feedback.labels import questions
from fairlead.feedback.statistics import campaign_quality
from fairlead.records import Message


def gathered(store, world, campaign):
    with store.read() as session:
        return gather(session, world.lead, "see_answers", campaign)


def single(i, text="one two", **more):
    return NewItem(
        external_id=f"i{i}",
        messages=(Message(role="user", content=f"question {i}"),),
        candidates=(NewCandidate(text=text),),
        **more,
    )


def rows(table):
    """(item, person, label) of each answer."""
    columns = (table.items, table.people, table.labels)
    return sorted(zip(*([c.names[i] for i in c.codes] for c in columns), strict=True))


def test_pairs_with_what_was_shown_left_longer_suggested_and_timed(world, store):
    hint = NewSuggestion(value={"preferred": 1}, agent="judge")
    campaign = world.campaign([pair(1, suggestions=(hint,)), pair(2)], overlap=3)
    votes = {"question 1": ["good", "good", "bad"], "question 2": ["tie", "bad", "bad"]}
    assert answer_all(world, campaign, planted(votes, preferred)) == 6
    (asked,) = questions(gathered(store, world, campaign))
    table = asked.table
    assert rows(table) == [
        ("i1", "p0", "first"),
        ("i1", "p1", "first"),
        ("i1", "p2", "second"),
        ("i2", "p0", "tie"),
        ("i2", "p1", "second"),
        ("i2", "p2", "second"),
    ]
    assert table.labels.names == ("first", "tie", "second")
    # "question 1", "good 1" and "bad 1" have two words each, and "good" is longer than "bad".
    assert set(table.words) == {6.0} and set(table.seconds) == {4.0}
    assert set(table.longer) == {0}
    shown_left = [table.left[table.items.codes == i] for i in (0, 1)]
    assert sorted(len(set(left.tolist())) for left in shown_left) == [2, 2]
    suggested = [int(s) for s in table.suggestion]
    assert [suggested[k] for k in np.flatnonzero(table.items.codes == 0)] == [2, 2, 2]
    assert [suggested[k] for k in np.flatnonzero(table.items.codes == 1)] == [-1, -1, -1]


def test_left_is_what_the_person_saw(world, store):
    campaign = world.campaign([pair(i) for i in range(12)], overlap=2)
    answer_all(world, campaign, lambda n, task: {"preferred": task.candidates[0].id}, people=2)
    quality = campaign_quality(store, world.lead, campaign)[""]
    assert quality.position.share.value == 1.0
    assert quality.position.p == pytest.approx(2 * 0.5**24)


def test_agreement_is_worked_out_by_hand(world, store):
    campaign = world.campaign([pair(i) for i in range(1, 4)], overlap=3)
    votes = {
        "question 1": ["good", "good", "good"],
        "question 2": ["good", "good", "bad"],
        "question 3": ["bad", "bad", "good"],
    }
    answer_all(world, campaign, planted(votes, preferred))
    agreement = campaign_quality(store, world.lead, campaign)[""].agreement
    # 1, 1/3, 1/3 of the pairs of people agree.
    assert agreement["percent"].value == pytest.approx(5 / 9)
    # 6 first and 3 second of 9: expected 1 - 2 * 6 * 3 / (9 * 8) = 1/2, observed 4/9.
    assert agreement["krippendorff_alpha_nominal"].value == pytest.approx(1 - (4 / 9) / (1 / 2))


def test_gold_and_repeats_count_where_they_should(world, store):
    gold = [pair(f"g{i}", role="gold", accepted=({"preferred": 0},)) for i in range(8)]
    items = [pair(i) for i in range(16)] + gold
    campaign = world.campaign(items, gold_rate=0.4, repeat_rate=0.3, repeat_gap=1)
    answer_all(world, campaign, lambda n, task: {"preferred": named(task)["good"]}, people=1)
    report = campaign_quality(store, world.lead, campaign)
    quality = report[""]
    n = report.answers["gold"]
    assert n > 0 and report.answers["repeat"] > 0
    assert quality.agreement.gold.accuracy.value == 1.0
    assert quality.agreement.gold.people["p0"].value == pytest.approx((n + 1) / (n + 2))
    assert quality.agreement.repeats.n == report.answers["repeat"]
    assert quality.agreement.answers == report.answers["normal"]


def test_strength_is_a_question_of_its_own(world, store):
    work = {"kind": "pairwise", "strengths": ["a bit", "much"]}
    campaign = world.campaign([pair(1), pair(2)], work=work, overlap=3)
    votes = {"question 1": ["good 2", "good 1", "bad 1"], "question 2": ["tie", "bad 2", "bad 1"]}
    answer_all(world, campaign, planted(votes, preferred))
    tables = {q.name: q.table for q in questions(gathered(store, world, campaign))}
    assert [label for _, _, label in rows(tables["strength"])] == ["2", "1", "-1", "0", "-2", "-1"]
    report = campaign_quality(store, world.lead, campaign)
    names = [c.name for c in report["strength"].agreement.coefficients]
    assert "krippendorff_alpha_ordinal" in names and "krippendorff_alpha_interval" in names


def test_ratings_have_a_table_per_dimension(world, store):
    work = {"kind": "ratings", "not_applicable": True}
    campaign = world.campaign([single(1)], work=work, overlap=3)
    harmless = [5, None, 4]
    answer_all(
        world,
        campaign,
        lambda n, _: {"scores": {"helpful": n + 1, "harmless": harmless[n], "honest": 3}},
    )
    tables = {q.name: q.table for q in questions(gathered(store, world, campaign))}
    assert [label for _, _, label in rows(tables["helpful"])] == ["1", "2", "3"]
    assert [label for _, _, label in rows(tables["harmless"])] == ["5", "4"]
    assert tables["harmless"].left_out == {"answered `does not apply` to harmless": 1}
    assert tables["honest"].left_out == {}


def test_steps_belong_to_their_solution(world, store):
    item = NewItem(
        external_id="s",
        messages=(Message(role="user", content="1+1+1?"),),
        candidates=(NewCandidate(text="2\n4", steps=("2", "4")),),
    )
    campaign = world.campaign([item], work={"kind": "steps"}, overlap=3)
    answer_all(world, campaign, lambda n, _: {"labels": [1, [-1, -1, 1][n]]})
    (asked,) = questions(gathered(store, world, campaign))
    assert rows(asked.table) == [
        ("s step 1", "p0", "1"),
        ("s step 1", "p1", "1"),
        ("s step 1", "p2", "1"),
        ("s step 2", "p0", "-1"),
        ("s step 2", "p1", "-1"),
        ("s step 2", "p2", "1"),
    ]
    assert asked.table.clusters.names == ("s",)


def test_rankings_have_tau_and_one_pair_per_answer(world, store):
    item = NewItem(
        external_id="r",
        messages=(Message(role="user", content="q"),),
        candidates=tuple(NewCandidate(text=f"{c} reply") for c in "abc"),
    )
    campaign = world.campaign([item], work={"kind": "ranking"}, overlap=2)
    orders = [["a", "b", "c"], ["b", "a", "c"]]
    answer_all(
        world,
        campaign,
        lambda n, task: {"tiers": [[named(task)[c]] for c in orders[n]]},
        people=2,
    )
    report = campaign_quality(store, world.lead, campaign)
    assert report.rankings.value == pytest.approx(1 / 3)  # one of three pairs is the other way
    (asked,) = questions(gathered(store, world, campaign))
    assert [label for _, _, label in rows(asked.table)] == ["first", "second"]
    names = (asked.table.people.names[i] for i in asked.table.people.codes)
    left = dict(zip(names, (asked.table.labels.names[i] for i in asked.table.left), strict=True))
    with store.read() as session:
        answers = gather(session, world.lead, "see_answers", campaign).answers
    for answer in answers:
        earlier = "first" if answer.order.index(0) < answer.order.index(1) else "second"
        assert left[answer.annotator] == earlier


def test_groups_are_compared_by_each_that_people_named(world, store):
    for number, who in enumerate(world.people[:4]):
        region = "north" if number < 2 else "south"
        profiles.set_profile(store, who, groups={"region": region}, now=START)
    campaign = world.campaign([pair(i) for i in range(8)], overlap=4)
    answer_all(
        world,
        campaign,
        lambda n, task: {"preferred": named(task)["good" if n < 2 else "bad"]},
        people=4,
    )
    report = campaign_quality(store, world.lead, campaign)
    groups = report.questions[0].groups["region"]
    assert [g.name for g in groups.groups] == ["north", "south"]
    assert groups.distance == 1.0
    assert report[""].agreement["percent"].value == pytest.approx(1 / 3)


def test_free_text_has_no_labels_and_others_may_not_see(world, store):
    campaign = world.campaign([single(1)], work={"kind": "demonstration"}, name="d")
    answer_all(world, campaign, lambda n, _: {"text": "hello"}, people=1)
    report = campaign_quality(store, world.lead, campaign, seed=Seed(1))
    assert (report.questions, report.answers) == ((), {"normal": 1})
    with pytest.raises(Refused):
        campaign_quality(store, world.people[0], campaign)


def test_an_empty_campaign_has_no_questions(world, store):
    report = campaign_quality(store, world.lead, world.campaign([pair(1)]))
    assert (report.questions, report.people, report.items) == ((), 0, 0)


def test_both_bad_is_a_tie_and_counted(world, store):
    work = {"kind": "pairwise", "both_bad": True}
    campaign = world.campaign([pair(1)], work=work, overlap=2)
    said = [{"preferred": None, "both_bad": True}, {"preferred": None}]
    answer_all(world, campaign, lambda n, _: said[n], people=2)
    report = campaign_quality(store, world.lead, campaign)
    assert report.both_bad.value == 0.5
    assert report[""].ties.value == 1.0


def test_late_answers_count_for_agreement(world, store):
    campaign = world.campaign([pair(1)], lease_s=60)
    slow, quick = world.people[:2]
    task = world.claim(slow, campaign)
    other = world.claim(quick, campaign, now=at(61))
    world.answer(quick, other, {"preferred": named(other)["good"]}, now=at(62))
    world.answer(slow, task, {"preferred": named(task)["good"]}, now=at(63))
    report = campaign_quality(store, world.lead, campaign)
    assert report.answers == {"normal": 1, "late": 1}
    assert report[""].agreement["percent"].value == 1.0
    assert assignment.task(store, slow, task.assignment).answer.state == "late"
    assert question(task) == "question 1"
