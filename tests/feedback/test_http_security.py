"""The rules at the server's door, each with a test."""

import inspect
import logging
import re
import stat
from datetime import timedelta
from importlib.resources import files

import pytest
from fastapi.routing import APIRoute
from served_api import PASSWORD, Served
from small_campaigns import pair
from sqlalchemy import select

from fairlead.core.errors import ConfigError
from fairlead.feedback import accounts, logins
from fairlead.feedback.errors import LoginFailed
from fairlead.feedback.http import api
from fairlead.feedback.http.gate import ACCESS
from fairlead.feedback.http.limits import Limit, neighbourhood, truncated
from fairlead.feedback.http.problems import ERRORS, TooMany
from fairlead.feedback.http.rendering import static_files, templates
from fairlead.feedback.http.serving import Listening, refuse_unsafe
from fairlead.feedback.http.settings import ServerSettings
from fairlead.feedback.http.visits import local_target
from fairlead.feedback.store.tables import ApiToken, LoginSession
from fairlead.feedback.web.pages import router as pages

pytestmark = pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)

STRANGERS_MAY = {
    "/api/v1/session",
    "/api/v1/invitations/accept",
    "/login",
    "/login/again",
    "/invite/{secret}",
}
"""Where a request that changes something needs no session: it makes one, or an account."""


@pytest.fixture
def served(world):
    return Served(world)


def every_route():
    """(method, path with made-up ids, template) of everything the application answers."""
    found = []
    for router in (api.router, pages):
        for route in flat(router.routes):
            prefix = "" if route.path.startswith("/api/v1") or router is pages else "/api/v1"
            template = prefix + route.path
            path = re.sub(r"\{(\w+)(:\w+)?\}", "1", template)
            found += [(method, path, template) for method in route.methods if method != "HEAD"]
    return found


def flat(routes):
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        elif hasattr(route, "original_router"):
            yield from flat(route.original_router.routes)


