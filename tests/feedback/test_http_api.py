"""The JSON API: what it gives, and how it refuses."""

import json

import pytest
from served_api import PASSWORD, Served
from small_campaigns import pair

from fairlead.feedback import accounts
from fairlead.feedback.campaign_items import NewCandidate, NewItem
from fairlead.feedback.permissions import LOCAL


@pytest.fixture
def served(world):
    return Served(world)


def invited(served, role, **more):
    """A program of somebody who came by an invitation."""
    secret = accounts.invite(served.store, LOCAL, role, now=served.now, **more)
    browser = served.browser()
    body = {"secret": secret, "login": f"{role}@example.org", "password": PASSWORD}
    assert browser.post("/api/v1/invitations/accept", json=body).status_code == 201
    del body["secret"]
    csrf = browser.post("/api/v1/session", json=body).json()["csrf"]
    browser.headers["X-CSRF-Token"] = csrf
    return browser


def test_from_an_invitation_to_an_answer(served):
    owner = invited(served, "owner")
    project = owner.post("/api/v1/projects", json={"name": "helpful"}).json()["id"]
    lead_link = owner.post("/api/v1/invitations", json={"role": "lead", "project": project}).json()[
        "link"
    ]
    assert lead_link.startswith("http://localhost/invite/")
    settings = {"work": {"kind": "pairwise", "strengths": ["a bit", "much"]}, "overlap": 1}
    made = owner.post(
        f"/api/v1/projects/{project}/campaigns", json={"name": "one", "settings": settings}
    )
    assert made.status_code == 201
    campaign = f"/api/v1/campaigns/{made.json()['id']}"
    items = [pair(i).model_dump(mode="json") for i in range(3)]
    assert owner.post(f"{campaign}/items", json={"items": items}).json() == {
        "added": 3,
        "known": 0,
        "batch": None,
    }
    assert owner.post(f"{campaign}/items", json={"items": items}).json()["known"] == 3
    text = {"text": "Prefer the truth."}
    assert owner.post(f"{campaign}/guidelines", json=text).json()["version"] == 1
    assert owner.put(f"{campaign}/state", json={"state": "open"}).status_code == 204

    person = invited(served, "annotator", project=project)
    task = person.post(f"{campaign}/claim").json()["task"]
    assert task["guideline"]["text"] == "Prefer the truth."
    assert [one["text"][:4] for one in task["candidates"]] in (["good", "bad "], ["bad ", "good"])
    where = f"/api/v1/assignments/{task['assignment']}"
    value = {"preferred": task["candidates"][1]["id"], "strength": 2}
    assert person.put(f"{where}/draft", json={"value": value, "seq": 3}).json() == {"seq": 3}
    assert person.get(where).json()["draft"] == {"value": value, "seq": 3}
    assert person.post(f"{where}/heartbeat").json()["live"] is True
    sent = {"client_key": task["client_key"], "value": value, "reason": "clearer"}
    first = person.put(f"{where}/answer", json=sent).json()
    assert (first["revision"], first["status"]) == (1, "stored")
    assert person.put(f"{where}/answer", json=sent).json()["status"] == "same"
    other = sent | {"value": {"preferred": None}}
    assert person.put(f"{where}/answer", json=other).json() == first | {
        "revision": 2,
        "status": "revised",
    }
    (last,) = person.get(f"{campaign}/answers/last").json()
    assert last["value"] == {"preferred": None, "strength": None, "both_bad": False}
    undone = person.post(f"/api/v1/responses/{last['response']}/undo").json()
    assert undone == {"assignment": task["assignment"]}
    flag = {"reason": "names_itself", "candidate": task["candidates"][0]["id"]}
    made = person.post(f"{where}/flag", json=flag)
    assert made.status_code == 201
    assert person.post(f"{where}/skip", json={"reason": "unclear"}).status_code == 204
    progress = person.get(f"{campaign}/progress/own").json()
    assert progress == {"done": 0, "skipped": 1, "items": 3, "items_done": 0}

    assert owner.get(f"{campaign}/progress").json()["flags"] == 1
    assert owner.post(f"/api/v1/flags/{made.json()['flag']}/resolve").status_code == 204
    assert owner.get(f"{campaign}/flags").json() == []
    assert len(owner.get(f"{campaign}/flags?open_only=false").json()) == 1
    (who,) = owner.get(f"{campaign}/people").json()
    assert (who["skipped"], who["state"]) == (1, "active")
    decision = {"state": "paused", "why": "a word first"}
    path = f"{campaign}/people/{who['annotator']}"
    assert owner.put(path, json=decision).status_code == 204
    assert person.post(f"{campaign}/claim").json()["why"] == "waiting"
    rows = owner.get(f"{campaign}/items?limit=2").json()
    assert [row["external_id"] for row in rows] == ["i0", "i1"]
    after = owner.get(f"{campaign}/items?after={rows[-1]['id']}").json()
    assert [row["external_id"] for row in after] == ["i2"]
    change = {"items": [rows[0]["id"]], "priority": 5}
    assert owner.put(f"{campaign}/priority", json=change).json() == {"found": 1}
    assert owner.get("/api/v1/audit").json()["broken_at"] is None
    people = owner.get("/api/v1/people").json()
    assert {"owner@example.org", "annotator@example.org"} <= {one["login"] for one in people}


