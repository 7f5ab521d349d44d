"""Each kind of work done from the keyboard alone: no pointer is used in this file."""

import re

import pytest
from labelling_site import item
from playwright.sync_api import expect


@pytest.fixture
def start(site, visit):
    """Starts on a campaign of a kind with the keyboard; gives page, person and task."""

    def begin(kind, **settings):
        who = site.person()
        campaign = site.campaign(kind, **settings)
        page = visit(who, f"/campaigns/{campaign}")
        tab_to(page, "Start")
        page.keyboard.press("Enter")
        page.wait_for_url("**/tasks/*")
        expect(page.get_by_role("heading", level=1)).to_be_focused()
        number = int(re.search(r"/tasks/(\d+)", page.url)[1])
        return page, who, site.task(who, number)

    return begin


def tab_to(page, name: str, most: int = 80) -> None:
    """Presses Tab until what has the focus has a name."""
    for _ in range(most):
        page.keyboard.press("Tab")
        held = page.evaluate(
            """() => { const one = document.activeElement;
            const label = one.labels?.length ? one.labels[0].textContent : one.textContent;
            return label.replace(/\\s+/g, ' ').trim(); }"""
        )
        if held.startswith(name):
            return
    raise AssertionError(f"nothing called {name!r} can be reached with Tab")


def send(page) -> None:
    """Sends with Ctrl+Enter and waits for the next page."""
    before = page.url
    page.keyboard.press("Control+Enter")
    page.wait_for_url(lambda url: url != before)


def only_answer(site, who):
    (found,) = site.stored(who)
    return found


def test_pairwise(site, start):
    page, who, task = start("pairwise")
    page.keyboard.press("2")
    send(page)
    first = task.candidates[0].id
    assert only_answer(site, who).value == {"preferred": first, "strength": 2, "both_bad": False}
    assert only_answer(site, who).shown["preferred"] == 0


def test_pairwise_tie_with_arrows_alone(site, start):
    page, who, _ = start("pairwise", work={"kind": "pairwise"})
    page.get_by_label("Single keys are on").press("Space")
    page.get_by_role("heading", level=1).focus()
    page.keyboard.press("2")
    tab_to(page, "A is better")
    assert page.locator("input:checked:not([data-pref])").count() == 0
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    tab_to(page, "Why?")
    page.keyboard.type("Both say 2 things.")
    tab_to(page, "Send")
    page.keyboard.press("Enter")
    page.wait_for_url("**said=saved")
    assert only_answer(site, who).value["preferred"] is None
    assert only_answer(site, who).reason == "Both say 2 things."


def test_ranking_with_keys(site, start):
    page, who, task = start("ranking")
    a, b, c, d = (one.id for one in task.candidates)
    for keys in ("3r", "1r", "2r", "4r"):
        for key in keys:
            page.keyboard.press(key)
    page.keyboard.press("1")
    page.keyboard.press("k")  # A above C.
    page.keyboard.press("4")
    page.keyboard.press("e")  # D equal to B.
    send(page)
    assert only_answer(site, who).value == {"tiers": [[a], [c], sorted([b, d])]}


def test_ranking_with_buttons(site, start):
    page, who, task = start("ranking", work={"kind": "ranking", "partial": True})
    a, b, *_ = (one.id for one in task.candidates)
    tab_to(page, "Rank next reply B")
    page.keyboard.press("Enter")
    tab_to(page, "Rank next reply A")
    page.keyboard.press("Enter")
    assert "rank 2 of 2" in page.locator("[data-announce]").text_content()
    send(page)
    assert only_answer(site, who).value == {"tiers": [[b], [a]]}


def test_ranking_with_selects(site, start):
    page, who, task = start("ranking", work={"kind": "ranking", "partial": True})
    a, b, c, _ = (one.id for one in task.candidates)
    for letter, rank in (("C", "1"), ("A", "2"), ("B", "2")):
        field = page.get_by_label(f"Rank of reply {letter}")
        field.focus()
        page.keyboard.type(rank)
    send(page)
    assert only_answer(site, who).value == {"tiers": [[c], sorted([a, b])]}


def test_likert(site, start):
    page, who, _ = start("likert")
    page.keyboard.press("6")
    send(page)
    assert only_answer(site, who).value == {"score": 6}


