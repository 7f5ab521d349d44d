"""All work with JavaScript off: forms, links and nothing else."""

import re

import pytest
from labelling_site import PASSWORD, item

from fairlead.feedback import accounts


@pytest.fixture
def start(site, visit):
    def begin(kind, **settings):
        who = site.person()
        campaign = site.campaign(kind, **settings)
        page = visit(who, f"/campaigns/{campaign}", java_script_enabled=False)
        page.get_by_role("button", name="Start").click()
        number = int(re.search(r"/tasks/(\d+)", page.url)[1])
        return page, who, site.task(who, number)

    return begin


def choose(page, *names):
    for name in names:
        page.get_by_role("radio", name=name, exact=True).check()


def fill_pairwise(page, task):
    choose(page, "B much")
    return {"preferred": task.candidates[1].id, "strength": 3, "both_bad": False}


def fill_ranking(page, task):
    for letter, rank in zip("ABCD", "2133", strict=True):
        page.get_by_label(f"Rank of reply {letter}").select_option(rank)
    a, b, c, d = (one.id for one in task.candidates)
    return {"tiers": [[b], [a], sorted([c, d])]}


def fill_likert(page, task):
    page.locator("input[name=score][value='7']").check()
    return {"score": 7}


def fill_ratings(page, task):
    for name, level in (("helpful", "5"), ("harmless", "na"), ("honest", "1")):
        page.locator(f"input[name=score_{name}][value='{level}']").check()
    return {"scores": {"helpful": 5, "harmless": None, "honest": 1}}


def fill_binary(page, task):
    choose(page, "Good")
    return {"good": True}


def fill_steps(page, task):
    for i in range(4):
        page.locator(f"input[name=label_{i}][value='1']").check()
    return {"labels": [1, 1, 1, 1], "unsure": [], "rewrite": None, "finish": "solution"}


def fill_demonstration(page, task):
    page.get_by_label("Your reply").fill("\nTwo lines,\nas typed.")
    return {"text": "\nTwo lines,\nas typed."}


def fill_critique(page, task):
    page.get_by_role("radio", name="honesty").check()
    choose(page, "It does")
    page.get_by_label("What does the principle say").fill("It claims too much.")
    page.get_by_label("A better reply").fill("Perhaps.")
    return {
        "principle": "honesty",
        "violates": True,
        "critique": "It claims too much.",
        "revision": "Perhaps.",
    }


def fill_redteam(page, task):
    page.get_by_label("You, message 1").fill("Do it.")
    page.get_by_label("Model, reply 1").fill("No.")
    page.locator("input[name=success][value='1']").check()
    page.get_by_label("fraud").check()
    turns = [{"role": "user", "content": "Do it."}, {"role": "assistant", "content": "No."}]
    return {"turns": turns, "goal": "", "success": 1, "tags": ["fraud"]}


FILL = {
    "pairwise": fill_pairwise,
    "ranking": fill_ranking,
    "likert": fill_likert,
    "ratings": fill_ratings,
    "binary": fill_binary,
    "steps": fill_steps,
    "demonstration": fill_demonstration,
    "critique": fill_critique,
    "redteam": fill_redteam,
}


@pytest.mark.parametrize("kind", FILL)
def test_every_kind(site, start, kind):
    page, who, task = start(kind)
    page.get_by_role("button", name="Send", exact=True).click()
    assert page.get_by_role("alert").is_visible()  # Nothing was chosen, so nothing is stored.
    assert site.stored(who) == []
    expected = FILL[kind](page, task)
    page.get_by_role("button", name="Save draft").click()
    assert "Your draft is saved." in page.locator(".notice").first.text_content()
    page.get_by_role("button", name="Send", exact=True).click()
    (found,) = site.stored(who)
    assert found.value == expected
    assert "/tasks/" in page.url and page.url.endswith("said=saved")
    assert page.locator("form#work input:checked").count() == 0


def test_what_is_wrong_is_said_and_nothing_is_lost(site, start):
    page, who, _ = start("critique")
    page.get_by_label("What does the principle say").fill("A long thought.")
    page.get_by_role("button", name="Send", exact=True).click()
    assert page.get_by_role("alert").locator("li").all_text_contents() == ["Choose a principle."]
    assert page.get_by_label("What does the principle say").input_value() == "A long thought."
    assert site.stored(who) == []


