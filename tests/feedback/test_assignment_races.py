"""Many people at once: every place taken once, every answer stored once."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import small_campaigns
import sqlalchemy as sa
from small_campaigns import START, at, pair

from fairlead.feedback import assignment, shown_tasks
from fairlead.feedback.audit import verify_audit
from fairlead.feedback.store.tables import Assignment, Item, Response


def counters_match(session):
    """Items whose counters differ from a count of their assignments."""
    wrong = []
    for item in session.scalars(sa.select(Item)):
        ours = session.scalars(
            sa.select(Assignment).where(
                Assignment.item_id == item.id, Assignment.purpose == "normal"
            )
        ).all()
        counted = session.scalar(
            sa.select(sa.func.count())
            .select_from(Response)
            .join(Assignment)
            .where(
                Response.item_id == item.id,
                Response.state == "counted",
                Assignment.purpose == "normal",
            )
        )
        live = sum(one.state == "leased" for one in ours)
        if (item.live_n, item.done_n) != (live, counted):
            wrong.append((item.id, item.live_n, live, item.done_n, counted))
    return wrong


def test_sixteen_threads_fill_every_place_once(store):
    world = small_campaigns.World(store, people=16)
    campaign = world.campaign([pair(i) for i in range(300)], overlap=3)

    def work(who):
        n = 0
        while isinstance(task := world.claim(who, campaign), shown_tasks.Task):
            world.answer(who, task)
            n += 1
        return n

    with ThreadPoolExecutor(16) as pool:
        done = list(pool.map(work, world.people))

    assert sum(done) == 900
    with store.read() as session:
        rows = session.execute(sa.select(Assignment.item_id, Assignment.annotator_id)).all()
        assert len(rows) == 900
        assert len(set(rows)) == 900
        assert set(Counter(item for item, _ in rows).values()) == {3}
        assert set(session.scalars(sa.select(Item.state))) == {"done"}
        assert counters_match(session) == []
        # Every item was shown in one order once and in the other twice.
        turns = {}
        for item, turn in session.execute(sa.select(Assignment.item_id, Assignment.turn)):
            turns.setdefault(item, []).append(turn)
        assert {sum(one) for one in turns.values()} == {1, 2}
    verdict = verify_audit(store)
    # project, campaign, items, state, and one entry per answer
    assert (verdict.whole, verdict.entries) == (True, 904)


def test_one_person_clicking_in_many_tabs_holds_one_task(store):
    world = small_campaigns.World(store, people=1)
    campaign = world.campaign([pair(i) for i in range(50)])
    with ThreadPoolExecutor(12) as pool:
        tasks = list(pool.map(lambda _: world.claim(world.people[0], campaign), range(12)))
    assert len({task.assignment for task in tasks}) == 1


def test_at_most_two_tasks_when_asking_for_another_at_once(store):
    world = small_campaigns.World(store, people=1)
    campaign = world.campaign([pair(i) for i in range(50)])
    with ThreadPoolExecutor(12) as pool:
        tasks = list(
            pool.map(lambda _: world.claim(world.people[0], campaign, another=True), range(12))
        )
    assert len({task.assignment for task in tasks}) == 2


def test_double_click_stores_once(store):
    world = small_campaigns.World(store, people=1)
    campaign = world.campaign([pair(1)])
    task = world.claim(world.people[0], campaign)
    with ThreadPoolExecutor(8) as pool:
        receipts = list(pool.map(lambda _: world.answer(world.people[0], task), range(8)))
    assert sorted(one.status for one in receipts) == ["same"] * 7 + ["stored"]
    assert len({one.response for one in receipts}) == 1


def test_the_last_place_goes_to_one_of_many(store):
    world = small_campaigns.World(store, people=12)
    campaign = world.campaign([pair(1)], overlap=1)
    with ThreadPoolExecutor(12) as pool:
        got = list(pool.map(lambda who: world.claim(who, campaign), world.people))
    assert sum(isinstance(one, shown_tasks.Task) for one in got) == 1
    assert {one.why for one in got if isinstance(one, assignment.Nothing)} == {"empty"}


def test_leases_that_run_out_while_many_work_lose_no_place(store):
    """A third of all leases is left to expire; every place is filled all the same."""
    world = small_campaigns.World(store, people=8)
    campaign = world.campaign([pair(i) for i in range(40)], overlap=2, lease_s=60)

    def work(who):
        clock = 0
        while clock < 100_000:
            clock += 61
            task = world.claim(who, campaign, now=at(clock))
            if isinstance(task, assignment.Nothing):
                return
            if (task.assignment + clock) % 3:
                world.answer(who, task, now=at(clock))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, world.people))
    # Whoever is left takes what was dropped on the way.
    for who in world.people:
        while isinstance(task := world.claim(who, campaign, now=at(200_000)), shown_tasks.Task):
            world.answer(who, task, now=at(200_000))
    with store.read() as session:
        assert counters_match(session) == []
        done = session.execute(sa.select(Item.done_n, Item.live_n, Item.state)).all()
        assert set(done) == {(2, 0, "done")}


@pytest.mark.slow
def test_fifty_people_and_five_thousand_items(store):
    world = small_campaigns.World(store, people=50)
    campaign = world.campaign([pair(i) for i in range(5000)], overlap=3)

    def work(who):
        n = 0
        while isinstance(task := world.claim(who, campaign), shown_tasks.Task):
            world.answer(who, task)
            n += 1
        return n

    with ThreadPoolExecutor(50) as pool:
        assert sum(pool.map(work, world.people)) == 15_000
    with store.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Response)) == 15_000
    assert START.tzinfo is not None
