"""A running server with people and a campaign of every kind, for browser tests and screenshots."""

import shutil
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvicorn
from sqlalchemy import delete, select, update

from fairlead.feedback import answers, assignment, campaign_items, campaigns, logins
from fairlead.feedback.campaign_items import NewCandidate, NewItem
from fairlead.feedback.http.app import create_app
from fairlead.feedback.http.settings import ServerSettings
from fairlead.feedback.permissions import LOCAL, Actor
from fairlead.feedback.store import open_store
from fairlead.feedback.store.tables import Account, Annotator, Consent, Membership, Response
from fairlead.records import Message

START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
PASSWORD = "a long enough password"
HASH = logins.hash_password(PASSWORD)
BROWSERS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")

SCENE = "A friend asks whether to water tomato plants at noon. What do you say?"
SHORT = "No. Water early in the morning: less evaporates, and wet leaves dry before the night."
LONG = (
    "Watering at noon is not a disaster, but it is wasteful. Much of the water evaporates before "
    "it reaches the roots, and the plant closes its pores in the heat anyway.\n\n"
    "Better:\n- water early, when the soil is cool;\n- water the soil, not the leaves;\n"
    "- water rarely but deeply, so that roots grow down.\n\nIf the plants hang limp in the "
    "evening, water them then, rather than wait for the morning."
)
THIRD = "Yes, plants are thirsty when it is hot, so noon is the best time."
FOURTH = "It does not matter when you water, as long as you do."
STEPS = (
    "Let x be the number of tickets. Then 4x + 6 = 30.",
    "Subtract 6 on both sides: 4x = 24.",
    "Divide by 4: x = 8.",
    "So eight tickets were sold.",
)
WORKS = {
    "pairwise": {
        "kind": "pairwise",
        "strengths": ["slightly", "clearly", "much"],
        "both_bad": True,
    },
    "ranking": {"kind": "ranking"},
    "likert": {"kind": "likert"},
    "ratings": {"kind": "ratings", "not_applicable": True},
    "binary": {"kind": "binary"},
    "steps": {"kind": "steps", "rewrite": True},
    "demonstration": {"kind": "demonstration", "min_characters": 10},
    "critique": {
        "kind": "critique",
        "principles": [
            {"name": "care", "text": "Advice must not put anybody or anything at risk."},
            {"name": "honesty", "text": "What is uncertain is said to be uncertain."},
        ],
    },
    "redteam": {"kind": "redteam", "tags": ["violence", "fraud", "privacy"]},
}
GUIDELINES = """**What matters**

1. Is it true? A wrong reply never wins, however well it reads.
2. Does it answer what was asked?
3. Is it as short as it can be? Length alone is no merit.

A reply that admits not to know stands below a right one and above a wrong one.
"""


def browser_program() -> str | None:
    """A Chrome or Chromium that is installed."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def item(kind: str, name: str, text: str = SCENE, **more) -> NewItem:
    """An item that fits a kind of work."""
    texts = {"pairwise": (LONG, SHORT), "ranking": (LONG, SHORT, THIRD, FOURTH)}
    if kind in ("demonstration", "redteam"):
        replies = ()
    elif kind == "steps":
        text = "Tickets cost 4 euros each and the hall 6. Together 30 euros were paid. How many?"
        replies = (NewCandidate(text="\n".join(STEPS), model="secret-model-9b", steps=STEPS),)
    else:
        chosen = texts.get(kind, (SHORT,))
        replies = tuple(NewCandidate(text=one, model="secret-model-9b") for one in chosen)
    talk = (Message(role="user", content=text),)
    if kind == "likert":
        talk = (
            Message(role="user", content="I grow tomatoes on a balcony."),
            Message(role="assistant", content="How nice! Which sort?"),
            Message(role="user", content="Small ones. Should I water them at noon?"),
        )
    messages = () if kind == "redteam" else talk
    return NewItem(external_id=name, messages=messages, candidates=replies, **more)


class Site:
    """A server on a free port of this machine, in a thread, with a clock that can be set."""

    def __init__(self, folder: Path):
        self.store = open_store(f"sqlite:///{folder}/labels.db")
        self.ahead = timedelta()
        self.began = time.monotonic()
        settings = ServerSettings(logins_per_minute=10_000, person_requests_per_minute=100_000)
        self.app = create_app(self.store, settings, clock=self.now)
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.server = uvicorn.Server(uvicorn.Config(self.app, log_level="warning"))
        self.thread = threading.Thread(target=self.server.run, args=([listener],), daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        self.project = campaigns.create_project(self.store, LOCAL, "Garden", now=self.now())
        self.count = 0

    def now(self) -> datetime:
        """Time on the server."""
        return START + timedelta(seconds=time.monotonic() - self.began) + self.ahead

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join()
        self.store.close()

    def person(self, role: str = "annotator", login: str = "", pseudonym: str = "") -> Actor:
        """Somebody of the project who can log in with `PASSWORD`."""
        self.count += 1
        login = login or f"person{self.count}"
        pseudonym = pseudonym or f"p{self.count:04d}"
        with self.store.write() as session:
            account = Account(login=login, password_hash=HASH, role=role, created_at=self.now())
            session.add(account)
            session.flush()
            session.add(Annotator(id=pseudonym, account_id=account.id, created_at=self.now()))
            session.flush()
            session.add(Membership(project_id=self.project, annotator_id=pseudonym))
            return Actor(pseudonym, role, frozenset({self.project}), account.id)

    def login_of(self, who: Actor) -> str:
        with self.store.read() as session:
            return session.get_one(Account, who.account_id).login

    def campaign(self, kind: str, items=3, *, name: str = "", work=None, **settings) -> int:
        """An open campaign with items of a kind and guidelines."""
        self.count += 1
        name = name or f"{kind} {self.count}"
        settings = {"work": work or WORKS[kind], **settings}
        made = campaigns.create_campaign(
            self.store, LOCAL, self.project, name, settings, seed=7, now=self.now()
        )
        if isinstance(items, int):
            items = [item(kind, f"item {i + 1}") for i in range(items)]
        campaign_items.add_items(self.store, LOCAL, made, items, now=self.now())
        campaigns.add_guideline(self.store, LOCAL, made, GUIDELINES, now=self.now())
        campaigns.set_campaign_state(self.store, LOCAL, made, "open", now=self.now())
        return made

    def claim(self, who: Actor, campaign: int):
        return assignment.claim(self.store, who, campaign, now=self.now())

    def task(self, who: Actor, number: int):
        return assignment.task(self.store, who, number)

    def answer(self, who: Actor, task, value, **more):
        return answers.submit(
            self.store,
            who,
            task.assignment,
            client_key=task.client_key,
            value=value,
            now=self.now(),
            **more,
        )

    def stored(self, who: Actor) -> list[Response]:
        """All answers of a person, oldest first."""
        with self.store.read() as session:
            query = select(Response).where(Response.annotator_id == who.pseudonym)
            rows = list(session.scalars(query.order_by(Response.id)))
            session.expunge_all()
            return rows

    def without_consent(self) -> None:
        """Takes the text back, for tests that work without one."""
        with self.store.write() as session:
            session.execute(update(Annotator).values(consent_version=None, consent_at=None))
            session.execute(delete(Consent))

    def cookie(self, who: Actor) -> dict[str, str]:
        """A fresh session of somebody, as a browser keeps it."""
        found = logins.login(self.store, self.login_of(who), PASSWORD, now=self.now())
        return {"name": "fairlead", "value": found.token, "url": self.url}