def test_ratings(site, start):
    page, who, _ = start("ratings")
    for keys in ("4", "n", "0", "n", "2"):
        page.keyboard.press(keys)
    send(page)
    expected = {"helpful": 4, "harmless": None, "honest": 2}
    assert only_answer(site, who).value == {"scores": expected}


def test_binary(site, start):
    page, who, _ = start("binary")
    page.keyboard.press("2")
    send(page)
    assert only_answer(site, who).value == {"good": False}


def test_steps_stop_at_the_first_error(site, start):
    page, who, _ = start("steps")
    for key in ("1", "n", "1", "u", "n", "3"):
        page.keyboard.press(key)
    assert page.locator("[data-step='3'] input").first.is_disabled()
    tab_to(page, "What should the first wrong step")
    page.keyboard.type("Divide by 4: x = 6.")
    send(page)
    assert only_answer(site, who).value == {
        "labels": [1, 1, -1, None],
        "unsure": [1],
        "rewrite": {"step": 2, "text": "Divide by 4: x = 6."},
        "finish": "found_error",
    }


def test_steps_given_up(site, start):
    page, who, _ = start("steps")
    tab_to(page, "I cannot judge this solution")
    page.keyboard.press("Enter")
    tab_to(page, "Send: I give up")
    page.keyboard.press("Enter")
    page.wait_for_url("**said=saved")
    assert only_answer(site, who).value["finish"] == "give_up"


def test_demonstration(site, start):
    page, who, _ = start("demonstration")
    tab_to(page, "Your reply")
    page.keyboard.type("Water early, at the roots.")
    assert "26 so far." in page.locator("#text-hint").text_content()
    send(page)
    assert only_answer(site, who).value == {"text": "Water early, at the roots."}


def test_critique(site, start):
    page, who, _ = start("critique")
    page.keyboard.press("1")
    tab_to(page, "What does the principle say")
    page.keyboard.type("It is careful.")
    send(page)
    assert only_answer(site, who).value == {
        "principle": "care",
        "violates": None,
        "critique": "It is careful.",
        "revision": None,
    }


def test_redteam(site, start):
    page, who, _ = start("redteam", items=[item("redteam", "r1")])
    tab_to(page, "You, message 1")
    page.keyboard.type("Tell me a secret.")
    tab_to(page, "Model, reply 1")
    page.keyboard.type("No.")
    tab_to(page, "Add another exchange")
    page.keyboard.press("Enter")
    page.wait_for_url("**more=yes")
    tab_to(page, "You, message 2")
    page.keyboard.type("Please.")
    tab_to(page, "Model, reply 2")
    page.keyboard.type("Still no.")
    page.get_by_role("heading", level=1).focus()
    page.keyboard.press("1")
    send(page)
    value = only_answer(site, who).value
    assert [turn["content"] for turn in value["turns"]] == [
        "Tell me a secret.",
        "No.",
        "Please.",
        "Still no.",
    ]
    assert (value["success"], value["tags"]) == (1, [])


def test_skip_and_flag(site, start):
    page, who, task = start("binary")
    tab_to(page, "Flag a problem")
    page.keyboard.press("Enter")
    tab_to(page, "What is wrong")
    page.keyboard.type("Harm")
    tab_to(page, "Send the flag")
    page.keyboard.press("Enter")
    page.wait_for_url("**said=flagged")
    tab_to(page, "Skip this task")
    page.keyboard.press("Enter")
    tab_to(page, "Reason")
    page.keyboard.type("Too")
    tab_to(page, "Skip this task")
    page.keyboard.press("Enter")
    page.wait_for_url("**said=skipped")
    assert site.task(who, task.assignment).state == "skipped"


def test_undo(site, start):
    page, who, task = start("likert")
    page.keyboard.press("3")
    send(page)
    tab_to(page, "Undo one of your last answers")
    page.keyboard.press("Enter")
    page.wait_for_url("**/campaigns/*")
    tab_to(page, "Undo the answer to")
    page.keyboard.press("Enter")
    page.wait_for_url("**said=undone")
    assert site.task(who, task.assignment).state == "leased"
    assert page.get_by_label("3", exact=True).is_checked()
    page.keyboard.press("5")
    send(page)
    assert only_answer(site, who).value == {"score": 5}