def test_the_policy_is_on_every_answer(served):
    browser = served.browser()
    for path in ("/login", "/api/v1/session", "/nothing", "/static/nothing", "/static/app.css"):
        headers = browser.get(path).headers
        assert headers["content-security-policy"] == (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
            "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        )
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert "server" not in headers


def test_only_static_files_may_be_kept(served):
    browser = served.browser()
    assert browser.get("/login").headers["cache-control"] == "no-store"
    assert browser.get("/api/v1/session").headers["cache-control"] == "no-store"
    first = browser.get("/static/app.css")
    assert first.headers["cache-control"] == "no-cache"
    again = browser.get("/static/app.css", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304


# Cookies and sessions


def test_the_cookie_over_http_and_over_https(world):
    plain = Served(world)
    plain.with_password(world.people[0])
    body = {"login": "p0", "password": PASSWORD}
    cookie = plain.browser().post("/api/v1/session", json=body).headers["set-cookie"]
    assert cookie.startswith("fairlead=")
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Path=/;" in cookie
    assert "Secure" not in cookie
    safe = Served(world, public_origin="https://labels.example.org")
    browser = safe.browser("https://labels.example.org")
    answer = browser.post("/api/v1/session", json=body)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-fairlead=")
    assert "Secure" in cookie and "HttpOnly" in cookie and "Domain" not in cookie
    assert answer.headers["strict-transport-security"] == "max-age=31536000"


def test_a_login_makes_a_new_session_and_ends_the_old(served):
    browser, _ = served.logged_in(served.world.people[0])
    old = browser.cookies["fairlead"]
    browser.post("/api/v1/session", json={"login": "p0", "password": PASSWORD})
    assert browser.cookies["fairlead"] != old
    with pytest.raises(LoginFailed):
        logins.session_actor(served.store, old, now=served.now)
    with served.store.read() as session:
        assert len(session.scalars(select(LoginSession)).all()) == 1


def test_a_cookie_chosen_by_somebody_else_is_not_taken_over(served):
    served.with_password(served.world.people[0])
    browser = served.browser()
    browser.cookies.set("fairlead", "chosen")
    answer = browser.post("/api/v1/session", json={"login": "p0", "password": PASSWORD})
    assert "fairlead=chosen" not in answer.headers["set-cookie"]
    fresh = served.browser()
    fresh.cookies.set("fairlead", "chosen")
    assert fresh.get("/api/v1/session").status_code == 401


def test_wrong_login_wrong_password_and_locked_account_look_the_same(served):
    served.with_password(served.world.people[0])
    browser = Served(served.world, logins_per_minute=1000).browser()

    def answer(login, password):
        found = browser.post("/api/v1/session", json={"login": login, "password": password})
        return found.status_code, found.json()

    unknown, wrong = answer("nobody", PASSWORD), answer("p0", "wrong password")
    for _ in range(logins.TRIES):
        answer("p0", "wrong password")
    locked = answer("p0", PASSWORD)
    assert unknown == wrong == locked
    assert unknown[0] == 401


def test_a_login_that_is_not_there_costs_as_much_to_check(db_url):
    assert not logins._HASHER.check_needs_rehash(logins._DECOY)


def test_an_expired_session_leads_to_the_login_and_keeps_what_was_typed(served):
    browser, csrf = served.logged_in(served.world.people[0])
    served.now += timedelta(days=8)
    page = browser.get("/profile")
    assert page.status_code == 303 and page.headers["location"] == "/login?next=/profile"
    kept = browser.post("/consent", data={"csrf": csrf, "version": "what I <typed>"})
    assert kept.status_code == 401
    assert "what I &lt;typed&gt;" in kept.text
    assert csrf not in kept.text


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("/campaigns/1?x=2", "/campaigns/1?x=2"),
        ("https://evil.example", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("", "/"),
    ],
)
def test_a_login_leads_only_to_this_server(asked, given, db_url):
    assert local_target(asked) == given


# Requests from elsewhere


def test_whatever_changes_something_needs_the_csrf_token(served):
    browser, csrf = served.logged_in(served.world.lead)
    routes = [one for one in every_route() if one[0] not in ("GET", "HEAD", "OPTIONS")]
    assert len(routes) > 40
    open_to_strangers = set()
    for method, path, template in routes:
        for headers in ({}, {"X-CSRF-Token": csrf[:-1] + "!"}):
            headers["Accept"] = "application/json"
            answer = browser.request(method, path, headers=headers, json={})
            if answer.status_code != 403 or answer.json().get("where") != "csrf":
                open_to_strangers.add(template)
    assert open_to_strangers <= STRANGERS_MAY


def test_forms_carry_the_token_too(served):
    browser, csrf = served.logged_in(served.world.people[0])
    assert browser.post("/logout", data={"csrf": "wrong"}).status_code == 403
    assert browser.get("/api/v1/session").status_code == 200
    assert browser.post("/logout", data={"csrf": csrf}).status_code == 303
    assert browser.get("/api/v1/session").status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:81"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_other_sites_are_refused_even_with_the_token(served, headers):
    browser, csrf = served.logged_in(served.world.people[0])
    answer = browser.delete("/api/v1/session", headers={"X-CSRF-Token": csrf, **headers})
    assert answer.status_code == 403
    assert answer.json()["where"] == "Origin"
    assert "--public-origin" in answer.json()["remedy"]
    body = {"login": "p0", "password": PASSWORD}
    assert browser.post("/api/v1/session", json=body, headers=headers).status_code == 403


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://localhost"}, {"Sec-Fetch-Site": "same-origin"}]
)
def test_the_own_site_is_let_in(served, headers):
    browser, csrf = served.logged_in(served.world.people[0])
    answer = browser.delete("/api/v1/session", headers={"X-CSRF-Token": csrf, **headers})
    assert answer.status_code == 204


def test_names_of_other_machines_are_refused(served):
    for host in ("evil.example", "localhost.evil.example", "10.0.0.1", "", "[::2]", "["):
        answer = served.browser().get("/api/v1/session", headers={"Host": host})
        assert answer.status_code == 421
        assert "--public-origin" in answer.json()["remedy"]
    for host in ("localhost", "127.0.0.1:8000", "[::1]:8000"):
        assert served.browser().get("/login", headers={"Host": host}).status_code == 200


def test_behind_a_proxy_with_a_path(world):
    served = Served(world, public_origin="https://example.org/labels")
    served.with_password(world.people[0])
    body = {"login": "p0", "password": PASSWORD}
    origin = {"Origin": "https://example.org"}
    browser = served.browser("https://example.org")
    # A proxy may take the path away or leave it; browsers see it in either case.
    assert browser.post("/api/v1/session", json=body, headers=origin).status_code == 200
    assert browser.post("/labels/api/v1/session", json=body, headers=origin).status_code == 200
    stranger = served.browser("https://example.org").get("/labels/profile")
    assert stranger.headers["location"] == "/labels/login?next=/profile"
    assert (
        'href="/labels/static/app.css'
        in served.browser("https://example.org").get("/labels/login").text
    )
    direct = served.browser("http://127.0.0.1:8000").get("/api/v1/session")
    assert direct.status_code == 421
    assert direct.json()["expected"] == "https://example.org/labels"
    assert direct.json()["got"] == "127.0.0.1:8000"