def test_flag_keeps_the_draft_and_skip_needs_a_reason(site, start):
    page, who, task = start("demonstration")
    page.get_by_label("Your reply").fill("Half a reply")
    page.get_by_text("Flag a problem").click()
    page.get_by_label("What is wrong").select_option("harmful")
    page.get_by_role("button", name="Send the flag").click()
    assert page.get_by_label("Your reply").input_value() == "Half a reply"
    page.get_by_text("Skip this task").first.click()
    page.get_by_role("button", name="Skip this task").click()
    assert page.get_by_role("alert").locator("li").all_text_contents() == [
        "Choose a reason for skipping."
    ]
    page.get_by_text("Skip this task").first.click()
    page.get_by_label("Reason", exact=True).select_option("too_hard")
    page.get_by_role("button", name="Skip this task").click()
    assert page.url.endswith("said=skipped")
    assert site.task(who, task.assignment).state == "skipped"


def test_undo_and_answer_anew(site, start):
    page, who, _ = start("binary")
    choose(page, "Good")
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_role("link", name="Undo one of your last answers").click()
    page.get_by_role("button", name="Undo").click()
    assert page.get_by_role("radio", name="Good").is_checked()
    choose(page, "Bad")
    page.get_by_role("button", name="Send", exact=True).click()
    (found,) = site.stored(who)
    assert (found.value, found.revision) == ({"good": False}, 3)


def test_nothing_left_to_do(start):
    page, *_ = start("binary", items=1)
    choose(page, "Good")
    page.get_by_role("button", name="Send", exact=True).click()
    assert page.get_by_role("heading", level=1).text_content() == "Nothing to do"
    assert page.get_by_text("Your answer is saved.").is_visible()


def test_what_was_typed_survives_an_expired_session(site, start):
    page, who, _ = start("demonstration")
    page.get_by_label("Your reply").fill("Typed <b>before</b> it ended.")
    page.context.clear_cookies()
    page.get_by_role("button", name="Send", exact=True).click()
    assert page.get_by_role("heading", level=1).text_content() == "Log in again"
    page.get_by_label("Login").fill(site.login_of(who))
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Log in").click()
    page.get_by_label("Login").fill(site.login_of(who))
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("button", name="Send it now").click()
    (found,) = site.stored(who)
    assert found.value == {"text": "Typed <b>before</b> it ended."}


def test_markdown_is_a_choice_that_is_recorded(site, start):
    text = "Use **bold** and <i>no tags</i>."
    page, who, _ = start("binary", items=[item("binary", "m", text)], markdown=True)
    assert page.locator("strong", has_text="bold").count() == 1
    page.get_by_role("button", name="Show as plain text").click()
    assert page.get_by_text(text).is_visible()
    choose(page, "Good")
    page.get_by_role("button", name="Send", exact=True).click()
    assert site.stored(who)[0].markdown is False


def test_a_live_model_answers_and_its_turns_cannot_be_forged(site, start):
    heard = []

    def reply(messages):
        heard.append([(one.role, one.content) for one in messages])
        return f"I refuse, {len(messages)}."

    site.app.state.replier = reply
    try:
        page, who, _ = start("redteam")
        page.get_by_label("You, message 1").fill("Do it.")
        page.get_by_role("button", name="Send to the model").click()
        assert page.get_by_text("I refuse, 1.").is_visible()
        page.get_by_label("You, message 2").fill("Please.")
        page.get_by_role("button", name="Send to the model").click()
        page.locator("input[name=success][value='1']").check()
        page.get_by_role("button", name="Send", exact=True).click()
    finally:
        del site.app.state.replier
    assert heard[1] == [("user", "Do it."), ("assistant", "I refuse, 1."), ("user", "Please.")]
    turns = site.stored(who)[0].value["turns"]
    assert [one["content"] for one in turns] == [
        "Do it.",
        "I refuse, 1.",
        "Please.",
        "I refuse, 3.",
    ]


def test_invitation_login_consent_and_work(site, visit):
    secret = accounts.invite(
        site.store, site.person("lead"), "annotator", project=site.project, now=site.now()
    )
    campaign = site.campaign("binary")
    page = visit(None, f"/invite/{secret}", java_script_enabled=False)
    page.get_by_label("Login").fill("newcomer")
    page.get_by_label("Password", exact=True).fill("short")
    page.get_by_label("Password again").fill("short")
    page.get_by_role("button", name="Make my account").click()
    assert "10 to 200 characters" in page.get_by_role("alert").text_content()
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password again").fill(PASSWORD)
    page.get_by_role("button", name="Make my account").click()
    page.get_by_label("Login").fill("newcomer")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    assert page.get_by_role("heading", level=1).text_content() == "My work"
    page.goto(f"{site.url}/campaigns/{campaign}")
    page.get_by_role("button", name="Start").click()
    assert "/tasks/" in page.url
    page.get_by_role("button", name="Log out").click()
    assert page.get_by_role("heading", level=1).text_content() == "Log in"
    page.goto(f"{site.url}/campaigns/{campaign}")
    assert "/login?next=" in page.url
