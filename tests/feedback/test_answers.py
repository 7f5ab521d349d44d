"""Answers: idempotent, late, revised, undone; orders and gold; never lost."""

import pytest
import sqlalchemy as sa
from small_campaigns import at, pair
from test_assignment_races import counters_match

from fairlead.core.errors import DataError
from fairlead.feedback import answers, assignment, campaign_items, campaigns, shown_tasks
from fairlead.feedback.audit import verify_audit
from fairlead.feedback.errors import AnswerConflict, Conflict, InvalidAnswer, Missing
from fairlead.feedback.store.tables import (
    Assignment,
    Draft,
    Item,
    Participation,
    Response,
    ResponseRevision,
)


def item_row(store, number=1):
    with store.read() as session:
        row = session.get_one(Item, number)
        return row.live_n, row.done_n, row.state


def revisions(store):
    with store.read() as session:
        query = sa.select(ResponseRevision).order_by(
            ResponseRevision.response_id, ResponseRevision.revision
        )
        return [(one.revision, one.cause, one.value) for one in session.scalars(query)]


def test_a_claim_takes_nine_statements_and_an_answer_ten(world, store):
    campaign = world.campaign([pair(i) for i in range(3)])
    person = world.people[0]
    world.answer(person, world.claim(person, campaign))  # Makes the person's counters.
    sent = []

    @sa.event.listens_for(store.engine, "before_cursor_execute")
    def count(_connection, _cursor, statement, *_):
        if not statement.startswith("BEGIN"):  # SQLite's goes through the same door.
            sent.append(statement)

    task = world.claim(person, campaign)
    assert len(sent) == 9
    world.answer(person, task)
    assert len(sent) == 9 + 10


def test_an_answer_is_stored_in_ids_and_in_positions(world, store):
    campaign = world.campaign([pair(1)], overlap=2)
    first, second = world.people[:2]
    one, two = world.claim(first, campaign), world.claim(second, campaign)
    assert [c.text for c in one.candidates] == [c.text for c in reversed(two.candidates)]
    good = {c.text: c.id for c in one.candidates}["good 1"]
    for who, task in ((first, one), (second, two)):
        world.answer(who, task, {"preferred": good}, active_ms=1500, reason="it is right")
    with store.read() as session:
        rows = session.scalars(sa.select(Response).order_by(Response.id)).all()
        orders = session.scalars(sa.select(Assignment.order).order_by(Assignment.id)).all()
    assert [row.value["preferred"] for row in rows] == [good, good]
    assert sorted(row.shown["preferred"] for row in rows) == [0, 1]
    for row, order in zip(rows, orders, strict=True):
        assert order[row.shown["preferred"]] == good
    assert {(r.tie, r.strength, r.active_ms, r.reason) for r in rows} == {
        (False, None, 1500, "it is right")
    }


def test_sending_again_changes_nothing_and_other_content_revises(world, store):
    campaign = world.campaign([pair(1)])
    who = world.people[0]
    task = world.claim(who, campaign)
    a, b = (c.id for c in task.candidates)
    assert world.answer(who, task, {"preferred": a}) == answers.Receipt(1, 1, "stored")
    assert world.answer(who, task, {"preferred": str(a)}) == answers.Receipt(1, 1, "same")
    assert world.answer(who, task, {"preferred": b}) == answers.Receipt(1, 2, "revised")
    assert world.answer(who, task, {"preferred": b}) == answers.Receipt(1, 2, "same")
    empty = {"strength": None, "both_bad": False}
    assert revisions(store) == [
        (1, "submit", {"preferred": a, **empty}),
        (2, "revise", {"preferred": b, **empty}),
    ]
    assert item_row(store) == (0, 1, "done")


