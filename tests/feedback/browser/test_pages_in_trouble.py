"""Networks that fail, people who race, sessions that end, replies that attack."""

import re
from datetime import timedelta

import pytest
from labelling_site import PASSWORD, item

from fairlead.feedback import campaigns
from fairlead.feedback.campaign_items import NewCandidate, NewItem
from fairlead.feedback.permissions import LOCAL
from fairlead.feedback.store.tables import LoginSession
from fairlead.records import Message


@pytest.fixture
def start(site, visit):
    def begin(campaign, who=None, **options):
        who = who or site.person()
        page = visit(who, f"/campaigns/{campaign}", **options)
        page.get_by_role("button", name=re.compile("Start|Go on")).click()
        page.wait_for_url(re.compile("/tasks/"))  # With its script: the page works without, too.
        return page, who

    return begin


def state_of(page) -> str:
    return page.locator("[data-savestate]").text_content()


def choose(page, name):
    page.get_by_role("radio", name=name, exact=True).check()


def send(page):
    page.get_by_role("button", name="Send", exact=True).click()


# Networks


def test_offline_then_online(site, start):
    page, who = start(site.campaign("binary"))
    first = page.url
    page.context.set_offline(True)
    choose(page, "Good")
    send(page)
    page.locator("[data-savestate][data-is=waiting]", has_text="No connection").wait_for()
    assert site.stored(who) == []
    page.context.set_offline(False)
    page.wait_for_url(lambda url: url != first)
    (found,) = site.stored(who)
    assert found.value == {"good": True}


def test_page_closed_while_offline_sends_later(site, start):
    campaign = site.campaign("binary")
    page, who = start(campaign)
    page.context.set_offline(True)
    choose(page, "Bad")
    send(page)
    page.locator("[data-savestate][data-is=waiting]", has_text="No connection").wait_for()
    context = page.context
    page.close()
    context.set_offline(False)
    again = context.new_page()
    with again.expect_response(lambda answer: answer.request.method == "POST") as sent:
        again.goto(f"{site.url}/profile")
    assert sent.value.ok
    assert [one.value for one in site.stored(who)] == [{"good": False}]


def test_draft_comes_back_in_the_same_and_in_another_browser(site, start):
    campaign = site.campaign("demonstration")
    page, who = start(campaign)
    page.get_by_label("Your reply").fill("Half a")
    page.reload()
    assert page.get_by_label("Your reply").input_value() == "Half a"
    with page.expect_response(re.compile("/draft$")):
        page.get_by_label("Your reply").press_sequentially(" reply")
    page.locator("[data-savestate]", has_text="Draft saved").wait_for()
    other, _ = start(campaign, who)
    assert other.get_by_label("Your reply").input_value() == "Half a reply"


def test_busy_server_is_asked_again(site, start):
    page, who = start(site.campaign("binary"))
    busy = [503, 429]

    def fail(route):
        if busy:
            status = busy.pop(0) if len(busy) > 1 else busy[0]
            route.fulfill(status=status, body="{}", headers={"Retry-After": "1"})
        else:
            route.continue_()

    page.route(re.compile(r"/tasks/\d+$"), fail)
    choose(page, "Good")
    send(page)
    page.locator("[data-savestate]", has_text="The server is busy").wait_for()
    busy.clear()
    page.wait_for_url("**said=saved")
    assert len(site.stored(who)) == 1


# People


def test_two_people_race_for_one_item(site, visit):
    campaign = site.campaign("binary", items=1)
    both = [(who, visit(who, f"/campaigns/{campaign}")) for who in (site.person(), site.person())]
    for _, page in both:  # Neither waits for the other's answer.
        page.evaluate("document.querySelector('form[action$=\"/next\"]').requestSubmit()")
    for _, page in both:
        page.wait_for_url(re.compile("/tasks/|/nothing"))
    got = [(who, page) for who, page in both if "/tasks/" in page.url]
    ((who, page),) = got
    choose(page, "Good")
    send(page)
    page.wait_for_url("**/nothing**")
    assert len(site.stored(who)) == 1


