"""A server of chat completions with every fault there is, which counts what it has completed.

Run as a process of its own: `python faulty_server.py DATABASE PORT FAULTS`. Port 0 takes a free
one; the port is printed. What it received and what it completed survives its death, in SQLite. An
answer is counted before it is written, so none that was sent is missing from the count.

A question says which answer is due: "item 17" has the probability 0.17 for the first option.
"""

import hashlib
import json
import math
import re
import sqlite3
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HANG_S = 5.0
"""Longer than clients wait, who wait long: the machine may be busy."""


class Counts:
    """What came in and what went out, by idempotency key."""

    def __init__(self, path: str) -> None:
        self.lock = threading.Lock()
        self.connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = NORMAL")
        for table in ("received", "completed"):
            self.connection.execute(
                f"CREATE TABLE IF NOT EXISTS {table} (key TEXT, item INTEGER, at REAL)"
            )

    def add(self, table: str, key: str, item: int) -> int:
        """Adds a row; how many of that key there were before."""
        with self.lock:
            select = f"SELECT count(*) FROM {table} WHERE key = ?"
            before = self.connection.execute(select, (key,)).fetchone()[0]
            row = (key, item, time.time())
            self.connection.execute(f"INSERT INTO {table} VALUES (?, ?, ?)", row)
        return before