def test_beyond_the_last_ten_an_answer_stays_and_both_are_shown(world, store):
    campaign = world.campaign([pair(i) for i in range(11)])
    who = world.people[0]
    tasks = []
    for _ in range(11):
        tasks.append(world.claim(who, campaign))
        world.answer(who, tasks[-1])
    a, b = (c.id for c in tasks[0].candidates)
    with pytest.raises(AnswerConflict) as error:
        world.answer(who, tasks[0], {"preferred": b})
    assert (error.value.stored["preferred"], error.value.sent["preferred"]) == (a, b)
    with pytest.raises(Conflict, match="no longer be undone"):
        answers.undo(store, who, 1, now=at(1))
    assert world.answer(who, tasks[1], {"preferred": None}).status == "revised"
    last = answers.last_answers(store, who, campaign)
    assert [one.response for one in last] == [*range(11, 1, -1)]
    assert [one.shown["preferred"] for one in last] == [0] * 9 + [None]


def test_a_late_answer_counts_while_its_place_is_free(world, store):
    campaign = world.campaign([pair(1)], lease_s=60)
    who = world.people[0]
    task = world.claim(who, campaign)
    assert assignment.expire_leases(store, campaign, now=at(61)) == 1
    assert item_row(store) == (0, 0, "open")
    assert world.answer(who, task, now=at(100)).status == "stored"
    with store.read() as session:
        row = session.get_one(Response, 1)
        assert (row.state, row.late) == ("counted", True)
    assert item_row(store) == (0, 1, "done")


def test_a_late_answer_is_kept_outside_the_target_when_its_place_is_gone(world, store):
    campaign = world.campaign([pair(1)], lease_s=60)
    slow, quick = world.people[:2]
    task = world.claim(slow, campaign)
    other = world.claim(quick, campaign, now=at(61))
    assert world.answer(slow, task, now=at(62)).status == "late"
    assert item_row(store) == (1, 0, "full")
    assert world.answer(quick, other, now=at(63)).status == "stored"
    assert world.answer(slow, task, now=at(64)).status == "same"
    assert item_row(store) == (0, 1, "done")
    with store.read() as session:
        states = session.scalars(sa.select(Response.state).order_by(Response.id)).all()
    assert states == ["late", "counted"]
    # Undoing the one outside the target takes nobody's place.
    answers.undo(store, slow, 1, now=at(65))
    assert item_row(store) == (0, 1, "done")
    assert world.answer(slow, task, now=at(66)).status == "late"
    assert item_row(store) == (0, 1, "done")


def test_undo_gives_the_task_back_with_what_was_typed(world, store):
    campaign = world.campaign([pair(1), pair(2)])
    who = world.people[0]
    task = world.claim(who, campaign)
    a, b = (c.id for c in task.candidates)
    world.answer(who, task, {"preferred": a}, reason="first thought")
    assert answers.undo(store, who, 1, now=at(5)) == task.assignment
    assert item_row(store) == (1, 0, "full")
    again = world.claim(who, campaign, now=at(6))
    assert (again.assignment, again.client_key) == (task.assignment, task.client_key)
    assert again.draft.value["preferred"] == a
    assert again.draft.value["reason"] == "first thought"
    assert again.answer.value is None
    assert world.answer(who, again, {"preferred": b}, now=at(7)) == answers.Receipt(1, 3, "stored")
    assert [(n, cause) for n, cause, _ in revisions(store)] == [
        (1, "submit"),
        (2, "undo"),
        (3, "submit"),
    ]
    assert item_row(store) == (0, 1, "done")
    with store.read() as session:
        assert session.get_one(Participation, (campaign, who.pseudonym)).done_n == 1
    assert verify_audit(store).whole


def test_undo_and_never_coming_back_frees_the_place(world, store):
    campaign = world.campaign([pair(1)], lease_s=60)
    who, other = world.people[:2]
    world.answer(who, world.claim(who, campaign))
    answers.undo(store, who, 1, now=at(5))
    assert world.claim(other, campaign, now=at(6)).why == "empty"
    task = world.claim(other, campaign, now=at(70))
    assert world.answer(other, task, now=at(71)).status == "stored"
    with store.read() as session:
        assert counters_match(session) == []