def test_what_people_set_about_themselves(served):
    owner = invited(served, "owner")
    assert owner.get("/api/v1/consent").json() is None
    assert owner.post("/api/v1/consent", json={"text": "We keep it."}).json()["version"] == 1
    assert owner.put("/api/v1/me/consent", json={"version": 2}).status_code == 409
    assert owner.put("/api/v1/me/consent", json={"version": 1}).status_code == 204
    change = {"groups": {"region": "north"}, "content_opt_out": True}
    assert owner.patch("/api/v1/me", json=change).status_code == 204
    profile = owner.get("/api/v1/me").json()
    assert profile["groups"] == {"region": "north"} and profile["consent_version"] == 1
    wrong = {"old": "not the password", "new": "another password"}
    assert owner.post("/api/v1/me/password", json=wrong).status_code == 401
    right = {"old": PASSWORD, "new": "another password"}
    assert owner.post("/api/v1/me/password", json=right).status_code == 204
    assert owner.get("/api/v1/me").status_code == 401


def test_an_answer_in_conflict_shows_both(served):
    world = served.world
    campaign = world.campaign([pair(i) for i in range(12)])
    person = world.people[0]
    first = world.claim(person, campaign)
    world.answer(person, first)
    for _ in range(11):
        world.answer(person, world.claim(person, campaign))
    sent = {"client_key": first.client_key, "value": {"preferred": None}}
    path = f"/api/v1/assignments/{first.assignment}/answer"
    answer = served.program(person).put(path, json=sent)
    assert answer.status_code == 409
    assert answer.json()["stored"]["preferred"] == first.candidates[0].id
    assert answer.json()["sent"]["preferred"] is None


def test_an_unfit_answer_names_its_fields(served):
    world = served.world
    item = NewItem(external_id="one", candidates=(NewCandidate(text="a reply"),))
    campaign = world.campaign([item], work={"kind": "ratings"})
    task = world.claim(world.people[0], campaign)
    sent = {"client_key": task.client_key, "value": {"scores": {"helpful": 9}}}
    path = f"/api/v1/assignments/{task.assignment}/answer"
    answer = served.program(world.people[0]).put(path, json=sent)
    assert answer.status_code == 422
    assert answer.json()["what"] == "the answer is not complete"
    fields = [one["field"] for one in answer.json()["problems"]]
    assert fields == ["helpful", "harmless", "honest"]