def test_late_answer_is_kept_and_explained(site, start):
    campaign = site.campaign("binary", items=1, lease_s=60)
    slow, who = start(campaign, java_script_enabled=False)
    site.ahead += timedelta(minutes=5)
    quick, other = start(campaign)
    choose(quick, "Good")
    send(quick)
    quick.wait_for_url("**/nothing**")
    choose(slow, "Bad")
    send(slow)
    assert "Your answer is kept." in slow.locator(".notice").text_content()
    assert [one.state for one in (*site.stored(other), *site.stored(who))] == ["counted", "late"]


def test_another_persons_task_is_not_there(site, start, visit):
    page, _ = start(site.campaign("binary"))
    stranger = visit(site.person(), page.url.removeprefix(site.url))
    assert stranger.get_by_role("heading", level=1).text_content() == "There is no such thing."


# Hands


@pytest.mark.parametrize("scripts", [True, False])
def test_double_click_sends_once(site, start, scripts):
    page, who = start(site.campaign("binary"), java_script_enabled=scripts)
    choose(page, "Good")
    page.get_by_role("button", name="Send", exact=True).dblclick()
    page.wait_for_url("**said=s*")
    assert [one.revision for one in site.stored(who)] == [1]


def test_back_button_shows_the_answer_and_replaces_it(site, start):
    page, who = start(site.campaign("likert"))
    first = page.url
    page.get_by_role("radio", name="2", exact=True).check()
    send(page)
    page.wait_for_url("**said=saved")
    page.go_back()
    page.get_by_text("You answered this before.").wait_for()
    assert page.url == first
    assert page.get_by_role("radio", name="2", exact=True).is_checked()
    page.get_by_role("radio", name="5", exact=True).check()
    page.get_by_role("button", name="Replace my answer").click()
    page.wait_for_url("**said=revised")
    (found,) = site.stored(who)
    assert (found.value, found.revision) == ({"score": 5}, 2)


def test_answer_that_can_no_longer_be_changed_is_explained(site, start):
    campaign = site.campaign("binary", items=2)
    page, who = start(campaign)
    choose(page, "Good")
    send(page)
    page.wait_for_url("**said=saved")
    campaigns.set_campaign_state(site.store, LOCAL, campaign, "closed", now=site.now())
    page.go_back()
    choose(page, "Bad")
    page.get_by_role("button", name="Replace my answer").click()
    shown = page.locator("[data-problems]")
    shown.wait_for()
    assert 'Stored: {"good":true}. Sent: {"good":false}.' in shown.text_content()
    assert [one.value for one in site.stored(who)] == [{"good": True}]


def test_dragging_ranks(site, start):
    page, who = start(site.campaign("ranking", work={"kind": "ranking", "partial": True}))
    task = site.task(who, int(page.url.rpartition("/")[2]))
    a, b = (page.locator(f"[data-letter={letter}] h3") for letter in "AB")
    b.drag_to(page.locator("[data-ranked-empty]"))
    a.drag_to(page.locator("[data-ranked] [data-letter=B] h3"))
    send(page)
    page.wait_for_url("**said=saved")
    ids = [one.id for one in task.candidates]
    assert site.stored(who)[0].value == {"tiers": [[ids[0]], [ids[1]]]}


# Sessions


def test_expired_session_logs_in_again_in_place(site, start):
    page, who = start(site.campaign("demonstration"))
    page.get_by_label("Your reply").fill("Typed before it ended.")
    site.ahead += timedelta(hours=13)
    send(page)
    panel = page.get_by_role("dialog")
    panel.wait_for()
    panel.get_by_label("Login").fill(site.login_of(who))
    panel.get_by_label("Password").fill("wrong, I fear")
    panel.get_by_role("button", name="Log in").click()
    panel.get_by_role("alert").wait_for()
    panel.get_by_label("Password").fill(PASSWORD)
    panel.get_by_role("button", name="Log in").click()
    page.wait_for_url("**said=s*")
    assert [one.value for one in site.stored(who)] == [{"text": "Typed before it ended."}]