def test_a_skip_passes_on_and_three_skips_drop(world, store):
    campaign = world.campaign([pair(1)], skip_limit=3)
    for n, who in enumerate(world.people[:3]):
        task = world.claim(who, campaign)
        assignment.skip(store, who, task.assignment, "unclear", note="what?", now=at(n))
        assignment.skip(store, who, task.assignment, "unclear", now=at(n))  # twice is once
        assert world.claim(who, campaign).why == "empty"
    assert item_row(store) == (0, 0, "dropped")
    assert world.claim(world.people[3], campaign).why == "empty"
    campaign_items.reopen_item(store, world.lead, 1, now=at(9))
    assert world.claim(world.people[3], campaign).assignment == 4
    with pytest.raises(DataError, match="say why"):
        assignment.skip(store, world.people[3], 4, "bored", now=at(10))


def test_whoever_skipped_may_still_answer(world, store):
    campaign = world.campaign([pair(1)])
    who = world.people[0]
    task = world.claim(who, campaign)
    assignment.skip(store, who, task.assignment, "unclear", now=at(1))
    assert world.answer(who, task, now=at(2)).status == "stored"
    assert item_row(store) == (0, 1, "done")
    with pytest.raises(Conflict, match="answered already"):
        assignment.skip(store, who, task.assignment, "unclear", now=at(3))


def test_release_and_coming_back(world, store):
    campaign = world.campaign([pair(1)])
    who = world.people[0]
    task = world.claim(who, campaign)
    answers.save_draft(store, who, task.assignment, {"reason": "hm"}, 3, now=at(1))
    assignment.release(store, who, task.assignment, now=at(2))
    assert item_row(store) == (0, 0, "open")
    again = world.claim(who, campaign, now=at(3))
    assert (again.assignment, again.draft.value) == (task.assignment, {"reason": "hm"})
    assert [c.id for c in again.candidates] == [c.id for c in task.candidates]
    assert assignment.release_all(store, who, now=at(4)) == 1
    assert item_row(store) == (0, 0, "open")


def test_drafts_never_go_back(world, store):
    campaign = world.campaign([pair(1)])
    who = world.people[0]
    task = world.claim(who, campaign)
    save = answers.save_draft
    assert save(store, who, task.assignment, {"a": 1}, 5, now=at(1)) == 5
    assert save(store, who, task.assignment, {"a": 0}, 4, now=at(2)) == 5
    assert save(store, who, task.assignment, {"a": 2}, 6, now=at(3)) == 6
    assert assignment.task(store, who, task.assignment).draft.value == {"a": 2}
    for bad in ({"a": "\x00"}, {"a": "\ud800"}, {"a": "x" * 300_000}, {"\ud800": 1}):
        with pytest.raises(DataError):
            save(store, who, task.assignment, bad, 7, now=at(4))
    world.answer(who, task)
    with store.read() as session:
        assert session.scalars(sa.select(Draft)).all() == []
    assert save(store, who, task.assignment, {"a": 3}, 8, now=at(5)) == 0


def test_heartbeats_prolong_up_to_a_limit_and_revive(world, store):
    campaign = world.campaign([pair(1)], lease_s=60, lease_max_s=100)
    who, other = world.people[:2]
    task = world.claim(who, campaign)
    beat = assignment.heartbeat
    assert beat(store, who, task.assignment, now=at(30)) == assignment.Lease(True, at(90))
    assert beat(store, who, task.assignment, now=at(80)) == assignment.Lease(True, at(100))
    assert beat(store, who, task.assignment, now=at(101)).live is False
    assert assignment.expire_leases(store, campaign, now=at(101)) == 1
    assert beat(store, who, task.assignment, now=at(102)) == assignment.Lease(True, at(162))
    assert assignment.expire_leases(store, campaign, now=at(163)) == 1
    world.claim(other, campaign, now=at(164))
    assert beat(store, who, task.assignment, now=at(165)).live is False