# Too much


def test_a_large_request_is_refused_however_it_is_sent(world):
    served = Served(world, largest_body=2000)
    browser = served.browser()
    body = b'{"login": "' + b"x" * 3000 + b'"}'
    headers = {"Content-Type": "application/json"}
    whole = browser.post("/api/v1/session", content=body, headers=headers)
    chunks = (body[i : i + 500] for i in range(0, len(body), 500))
    chunked = browser.post("/api/v1/session", content=chunks, headers=headers)
    assert [whole.status_code, chunked.status_code] == [413, 413]
    assert whole.json()["what"] == chunked.json()["what"] == "the request is too large"


def test_logins_are_counted_by_address(world):
    browser = Served(world, logins_per_minute=3).browser()
    body = {"login": "p0", "password": "wrong password"}
    statuses = [browser.post("/api/v1/session", json=body).status_code for _ in range(4)]
    assert statuses == [401, 401, 401, 429]
    accepted = browser.post("/api/v1/invitations/accept", json={"secret": "x", "password": "y"})
    assert accepted.status_code == 429
    assert 1 <= int(accepted.headers["retry-after"]) <= 20


def test_people_and_addresses_have_limits(world):
    person = Served(world, person_requests_per_minute=60)
    program = person.program(world.people[0])
    statuses = [program.get("/api/v1/session").status_code for _ in range(80)]
    assert statuses[:60] == [200] * 60 and 429 in statuses
    assert person.program(world.people[1]).get("/api/v1/session").status_code == 200
    address = Served(world, requests_per_minute=60).browser()
    assert 429 in [address.get("/login").status_code for _ in range(30)]


def test_a_limit_refills_with_time(db_url):
    now = [0.0]
    limit = Limit(per_minute=60, burst=2, clock=lambda: now[0])
    limit.take("a")
    limit.take("a")
    with pytest.raises(TooMany) as refused:
        limit.take("a")
    assert refused.value.wait_s == 1.0
    limit.take("b")
    now[0] = 1.0
    limit.take("a")
    with pytest.raises(TooMany):
        limit.take("a")
    now[0] = 100.0
    limit.take("a")
    limit.take("a")


def test_addresses_in_limits_and_logs(db_url):
    assert neighbourhood("203.0.113.77") == "203.0.113.77"
    assert neighbourhood("2001:db8:1:2:3:4:5:6") == "2001:db8:1:2::/64"
    assert truncated("203.0.113.77") == "203.0.113.0"
    assert truncated("2001:db8:1:2:3:4:5:6") == "2001:db8:1::"
    assert truncated("testclient") == "-"


# What is written down


def test_the_log_knows_no_address_no_path_no_content(served, caplog):
    ACCESS.setLevel(logging.INFO)
    ACCESS.propagate = True
    secret = accounts.invite(
        served.store, served.world.lead, "annotator", now=served.now, project=served.world.project
    )
    from starlette.testclient import TestClient

    browser = TestClient(
        served.app, base_url="http://localhost", client=("203.0.113.77", 5), follow_redirects=False
    )
    with caplog.at_level(logging.INFO, logger=ACCESS.name):
        browser.get(f"/invite/{secret}?mail=a@example.org")
        browser.get("/no-such-page/with-a-secret")
    lines = [record.getMessage() for record in caplog.records if record.name == ACCESS.name]
    assert re.fullmatch(r"203\.0\.113\.0 GET /invite/\{secret\} 200 \d+ ms", lines[0])
    assert re.fullmatch(r"203\.0\.113\.0 GET - 404 \d+ ms", lines[1])


def test_a_bug_shows_nothing_and_logs_no_words(served, caplog):
    ERRORS.propagate = True

    words = "what a person wrote"

    def broken() -> None:
        raise RuntimeError(words)

    served.app.add_api_route("/api/v1/broken", broken)
    with caplog.at_level(logging.ERROR, logger=ERRORS.name):
        answer = served.browser().get("/api/v1/broken")
    assert answer.status_code == 500
    assert answer.json()["what"] == "something went wrong in the server"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    (record,) = [one for one in caplog.records if one.name == ERRORS.name]
    assert "RuntimeError at /api/v1/broken" in record.getMessage()
    assert "in broken" in record.getMessage()
    assert words not in record.getMessage() + answer.text


def test_the_database_file_is_private(served, tmp_path):
    modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in tmp_path.iterdir()}
    assert modes["labels.db"] == 0o600
    assert set(modes.values()) == {0o600}