def test_nobody_else_may_log_in_over_somebodys_work(site, start):
    page, who = start(site.campaign("binary"))
    other = site.person()
    choose(page, "Good")
    with site.store.write() as session:
        session.query(LoginSession).delete()
    send(page)
    panel = page.get_by_role("dialog")
    panel.get_by_label("Login").fill(site.login_of(other))
    panel.get_by_label("Password").fill(PASSWORD)
    panel.get_by_role("button", name="Log in").click()
    panel.get_by_text("another person's login").wait_for()
    assert site.stored(who) == site.stored(other) == []


# Replies

HOSTILE = (
    "<script>window.harm = 1; fetch('http://evil.example/1')</script>"
    '<img src="http://evil.example/2.png" onerror="window.harm = 2">'
    "![x](http://evil.example/3.png) [click](javascript:window.harm=3) "
    '<a href="javascript:window.harm=4">a</a><svg onload="window.harm=5"></svg>'
    '"><iframe src="http://evil.example/4"></iframe></textarea></div></form>'
    '<style>body{background:url("http://evil.example/5")}</style>'
    "<link rel=stylesheet href=http://evil.example/6>{{ 7 * 7 }} <b>bold</b> "
    "abc\u202edcba\u202c in\u200bvisible \U000e0041tags \x1b[31m"
)


def hostile_item(name: str) -> NewItem:
    return NewItem(
        external_id=f"{name} {HOSTILE}"[:200],
        messages=(Message(role="user", content=HOSTILE),),
        candidates=(NewCandidate(text=HOSTILE, model="secret-model-9b"),),
        stratum="<script>window.harm=6</script>",
    )


@pytest.mark.parametrize("markdown", [False, True])
def test_hostile_text_stays_text(site, start, visit, markdown):
    work = {"kind": "binary", "question": "<script>window.harm=7</script>"}
    campaign = site.campaign("binary", [hostile_item("h1")], work=work, markdown=markdown)
    campaigns.add_guideline(site.store, LOCAL, campaign, HOSTILE, now=site.now())
    page, _ = start(campaign)
    page.wait_for_load_state("networkidle")
    assert page.evaluate("window.harm") is None
    inside = page.locator("main")
    assert inside.locator("script, img, svg, iframe, style, link, b").count() == 0
    assert page.locator("a[href^='javascript']").count() == 0
    text = page.locator("article.reply").text_content()
    assert "{{ 7 * 7 }}" in text and "<script>" in text
    for hidden in ("[U+202E]", "[U+202C]", "[U+200B]", "[U+E0041]", "[U+001B]"):
        assert hidden in text
    assert "\u202e" not in text and "\u200b" not in text
    assert "secret-model" not in page.content()
    page.get_by_label("Why?").fill(HOSTILE.replace("\x1b", ""))
    page.get_by_text("Flag a problem").click()
    page.get_by_label("What is wrong").select_option("harmful")
    page.get_by_label("Note").last.fill("</textarea><script>window.harm=8</script>")
    page.get_by_role("button", name="Send the flag").click()
    page.wait_for_url("**said=flagged")
    choose(page, "Good")
    send(page)
    page.wait_for_url("**/nothing**")
    lead = visit(site.person("lead"), f"/lead/campaigns/{campaign}/items")
    for path in ("items", "flags", ""):
        lead.goto(f"{site.url}/lead/campaigns/{campaign}/{path}".rstrip("/"))
        assert lead.evaluate("window.harm") is None
        assert lead.locator("main").locator("script, img, svg, iframe, style").count() == 0
    assert page.evaluate("window.harm") is None


def test_model_names_never_reach_annotators(site, start):
    items = [item("pairwise", "i1")]
    page, _ = start(site.campaign("pairwise", items))
    seen = page.content() + page.context.request.get(page.url).text()
    assert "secret-model" not in seen