def test_work_elsewhere_gives_the_oldest_lease_back(world, store):
    one = world.campaign([pair(i) for i in range(3)], name="one")
    two = world.campaign([pair(i) for i in range(3)], name="two")
    who = world.people[0]
    first = world.claim(who, one)
    second = world.claim(who, one, another=True)
    assert second.assignment != first.assignment
    assert world.claim(who, one, another=True).assignment == second.assignment
    world.claim(who, two)
    assert assignment.task(store, who, first.assignment).state == "released"
    assert assignment.task(store, who, second.assignment).state == "leased"


def test_priorities_come_first_also_when_set_later(world, store):
    campaign = world.campaign([pair(0), pair(1, priority=5), pair(2), pair(3)])
    who = world.people[0]
    order = []
    for n in range(4):
        if n == 2:
            campaign_items.set_priority(store, world.lead, campaign, [4], 9, now=at(0))
        task = world.claim(who, campaign)
        order.append(task.messages[0].content)
        world.answer(who, task)
    assert order == ["question 1", "question 0", "question 3", "question 2"]


def test_items_added_later_are_found(world, store):
    campaign = world.campaign([pair(5)])
    who = world.people[0]
    world.answer(who, world.claim(who, campaign))
    assert world.claim(who, campaign).why == "empty"
    campaign_items.add_items(store, world.lead, campaign, [pair(1, priority=1)], now=at(1))
    assert world.claim(who, campaign).messages[0].content == "question 1"


@pytest.mark.parametrize("state", ["draft", "paused", "closed"])
def test_only_open_campaigns_give_work_but_leases_are_honoured(world, store, state):
    campaign = world.campaign([pair(1), pair(2)])
    who = world.people[0]
    task = world.claim(who, campaign)
    campaigns.set_campaign_state(store, world.lead, campaign, state, now=at(1))
    if state == "draft":
        with pytest.raises(Missing):
            world.claim(who, campaign)
    else:
        assert world.claim(who, campaign).why == "not_open"
    assert world.answer(who, task).status == "stored"


def test_an_answer_that_does_not_fit_is_explained_and_nothing_stored(world, store):
    campaign = world.campaign([pair(1)], work={"kind": "pairwise", "strengths": ["a bit", "much"]})
    who = world.people[0]
    task = world.claim(who, campaign)
    with pytest.raises(InvalidAnswer) as error:
        world.answer(who, task, {"preferred": task.candidates[0].id})
    assert error.value.problems == (("strength", "say how much: a bit, much"),)
    with pytest.raises(InvalidAnswer):
        world.answer(who, task, {"preferred": 12345, "strength": 1})
    with pytest.raises(InvalidAnswer):
        world.answer(who, task, {"preferred": None}, reason="nul \x00")
    assert item_row(store) == (1, 0, "full")


def test_keys_and_tasks_of_others_are_refused(world, store):
    campaign = world.campaign([pair(1)])
    who, other = world.people[:2]
    task = world.claim(who, campaign)
    with pytest.raises(Missing):
        world.answer(other, task)
    with pytest.raises(Missing):
        assignment.task(store, other, task.assignment)
    with pytest.raises(Missing):
        answers.save_draft(store, other, task.assignment, {}, 1, now=at(0))
    with pytest.raises(Conflict, match="another task"):
        answers.submit(
            store, who, task.assignment, client_key="guess", value={"preferred": None}, now=at(0)
        )


# Gold, repeats, screening


def gold_pair(i, role="gold"):
    return pair(i, role=role, accepted=({"preferred": 0},))


def work_through(world, who, campaign, n, choose):
    for _ in range(n):
        task = world.claim(who, campaign)
        if isinstance(task, assignment.Nothing):
            return task
        world.answer(who, task, {"preferred": choose(task)})
    return None


def good(task):
    return next(c.id for c in task.candidates if c.text.startswith("good"))


def bad(task):
    return next(c.id for c in task.candidates if c.text.startswith("bad"))