# Pages


def test_templates_escape_everything_and_hold_no_scripts(db_url):
    assert templates().autoescape is True
    assert "safe" not in templates().filters
    for name in templates().list_templates():
        text = (files("fairlead.feedback.web") / "templates" / name).read_text()
        assert not re.search(r"<script(?![^>]*\bsrc=)", text), name
        assert not re.search(r"\son[a-z]+\s*=\s*[\"']", text), name
        assert not re.search(r"\sstyle\s*=\s*[\"']", text), name
        assert "autoescape false" not in text, name


def test_input_does_not_come_back_as_markup(served):
    hostile = "<script>alert(1)</script>"
    for path in (f"/{hostile}", f"/login?next=/{hostile}", f"/invite/{hostile}"):
        assert hostile not in served.browser().get(path).text
    answer = served.browser().post("/login", data={"login": hostile, "password": "x"})
    assert hostile not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/static/../pages.py",
        "/static/..%2fpages.py",
        "/static/%2e%2e/pages.py",
        "/static/....//pages.py",
        "/static//etc/passwd",
        "/static/",
        "/static/app.css%00.js",
    ],
)
def test_static_files_are_only_those_of_the_package(served, path):
    assert served.browser().get(path).status_code == 404


def test_static_files_have_types(served):
    for name in static_files():
        kind = served.browser().get(f"/static/{name}").headers["content-type"]
        assert kind != "application/octet-stream", name


def test_handlers_run_in_threads(db_url):
    for router in (api.router, pages):
        for route in flat(router.routes):
            assert not inspect.iscoroutinefunction(route.endpoint), route.path


# Tokens


def test_a_token_is_shown_once_and_stored_as_a_hash(served):
    browser, csrf = served.logged_in(served.world.people[0])
    body = {"name": "pipeline", "scopes": ["label"]}
    made = browser.post("/api/v1/me/tokens", json=body, headers={"X-CSRF-Token": csrf})
    token = made.json()["token"]
    assert token not in browser.get("/api/v1/me/tokens").text
    with served.store.read() as session:
        row = session.scalars(select(ApiToken)).one()
        assert token not in {str(getattr(row, c.key)) for c in ApiToken.__table__.columns}
    number = browser.get("/api/v1/me/tokens").json()[0]["id"]
    program = served.browser()
    program.headers["Authorization"] = f"Bearer {token}"
    assert program.get("/api/v1/session").json()["csrf"] == ""
    browser.delete(f"/api/v1/me/tokens/{number}", headers={"X-CSRF-Token": csrf})
    refused = program.get("/api/v1/session")
    assert refused.status_code == 401 and refused.headers["www-authenticate"] == "Bearer"


def test_a_token_does_what_it_is_for_and_makes_no_tokens(served):
    lead = served.world.lead
    campaign = served.world.campaign([pair(0)])
    reader = served.program(lead, "read")
    assert reader.get(f"/api/v1/campaigns/{campaign}/progress").status_code == 200
    state = reader.put(f"/api/v1/campaigns/{campaign}/state", json={"state": "closed"})
    assert state.status_code == 403 and state.json()["got"] == "role lead, token for read"
    assert reader.post(f"/api/v1/campaigns/{campaign}/claim").status_code == 403
    for program in (reader, served.program(lead)):
        made = program.post("/api/v1/me/tokens", json={"name": "x", "scopes": ["manage"]})
        assert made.status_code == 403
        assert program.get("/api/v1/me/tokens").status_code == 403
    exporter = served.program(lead, "export")
    assert exporter.get("/api/v1/me").status_code == 403


# Whose is it


def test_nothing_of_a_campaign_is_for_outsiders(served):
    world = served.world
    campaign = world.campaign([pair(0)])
    outsider = served.program(world.person("outsider", "lead", member=False))
    filled = {"state": {"state": "open"}, "claim": None, "guidelines": {"text": "x"}}
    for method, _, template in every_route():
        if "{campaign}" not in template or not template.startswith("/api/"):
            continue
        path = template.replace("{campaign}", str(campaign)).replace("{person}", "p0")
        body = filled.get(path.rpartition("/")[2], _body_for(path))
        answer = outsider.request(method, path, json=body)
        assert answer.status_code == 404 or answer.json() == [], (method, path, answer.text)


def _body_for(path):
    bodies = {
        "settings": {"work": {"kind": "binary"}},
        "items": {"items": []},
        "priority": {"items": [], "priority": 0},
        "p0": {"state": "active"},
    }
    return bodies.get(path.rpartition("/")[2], {})


