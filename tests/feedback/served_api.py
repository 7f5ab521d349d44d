"""The feedback server without a network: browsers and programs that talk to the application."""

from functools import cache

from small_campaigns import START, World
from sqlalchemy import update
from starlette.testclient import TestClient

from fairlead.feedback import logins
from fairlead.feedback.http.app import create_app
from fairlead.feedback.http.settings import ServerSettings
from fairlead.feedback.permissions import Actor
from fairlead.feedback.store.tables import Account

PASSWORD = "correct horse battery"
ALL = ("label", "read", "manage", "export", "identity")


@cache
def hashed() -> str:
    return logins.hash_password(PASSWORD)


class Served:
    """An application over a world; `now` is its clock."""

    def __init__(self, world: World, **settings):
        self.world, self.store, self.now = world, world.store, START
        self.settings = ServerSettings(webhooks=False, **settings)
        self.app = create_app(world.store, self.settings, clock=lambda: self.now)

    def browser(self, origin: str = "http://localhost") -> TestClient:
        return TestClient(self.app, base_url=origin, follow_redirects=False)

    def program(self, actor: Actor, *scopes: str) -> TestClient:
        """Requests with a token."""
        token = logins.create_token(
            self.store, actor, "test", frozenset(scopes or ALL), now=self.now
        )
        found = self.browser()
        found.headers["Authorization"] = f"Bearer {token}"
        return found

    def with_password(self, actor: Actor) -> None:
        with self.store.write() as session:
            session.execute(
                update(Account).where(Account.id == actor.account_id).values(password_hash=hashed())
            )

    def logged_in(self, actor: Actor, origin: str = "http://localhost") -> tuple[TestClient, str]:
        """A browser with a session, and its CSRF token."""
        self.with_password(actor)
        found = self.browser(origin)
        body = {"login": actor.pseudonym, "password": PASSWORD}
        csrf = found.post("/api/v1/session", json=body).json()["csrf"]
        return found, csrf