def test_gold_and_repeats_come_as_often_as_set_and_look_like_work(world, store):
    items = [pair(i) for i in range(200)] + [gold_pair(1000 + i) for i in range(60)]
    campaign = world.campaign(items, gold_rate=0.1, repeat_rate=0.1, overlap=3)
    who = world.people[0]
    assert work_through(world, who, campaign, 200, good) is None
    with store.read() as session:
        rows = session.execute(
            sa.select(Assignment.purpose, sa.func.count()).group_by(Assignment.purpose)
        )
        counts = dict(rows.tuples().all())
        part = session.get_one(Participation, (campaign, who.pseudonym))
        # 200 draws at 0.1: 20 expected, standard deviation 4.2; this seed is one of them.
        assert 8 <= counts["gold"] <= 32
        assert 8 <= counts["repeat"] <= 32
        assert counts["normal"] == 200 - counts["gold"] - counts["repeat"]
        assert (part.gold_n, part.gold_right) == (counts["gold"], counts["gold"])
        assert counters_match(session) == []
        # A repeat shows the other order, at least ten answers later.
        by_item = {}
        for one in session.scalars(sa.select(Assignment).order_by(Assignment.id)):
            by_item.setdefault(one.item_id, []).append(one)
        twice = [pair_ for pair_ in by_item.values() if len(pair_) == 2]
        assert len(twice) == counts["repeat"]
        assert all({a.turn, b.turn} == {0, 1} for a, b in twice)
        assert all(b.id - a.id > 10 for a, b in twice)
        # Half of all pairs, up to a block of four, came in the item's own order.
        assert abs(2 * part.first_n - part.pairs_n) <= 8
    fields = set(shown_tasks.Task.__dataclass_fields__)
    assert fields.isdisjoint({"purpose", "gold", "stratum", "model", "propensity", "item"})


def test_gold_is_recounted_when_an_answer_is_revised(world, store):
    items = [pair(i) for i in range(6)] + [gold_pair(100 + i) for i in range(6)]
    campaign = world.campaign(items, gold_rate=0.5)
    who = world.people[0]
    tasks = []
    while not isinstance(task := world.claim(who, campaign), assignment.Nothing):
        tasks.append(task)
        world.answer(who, task, {"preferred": bad(task)})
    gold = [one for one in tasks if len(one.messages[0].content) == len("question 100")]

    def counts():
        with store.read() as session:
            part = session.get_one(Participation, (campaign, who.pseudonym))
            return part.gold_n, part.gold_right, part.done_n

    assert counts() == (len(gold), 0, 6 + len(gold))
    last = gold[-1]
    assert world.answer(who, last, {"preferred": good(last)}).status == "revised"
    assert counts() == (len(gold), 1, 6 + len(gold))
    answer = assignment.task(store, who, last.assignment).answer.response
    answers.undo(store, who, answer, now=at(1))
    assert counts() == (len(gold) - 1, 0, 5 + len(gold))


def test_newcomers_are_screened_and_wait_when_they_fail(world, store):
    items = [pair(i) for i in range(5)] + [gold_pair(100 + i, "screening") for i in range(4)]
    campaign = world.campaign(items, screening=4, screening_pass=0.75)
    able, unable = world.people[:2]
    assert work_through(world, able, campaign, 5, good) is None
    assert work_through(world, unable, campaign, 5, bad).why == "waiting"
    with store.read() as session:
        part = session.get_one(Participation, (campaign, unable.pseudonym))
        assert (part.state, part.paused_why) == ("paused", "screening: 0 of 4 right")
        assert (part.screening_n, part.screening_right) == (4, 0)
        query = sa.select(Assignment.purpose).where(Assignment.annotator_id == able.pseudonym)
        assert session.scalars(query.order_by(Assignment.id)).all() == ["screening"] * 4 + [
            "normal"
        ]
    campaigns.set_participation(
        store, world.lead, campaign, unable.pseudonym, "active", why="talked", now=at(1)
    )
    assert isinstance(world.claim(unable, campaign), shown_tasks.Task)