def test_an_assignment_is_its_owners_only(served):
    world = served.world
    campaign = world.campaign([pair(0)], overlap=2)
    task = world.claim(world.people[0], campaign)
    receipt = world.answer(world.people[0], task)
    bodies = {
        "answer": {"client_key": task.client_key, "value": {"preferred": None}},
        "draft": {"value": {}, "seq": 1},
        "skip": {"reason": "unclear"},
        "flag": {"reason": "other"},
    }
    for other in (world.people[1], world.lead):
        program = served.program(other)
        for method, _, template in every_route():
            if not template.startswith(("/api/v1/assignments", "/api/v1/responses")):
                continue
            number = receipt.response if "responses" in template else task.assignment
            path = template.replace("{number}", str(number))
            answer = program.request(method, path, json=bodies.get(path.rpartition("/")[2]))
            assert answer.status_code == 404, (method, path, answer.text)


def test_annotators_lead_nothing(served):
    world = served.world
    campaign = world.campaign([pair(0)])
    program = served.program(world.people[0])
    assert program.get("/api/v1/people").status_code == 403
    assert program.get("/api/v1/audit").status_code == 403
    assert program.get("/api/v1/webhooks").status_code == 403
    assert program.post("/api/v1/projects", json={"name": "mine"}).status_code == 403
    assert program.post("/api/v1/invitations", json={}).status_code == 403
    for path in ("items", "people", "flags", "progress"):
        assert program.get(f"/api/v1/campaigns/{campaign}/{path}").status_code == 403
    lead = served.program(world.lead)
    for body in ({"role": "owner"}, {"role": "lead", "project": world.project}):
        assert lead.post("/api/v1/invitations", json=body).status_code == 403
    assert lead.get("/api/v1/people").status_code == 403


def test_annotators_do_not_see_how_work_is_chosen(served):
    world = served.world
    gold = pair(9, role="gold", accepted=({"preferred": 0},))
    campaign = world.campaign([gold, pair(0)], gold_rate=0.5)
    program = served.program(world.people[0])
    shown = program.get(f"/api/v1/campaigns/{campaign}").json()
    assert shown["settings"] is None and shown["seed"] is None
    assert served.program(world.lead).get(f"/api/v1/campaigns/{campaign}").json()["seed"] == "7"
    task = program.post(f"/api/v1/campaigns/{campaign}/claim").text
    for word in ("gold", "m1", "purpose", "propensity", "stratum", "i0", "i9"):
        assert f'"{word}"' not in task


def test_sorts_and_filters_are_a_fixed_choice(served):
    world = served.world
    campaign = world.campaign([pair(0)])
    lead = served.program(world.lead)
    for query in ("state=password_hash", "role=__class__", "limit=100000", "after=-1"):
        assert lead.get(f"/api/v1/campaigns/{campaign}/items?{query}").status_code == 422


# Where the server listens


@pytest.mark.parametrize(
    ("listening", "origin"),
    [
        ({"host": "0.0.0.0"}, ""),
        ({"host": "0.0.0.0", "plain_http": True}, ""),
        ({"host": "192.0.2.1"}, "http://192.0.2.1:8000"),
        ({}, "http://labels.example.org"),
        ({"certificate": "a.pem"}, "https://labels.example.org"),
        ({"certificate": "a.pem", "key": "b.pem"}, ""),
    ],
)
def test_a_server_that_others_reach_needs_https(listening, origin, db_url):
    with pytest.raises(ConfigError):
        refuse_unsafe(Listening(**listening), ServerSettings(public_origin=origin))


@pytest.mark.parametrize(
    ("listening", "origin"),
    [
        ({}, ""),
        ({"host": "::1"}, ""),
        ({}, "https://labels.example.org"),
        ({"host": "0.0.0.0"}, "https://labels.example.org"),
        ({"host": "0.0.0.0", "plain_http": True}, "http://192.0.2.1:8000"),
        ({"certificate": "a.pem", "key": "b.pem"}, "https://labels.example.org"),
    ],
)
def test_a_server_may_listen(listening, origin, db_url):
    refuse_unsafe(Listening(**listening), ServerSettings(public_origin=origin))


@pytest.mark.parametrize(
    "origin", ["labels.example.org", "ftp://x.org", "https://", "https://u:p@x.org", "https://x?y"]
)
def test_an_origin_that_is_none(origin, db_url):
    with pytest.raises(ConfigError) as error:
        ServerSettings.of(public_origin=origin)
    assert error.value.where == "--public-origin"