def drawn(key: str, attempt: int) -> float:
    """A number from 0 to 1 that follows from the request and how often it came."""
    digest = hashlib.sha256(f"{key} {attempt}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


PASSING = (
    ("busy", 0.04),
    ("failed", 0.04),
    ("garbage", 0.03),
    ("no choices", 0.03),
    ("truncated json", 0.03),
    ("cut off", 0.03),
    ("empty", 0.03),
    ("wrong finish", 0.02),
)
"""Faults of single attempts, and how often they come."""

SINGLE = {7: "hang", 100: "late"}
"""Faults of the first attempt at an item, by item modulo 400."""

LASTING = {
    13: "declined",
    14: "filtered",
    15: "length",
    16: "off topic",
    17: "always failed",
    18: "too long",
}
"""Faults of items, by the last two digits."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    counts: Counts
    faults: str

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = self.headers["Idempotency-Key"]
        item = int(re.search(r"item (\d+)", body["messages"][0]["content"])[1])
        attempt = self.counts.add("received", key, item)
        fault = self.fault(key, item, attempt)
        getattr(self, "do_" + fault.replace(" ", "_"))(body, key, item)

    def fault(self, key: str, item: int, attempt: int) -> str:
        if self.faults == "none":
            return "answer"
        if self.faults != "all":
            return self.faults
        if lasting := LASTING.get(item % 100):
            return lasting
        if not attempt and item % 400 in SINGLE:
            return SINGLE[item % 400]
        at = drawn(key, attempt)
        for name, share in PASSING:
            if (at := at - share) < 0:
                return name
        return "answer"

    # What is sent

    def send(self, status: int, text: str, *, cut: int = 0, **headers: str) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data[: len(data) - cut])
        if cut:
            self.close_connection = True

    def complete(self, key: str, item: int, message: dict, finish: str, tops: list) -> None:
        self.counts.add("completed", key, item)
        self.send(200, completion(message, finish, tops))

    def do_answer(self, body: dict, key: str, item: int) -> None:
        if "logprobs" in body and self.faults != "no logprobs":
            p = (item % 100) / 100
            tops = [("A", 0.9 * p), (" B", 0.9 * (1 - p)), ("I", 0.1)]
            self.complete(key, item, {"content": "A"}, "length", tops)
        else:
            self.complete(key, item, {"content": f"The answer to {item} is: A"}, "stop", [])

    do_no_logprobs = do_answer

    # Faults that pass

    def do_busy(self, body: dict, key: str, item: int) -> None:
        self.send(429, '{"error": {"message": "slow down"}}', retry_after_ms="20")

    def do_late(self, body: dict, key: str, item: int) -> None:
        self.send(429, '{"error": {"message": "slow down"}}', Retry_After="1")

    def do_failed(self, body: dict, key: str, item: int) -> None:
        self.send(500, "<html>Internal Server Error</html>")

    do_always_failed = do_failed

    def do_garbage(self, body: dict, key: str, item: int) -> None:
        self.send(200, "\x00\x01 not JSON at all")

    def do_no_choices(self, body: dict, key: str, item: int) -> None:
        self.send(200, '{"object": "chat.completion", "choices": []}')

    def do_truncated_json(self, body: dict, key: str, item: int) -> None:
        self.send(200, completion({"content": "A"}, "stop", [])[:-30])

    def do_cut_off(self, body: dict, key: str, item: int) -> None:
        self.counts.add("completed", key, item)
        self.send(200, completion({"content": "A"}, "stop", []), cut=40)

    def do_empty(self, body: dict, key: str, item: int) -> None:
        self.send(200, completion({"content": ""}, "stop", []))

    def do_wrong_finish(self, body: dict, key: str, item: int) -> None:
        self.send(200, completion({"content": "A"}, "tool_calls", [("A", 0.5)]))

    def do_hang(self, body: dict, key: str, item: int) -> None:
        time.sleep(HANG_S)
        try:
            self.do_answer(body, key, item)
        except OSError:
            self.close_connection = True

    # Faults that last

    def do_declined(self, body: dict, key: str, item: int) -> None:
        message = {"content": None, "refusal": "I would rather not."}
        self.complete(key, item, message, "stop", [])

    def do_filtered(self, body: dict, key: str, item: int) -> None:
        self.send(400, '{"error": {"message": "filtered", "code": "content_filter"}}')

    def do_length(self, body: dict, key: str, item: int) -> None:
        self.complete(key, item, {"content": "I think that"}, "length", [])

    def do_off_topic(self, body: dict, key: str, item: int) -> None:
        self.complete(key, item, {"content": "I"}, "length", [("I", 0.9), ("The", 0.1)])

    def do_too_long(self, body: dict, key: str, item: int) -> None:
        self.send(400, '{"error": {"message": "too long", "code": "context_length_exceeded"}}')

    # Faults of the account; the key is repeated, as some servers do

    def do_unauthorised(self, body: dict, key: str, item: int) -> None:
        said = self.headers["Authorization"].removeprefix("Bearer ")
        text = {"error": {"message": f"Incorrect API key provided: {said}", "code": "invalid"}}
        self.send(401, json.dumps(text))

    def do_unknown_model(self, body: dict, key: str, item: int) -> None:
        self.send(404, '{"error": {"message": "no such model", "code": "model_not_found"}}')

    def do_bad_request(self, body: dict, key: str, item: int) -> None:
        self.send(400, '{"detail": "top_logprobs is not supported"}')

    def do_no_quota(self, body: dict, key: str, item: int) -> None:
        self.send(429, '{"error": {"message": "pay first", "code": "insufficient_quota"}}')

    def do_closed_for_today(self, body: dict, key: str, item: int) -> None:
        self.send(429, '{"error": {"message": "tomorrow"}}', Retry_After="86400")

    def do_unauthorised_after_ten(self, body: dict, key: str, item: int) -> None:
        (self.do_answer if item < 10 else self.do_unauthorised)(body, key, item)


def completion(message: dict, finish: str, tops: list[tuple[str, float]]) -> str:
    """A body as servers send it, with fields that nobody asked for."""
    likely = [
        {"token": t, "logprob": math.log(p) if p else -9999.0, "bytes": None} for t, p in tops
    ]
    place = {**likely[0], "top_logprobs": likely} if likely else None
    choice = {
        "index": 0,
        "message": {"role": "assistant", **message},
        "finish_reason": finish,
        "logprobs": {"content": [place]} if place else None,
    }
    whole = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "judge-1",
        "choices": [choice],
        "usage": {"prompt_tokens": 40, "completion_tokens": 1, "total_tokens": 41},
        "system_fingerprint": "fp",
    }
    return json.dumps(whole)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


if __name__ == "__main__":
    path, port, faults = sys.argv[1:]
    Handler.counts, Handler.faults = Counts(path), faults
    server = Server(("127.0.0.1", int(port)), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
