"""A small client of the JSON API, for pipelines and scripts. Standard library and pydantic only."""

import http.client
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Literal, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from pydantic import TypeAdapter

from fairlead.core.errors import ConfigError, DataError, FairleadError, ServiceError
from fairlead.feedback.answers import Receipt, RecentAnswer
from fairlead.feedback.assignment import Lease, Nothing
from fairlead.feedback.campaign_items import Added, FlagRow, ItemRow, NewBatch, NewItem
from fairlead.feedback.campaigns import CampaignSettings, GuidelineInfo, ProjectInfo, State
from fairlead.feedback.errors import (
    AnswerConflict,
    Conflict,
    InvalidAnswer,
    LoginFailed,
    Missing,
    Refused,
)
from fairlead.feedback.progress import CampaignProgress, OwnProgress, PersonProgress
from fairlead.feedback.shown_tasks import Task

T = TypeVar("T")

CHUNK = 2 * 2**20
"""Bytes of items that are sent at once."""
IDEMPOTENT = frozenset({"GET", "PUT", "DELETE"})
_ERRORS: dict[int, type[FairleadError]] = {
    401: LoginFailed,
    403: Refused,
    404: Missing,
    409: Conflict,
    429: ServiceError,
    503: ServiceError,
}


class Client:
    """Somebody's way to a feedback server; may be shared between threads, which then take turns.

    What can be repeated without harm is repeated while the server is away or busy: reading, sending
    an answer, claiming.

    Args:
        address: as browsers show it: `https://labels.example.org`.
        token: an API token, `fl_...`.
        timeout_s: seconds to wait for an answer.
        patience_s: seconds to go on trying while the server does not answer.

    Raises:
        ConfigError: not an address.
    """

    def __init__(
        self, address: str, token: str, *, timeout_s: float = 30.0, patience_s: float = 60.0
    ) -> None:
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(
                "not the address of a server", expected="https://labels.example.org", got=address
            )
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self._connection = kind(parts.hostname, parts.port, timeout=timeout_s)
        self._base = parts.path.rstrip("/") + "/api/v1"
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._patience_s = patience_s
        self._lock = threading.Lock()

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()

    # Work

    def claim(self, campaign: int, *, another: bool = False) -> Task | Nothing:
        """The next task: the one that is held, or a new one.

        Args:
            campaign: where to work.
            another: a second task, to have it ready; not repeated by itself.
        """
        path = f"/campaigns/{campaign}/claim" + ("?another=true" if another else "")
        found = self._call("POST", path, repeat=not another)
        if found["task"] is None:
            return Nothing(found["why"], found["text"])
        return _read(Task, found["task"])

    def task(self, assignment: int) -> Task:
        """One of one's own tasks, with the draft or the answer."""
        return _read(Task, self._call("GET", f"/assignments/{assignment}"))

    def submit(
        self,
        task: Task,
        value: Mapping[str, Any],
        *,
        reason: str = "",
        active_ms: int | None = None,
    ) -> Receipt:
        """Answers a task; stored once, however often it is sent.

        Args:
            task: what is answered.
            value: in the schema of the kind of work, with candidate ids.
            reason: why, in free text.
            active_ms: milliseconds at work.
        """
        body = {
            "client_key": task.client_key,
            "value": dict(value),
            "reason": reason,
            "active_ms": active_ms,
        }
        return _read(Receipt, self._call("PUT", f"/assignments/{task.assignment}/answer", body))

    def save_draft(self, assignment: int, value: Mapping[str, Any], seq: int) -> int:
        """Keeps what was written so far; returns the number of the draft that is kept."""
        body = {"value": dict(value), "seq": seq}
        return self._call("PUT", f"/assignments/{assignment}/draft", body)["seq"]

    def heartbeat(self, assignment: int) -> Lease:
        """Keeps a task while one is at work on it."""
        return _read(Lease, self._call("POST", f"/assignments/{assignment}/heartbeat", repeat=True))

    def release(self, assignment: int) -> None:
        """Gives a task back unanswered."""
        self._call("POST", f"/assignments/{assignment}/release", repeat=True)

    def skip(self, assignment: int, reason: str, *, note: str = "") -> None:
        """Lets others do a task."""
        body = {"reason": reason, "note": note}
        self._call("POST", f"/assignments/{assignment}/skip", body, repeat=True)

    def flag(
        self, assignment: int, reason: str, *, note: str = "", candidate: int | None = None
    ) -> int:
        """Tells the leads that something is wrong with a task; returns the flag's number."""
        body = {"reason": reason, "note": note, "candidate": candidate}
        return self._call("POST", f"/assignments/{assignment}/flag", body)["flag"]

    def undo(self, response: int) -> int:
        """Takes an answer back; returns the task's number."""
        return self._call("POST", f"/responses/{response}/undo")["assignment"]

    def last_answers(self, campaign: int) -> list[RecentAnswer]:
        """The last answers, newest first: those that can be taken back."""
        return _read(list[RecentAnswer], self._call("GET", f"/campaigns/{campaign}/answers/last"))

    def own_progress(self, campaign: int) -> OwnProgress:
        """How far one is."""
        return _read(OwnProgress, self._call("GET", f"/campaigns/{campaign}/progress/own"))

    # Leading

    def projects(self) -> list[ProjectInfo]:
        """The projects that one may see."""
        return _read(list[ProjectInfo], self._call("GET", "/projects"))

    def create_project(self, name: str) -> int:
        """Makes a project; returns its number."""
        return self._call("POST", "/projects", {"name": name})["id"]

    def campaigns(self) -> list[dict[str, Any]]:
        """The campaigns that one may see."""
        return self._call("GET", "/campaigns")

    def create_campaign(
        self, project: int, name: str, settings: CampaignSettings, *, seed: int | None = None
    ) -> int:
        """Makes a campaign in state `draft`; returns its number."""
        body = {"name": name, "settings": settings.model_dump(mode="json"), "seed": seed}
        return self._call("POST", f"/projects/{project}/campaigns", body)["id"]

    def set_campaign_state(self, campaign: int, state: State) -> None:
        """Opens, pauses or closes a campaign."""
        self._call("PUT", f"/campaigns/{campaign}/state", {"state": state})

    def add_guideline(self, campaign: int, text: str) -> GuidelineInfo:
        """Stores a new version of the instructions."""
        made = self._call("POST", f"/campaigns/{campaign}/guidelines", {"text": text})
        return _read(GuidelineInfo, made)

    def add_items(
        self, campaign: int, items: Sequence[NewItem], *, batch: NewBatch | None = None
    ) -> Added:
        """Adds items, in several requests where they are many; may be repeated.

        Returns:
            What became of them; `batch` is that of the last request.
        """
        added = known = 0
        last: int | None = None
        how = None if batch is None else batch.model_dump(mode="json")
        for chunk in _chunks([one.model_dump(mode="json") for one in items]):
            body = {"items": chunk, "batch": how}
            made = _read(Added, self._call("POST", f"/campaigns/{campaign}/items", body))
            added, known, last = added + made.added, known + made.known, made.batch
        return Added(added, known, last)

    def items(self, campaign: int, *, state: str | None = None) -> Iterator[ItemRow]:
        """All items of a campaign, in order of their number."""
        after = 0
        while True:
            query = {"after": after, "limit": 1000} | ({} if state is None else {"state": state})
            path = f"/campaigns/{campaign}/items?{urlencode(query)}"
            page = _read(list[ItemRow], self._call("GET", path))
            if not page:
                return
            yield from page
            after = page[-1].id

    def set_priority(self, campaign: int, items: Sequence[int], priority: int) -> int:
        """Sets the priority of items; returns how many were found."""
        body = {"items": list(items), "priority": priority}
        return self._call("PUT", f"/campaigns/{campaign}/priority", body)["found"]

    def flags(self, campaign: int) -> list[FlagRow]:
        """What people flagged and nobody dealt with yet."""
        return _read(list[FlagRow], self._call("GET", f"/campaigns/{campaign}/flags"))

    def resolve_flag(self, flag: int) -> None:
        """Marks a flag as dealt with."""
        self._call("POST", f"/flags/{flag}/resolve", repeat=True)

    def progress(self, campaign: int) -> CampaignProgress:
        """How far a campaign is."""
        return _read(CampaignProgress, self._call("GET", f"/campaigns/{campaign}/progress"))

    def people(self, campaign: int) -> list[PersonProgress]:
        """How far each person is, by pseudonym."""
        return _read(list[PersonProgress], self._call("GET", f"/campaigns/{campaign}/people"))

    def set_participation(
        self, campaign: int, person: str, state: Literal["active", "paused"], *, why: str = ""
    ) -> None:
        """Lets somebody go on working in a campaign, or pauses them."""
        path = f"/campaigns/{campaign}/people/{quote(person, safe='')}"
        self._call("PUT", path, {"state": state, "why": why})

    def invite(self, *, project: int | None = None, days: int = 7) -> str:
        """Invites an annotator; returns a link that works once."""
        return self._call("POST", "/invitations", {"project": project, "days": days})["link"]

    # Requests

    def _call(self, method: str, path: str, body: Any = None, *, repeat: bool = False) -> Any:
        """Sends a request, again where that is harmless, and reads the answer.

        Raises:
            FairleadError: the one that the server names; ServiceError if it does not answer.
        """
        sent = None if body is None else json.dumps(body).encode()
        deadline = time.monotonic() + self._patience_s
        pause = 0.1
        while True:
            status, wait, content = self._once(method, path, sent)
            # Nothing was done by a request that was turned away, so it may be sent again.
            again = status in (429, 503) or (
                status in (0, 502, 504) and (repeat or method in IDEMPOTENT)
            )
            pause = min(max(wait, 2 * pause), 5.0)
            if not again or time.monotonic() + pause > deadline:
                return _answer(status, content, f"{method} {path.partition('?')[0]}")
            time.sleep(pause)

    def _once(self, method: str, path: str, sent: bytes | None) -> tuple[int, float, bytes]:
        """Status (0 if nobody answered), seconds that the server asks for, content."""
        with self._lock:
            try:
                self._connection.request(method, self._base + path, sent, self._headers)
                answer = self._connection.getresponse()
                wait = answer.getheader("Retry-After", "0")
                return answer.status, float(wait) if wait.isdigit() else 0.0, answer.read()
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                return 0, 0.0, type(error).__name__.encode()


