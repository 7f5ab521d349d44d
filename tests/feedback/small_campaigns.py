"""People and campaigns for tests of the store. Accounts are written straight to the tables, since
hashing a password takes as long as a whole test."""

from datetime import UTC, datetime, timedelta

from fairlead.feedback import answers, assignment, campaign_items, campaigns
from fairlead.feedback.campaign_items import NewCandidate, NewItem
from fairlead.feedback.permissions import LOCAL, Actor
from fairlead.feedback.store.tables import Account, Annotator, Membership
from fairlead.records import Message

START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """A time after the start of the tests."""
    return START + timedelta(seconds=seconds)


def pair(i: int, **more) -> NewItem:
    """An item of two replies."""
    return NewItem(
        external_id=f"i{i}",
        messages=(Message(role="user", content=f"question {i}"),),
        candidates=(NewCandidate(text=f"good {i}", model="m1"), NewCandidate(text=f"bad {i}")),
        **more,
    )


class World:
    """A project with one lead and annotators p0, p1, ..."""

    def __init__(self, store, people: int = 5):
        self.store = store
        self.project = campaigns.create_project(store, LOCAL, "tests", now=START)
        self.lead = self.person("lead", "lead")
        self.people = [self.person(f"p{i}") for i in range(people)]

    def person(self, name: str, role="annotator", *, member: bool = True) -> Actor:
        with self.store.write() as session:
            account = Account(login=name, password_hash="none", role=role, created_at=START)
            session.add(account)
            session.flush()
            session.add(Annotator(id=name, account_id=account.id, created_at=START))
            session.flush()
            if member:
                session.add(Membership(project_id=self.project, annotator_id=name))
            projects = frozenset({self.project} if member else ())
            return Actor(name, role, projects, account.id)

    def campaign(self, items, *, name: str = "c", seed: int = 7, work=None, **settings) -> int:
        settings = {"work": work or {"kind": "pairwise"}, **settings}
        made = campaigns.create_campaign(
            self.store, self.lead, self.project, name, settings, seed=seed, now=START
        )
        campaign_items.add_items(self.store, self.lead, made, items, now=START)
        campaigns.set_campaign_state(self.store, self.lead, made, "open", now=START)
        return made

    def claim(self, who: Actor, campaign: int, now=START, **more):
        return assignment.claim(self.store, who, campaign, now=now, **more)

    def answer(self, who: Actor, task, value=None, now=START, **more):
        """Prefers the reply shown first unless told otherwise."""
        value = {"preferred": task.candidates[0].id} if value is None else value
        return answers.submit(
            self.store,
            who,
            task.assignment,
            client_key=task.client_key,
            value=value,
            now=now,
            **more,
        )
