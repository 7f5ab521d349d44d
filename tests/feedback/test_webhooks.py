"""Webhooks: what is told, to whom, and what can never be reached."""

import base64
import hashlib
import hmac
import json
import ssl
import subprocess
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from served_api import Served
from small_campaigns import START, at, pair

from fairlead.core.errors import ConfigError
from fairlead.feedback import webhooks
from fairlead.feedback.permissions import LOCAL
from fairlead.feedback.webhooks import Sender, Undeliverable, deliver_due, fill_outbox, is_public


class Receiver(HTTPServer):
    """An https server on this machine that writes down what it gets."""

    def __init__(self, folder):
        self.got, self.status, self.extra = [], 200, {}
        super().__init__(("127.0.0.1", 0), _Handler)
        key, certificate = folder / "key.pem", folder / "cert.pem"
        wanted = (
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
            " -subj /CN=hooks.example.org -addext subjectAltName=DNS:hooks.example.org"
        )
        files = ["-keyout", str(key), "-out", str(certificate)]
        subprocess.run(["openssl", *wanted.split(), *files], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.trust = ssl.create_default_context(cafile=certificate)
        self.url = f"https://hooks.example.org:{self.server_port}/fairlead?x=1"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, dict(self.headers), body))
        self.send_response(self.server.status)
        for name, text in self.server.extra.items():
            self.send_header(name, text)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver(tmp_path):
    server = Receiver(tmp_path)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def to(receiver) -> Sender:
    """A sender for whom the name leads to this machine, and which may reach it."""
    return Sender(
        resolve=lambda host: {"hooks.example.org": ["127.0.0.1"]}[host],
        admits=lambda address: True,
        context=receiver.trust,
        timeout_s=5,
    )


def test_events_are_told_once_signed_and_without_content(world, receiver):
    world.campaign([pair(0)], name="before")
    number, secret = webhooks.add_webhook(
        world.store, LOCAL, receiver.url, ["answer.submitted", "campaign.changed"], now=START
    )
    campaign = world.campaign([pair(1)])
    world.answer(world.people[0], world.claim(world.people[0], campaign), reason="private words")
    assert fill_outbox(world.store, now=START) == 3
    assert fill_outbox(world.store, now=START) == 0
    assert deliver_due(world.store, to(receiver), now=START) == 3
    assert deliver_due(world.store, to(receiver), now=at(100_000)) == 0
    told = [json.loads(body)["data"] for _, _, body in receiver.got]
    assert [one["action"] for one in told] == ["create_campaign", "campaign_open", "submit"]
    assert told[2]["object"].startswith("response:")
    path, headers, body = receiver.got[2]
    assert path == "/fairlead?x=1" and headers["Host"].startswith("hooks.example.org")
    assert b"private words" not in body and b"p0" not in body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{digest}"
    assert headers["webhook-timestamp"] == str(int(START.timestamp()))
    (info,) = webhooks.list_webhooks(world.store, LOCAL)
    assert (info.id, info.waiting, info.last_status) == (number, 0, "200")
    assert secret not in str(info)