def _answer(status: int, content: bytes, where: str) -> Any:
    if status == 204:
        return None
    try:
        found: Any = json.loads(content) if status else content.decode()
    except ValueError:
        found = {}
    if 200 <= status < 300:
        return found
    if not status:
        raise ServiceError("the feedback server does not answer", where=where, got=found)
    raise _error(status, found if isinstance(found, dict) else {}, where)


def _error(status: int, found: dict[str, Any], where: str) -> FairleadError:
    if "stored" in found or "sent" in found:
        return AnswerConflict.between(found.get("stored"), found["sent"], found.get("remedy", ""))
    if found.get("what") == "the answer is not complete":
        pairs = [(one["field"], one["sentence"]) for one in found.get("problems", [])]
        return InvalidAnswer.of(*pairs)
    kind = _ERRORS.get(status, ServiceError if status >= 500 else DataError)
    return kind(
        found.get("what", f"the server answered with status {status}"),
        where=found.get("where", where),
        expected=found.get("expected", ""),
        got=found.get("got", ""),
        remedy=found.get("remedy", ""),
    )


def _read(kind: type[T], found: Any) -> T:
    return _adapter(kind).validate_python(found)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _chunks(items: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    chunk: list[dict[str, Any]] = []
    size = 0
    for one in items:
        length = len(json.dumps(one))
        if chunk and size + length > CHUNK:
            yield chunk
            chunk, size = [], 0
        chunk.append(one)
        size += length
    if chunk:
        yield chunk