NESTED = "[" * 40 + "]" * 40
BAD_BODIES = {
    "not JSON": ("{", 422),
    "NaN": ('{"value": {"a": NaN}, "seq": 1}', 400),
    "infinite": ('{"value": {"a": 1e999}, "seq": 1}', 400),
    "NUL": ('{"value": {"a": "\\u0000"}, "seq": 1}', 400),
    "half of a pair": ('{"value": {"a": "\\ud800"}, "seq": 1}', 400),
    "NUL in a key": ('{"value": {"\\u0000": 1}, "seq": 1}', 400),
    "too deep": (f'{{"value": {{"a": {NESTED}}}, "seq": 1}}', 400),
    "much too deep": ("[" * 100_000, 400),
    "a number of 5000 digits": ('{"value": {"a": ' + "1" * 5000 + '}, "seq": 1}', 400),
    "a large number": ('{"value": {}, "seq": 99999999999}', 422),
    "a list": ("[]", 422),
    "nothing": ("", 422),
    "an unknown field": ('{"value": {}, "seq": 1, "more": 2}', 422),
    "not UTF-8": (b'{"value": {"a": "\xff"}, "seq": 1}', 400),
    "a text of many characters": (json.dumps({"value": {"a": "x" * 300_000}, "seq": 1}), 422),
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_unfit_bodies_are_refused_with_reasons(served, name):
    world = served.world
    task = world.claim(world.people[0], world.campaign([pair(0)]))
    content, status = BAD_BODIES[name]
    answer = served.program(world.people[0]).put(
        f"/api/v1/assignments/{task.assignment}/draft",
        content=content,
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == status, answer.text
    assert answer.json()["what"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/assignments/99999999999999999999999", 422),
        ("GET", "/api/v1/assignments/0", 422),
        ("GET", "/api/v1/assignments/x", 422),
        ("GET", "/api/v1/assignments/2147483647", 404),
        ("GET", "/api/v1/assignments/2147483648", 422),
        ("GET", "/api/v1/campaigns/2147483647", 404),
        ("GET", "/api/v1/campaigns?project=2147483647", 200),
        ("GET", "/api/v1/nothing", 404),
        ("DELETE", "/api/v1/campaigns", 405),
        ("POST", "/api/v1/campaigns/2147483647/claim", 404),
        ("PUT", "/api/v1/people/a%00b/state", 422),
    ],
)
def test_unfit_addresses_are_refused(served, method, path, status):
    answer = served.program(served.world.lead).request(method, path, json={"state": "active"})
    assert answer.status_code == status
    if status != 200:
        assert answer.json()["what"]
        assert answer.headers["content-type"] == "application/json"


def test_a_body_of_another_kind_is_refused(served):
    program = served.program(served.world.lead)
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        answer = program.post(
            "/api/v1/projects", content=b'{"name": "x"}', headers={"Content-Type": kind}
        )
        assert 400 <= answer.status_code < 500 and answer.json()["what"], kind


def test_strangers_get_nothing(served):
    stranger = served.browser()
    for path in ("/session", "/me", "/campaigns", "/projects", "/people", "/audit"):
        assert stranger.get(f"/api/v1{path}").status_code == 401
    for scheme in ("Basic abc", "Bearer", "Bearer fl_x_y", "bearer  "):
        answer = stranger.get("/api/v1/session", headers={"Authorization": scheme})
        assert answer.status_code == 401


def test_the_description_names_every_refusal(served):
    schema = served.browser().get("/api/v1/openapi.json").json()
    assert len(schema["paths"]) > 35
    for path, methods in schema["paths"].items():
        assert path.startswith("/api/v1/")
        for method in methods.values():
            assert {"401", "403", "404", "409", "422", "429"} <= set(method["responses"])
    assert "what" in schema["components"]["schemas"]["Problem"]["required"]


def test_work_is_withdrawn_and_people_are_forgotten(served):
    world = served.world
    campaign = world.campaign([pair(0)])
    world.answer(world.people[0], world.claim(world.people[0], campaign), reason="my words")
    quality = served.program(world.lead).get(f"/api/v1/campaigns/{campaign}/quality").json()
    assert quality["answers"]["normal"] == 1
    browser, csrf = served.logged_in(world.people[0])
    token = {"X-CSRF-Token": csrf}
    withdrawn = browser.post("/api/v1/me/withdraw", headers=token).json()
    assert withdrawn["exports"] == 0 and sum(withdrawn["counts"].values()) > 0
    assert browser.get(f"/api/v1/campaigns/{campaign}/answers/last").json() == []
    assert browser.post("/api/v1/me/forget", headers=token, json={}).status_code == 200
    body = {"login": "p0", "password": PASSWORD}
    assert served.browser().post("/api/v1/session", json=body).status_code == 401
    program = served.program(world.people[1])
    assert program.post("/api/v1/me/withdraw").status_code == 403