def test_a_delivery_is_tried_again_later_and_in_the_end_given_up(world, receiver):
    webhooks.add_webhook(world.store, LOCAL, receiver.url, ["campaign.changed"], now=START)
    world.campaign([])
    fill_outbox(world.store, now=START)
    receiver.status = 500
    now, tries = START, []
    for _ in range(2000):
        tried = deliver_due(world.store, to(receiver), now=now)
        tries += [(now - START).total_seconds()] * (tried // 2)
        now += timedelta(seconds=10)
    assert tries == [10 * (2**i - 1) for i in range(webhooks.MOST_ATTEMPTS)]
    (info,) = webhooks.list_webhooks(world.store, LOCAL)
    assert (info.waiting, info.last_status) == (0, "500")


def test_a_server_that_died_while_sending_sends_again(world, receiver):
    webhooks.add_webhook(world.store, LOCAL, receiver.url, ["campaign.changed"], now=START)
    world.campaign([])
    fill_outbox(world.store, now=START)

    class Killed(BaseException):
        pass

    def die(host):
        raise Killed

    with pytest.raises(Killed):
        deliver_due(world.store, Sender(resolve=die), now=START)
    assert deliver_due(world.store, to(receiver), now=at(60)) == 0
    assert deliver_due(world.store, to(receiver), now=at(121)) == 2


def test_redirects_are_not_followed(world, receiver):
    receiver.status, receiver.extra = 302, {"Location": receiver.url + "&again"}
    assert to(receiver).post(receiver.url, {}, b"{}") == 302
    assert len(receiver.got) == 1


def test_the_certificate_must_be_that_of_the_name(world, receiver):
    sender = Sender(
        resolve=lambda host: ["127.0.0.1"], admits=lambda address: True, context=receiver.trust
    )
    with pytest.raises(Undeliverable) as error:
        sender.post(receiver.url.replace("hooks.", "other."), {}, b"{}")
    assert error.value.got == "SSLCertVerificationError"
    assert receiver.got == []


@pytest.mark.parametrize(
    "found",
    [
        ["127.0.0.1"],
        ["10.1.2.3"],
        ["169.254.169.254"],
        ["::1"],
        ["fe80::1%eth0"],
        ["93.184.215.14", "192.168.0.1"],
        [],
    ],
)
def test_private_addresses_are_never_reached(world, receiver, found):
    asked = []

    def fake(host):
        asked.append(host)
        return found

    with pytest.raises(Undeliverable) as error:
        Sender(resolve=fake, context=receiver.trust).post(receiver.url, {}, b"{}")
    assert error.value.what == "this address may not be reached"
    assert asked == ["hooks.example.org"]  # Once: a second answer could be another one.
    assert receiver.got == []


def test_which_addresses_are_public():
    private = (
        "0.0.0.0 10.0.0.1 100.64.0.1 127.0.0.1 169.254.169.254 172.16.0.1 192.0.2.1 192.168.1.1 "
        "198.18.0.1 224.0.0.1 240.0.0.1 255.255.255.255 :: ::1 fc00::1 fe80::1 ff02::1 2001:db8::1 "
        "::ffff:10.0.0.1 2002:7f00:1:: 64:ff9b::10.0.0.1 localhost 2130706433"
    )
    assert [one for one in private.split() if is_public(one)] == []
    public = "93.184.215.14 2606:4700:4700::1111 ::ffff:93.184.215.14 64:ff9b::5db8:d70e"
    assert [one for one in public.split() if not is_public(one)] == []


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.org/",
        "https://localhost/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[",
        "https://printer.local/",
        "https://user:word@hooks.example.org/",
        "https://hooks.example.org:99999/",
        "https://hooks.example.org/\r\nX: y",
        "ftp://hooks.example.org",
        "hooks.example.org",
        "",
    ],
)
def test_addresses_that_no_webhook_may_have(world, url):
    with pytest.raises(ConfigError):
        webhooks.add_webhook(world.store, LOCAL, url, ["answer.submitted"], now=START)


def test_webhooks_are_for_owners_and_their_secret_is_shown_once(world):
    served = Served(world)
    owner = served.program(world.person("owner", "owner"))
    body = {"url": "https://hooks.example.org/", "events": ["answer.submitted"]}
    made = owner.post("/api/v1/webhooks", json=body)
    assert made.status_code == 201
    assert made.json()["secret"].startswith("whsec_")
    assert made.json()["secret"] not in owner.get("/api/v1/webhooks").text
    lead = served.program(world.lead)
    assert lead.post("/api/v1/webhooks", json=body).status_code == 403
    assert lead.delete(f"/api/v1/webhooks/{made.json()['id']}").status_code == 403
    body["events"] = ["everything"]
    refused = owner.post("/api/v1/webhooks", json=body)
    assert refused.status_code == 422 and refused.json()["where"] == "events"
    assert owner.delete(f"/api/v1/webhooks/{made.json()['id']}").status_code == 204
    assert owner.get("/api/v1/webhooks").json() == []


def test_a_worker_delivers_beside_the_server(world, receiver):
    webhooks.add_webhook(world.store, LOCAL, receiver.url, ["campaign.changed"], now=START)
    failures = []
    worker = webhooks.Worker(
        world.store, lambda: START, failures.append, to(receiver), pause_s=0.01
    )
    worker.start()
    world.campaign([])
    for _ in range(1000):
        if len(receiver.got) == 2:
            break
        threading.Event().wait(0.01)
    worker.stop()
    assert len(receiver.got) == 2
    assert failures == [] and not worker.is_alive()
