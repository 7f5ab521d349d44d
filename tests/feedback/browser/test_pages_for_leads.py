"""What leads, owners and people themselves decide on pages; taking away is always asked again."""

import pytest
from labelling_site import PASSWORD

from fairlead.feedback import accounts, assignment, campaign_items, campaigns, logins, profiles
from fairlead.feedback.permissions import LOCAL


@pytest.fixture
def owner(site):
    return site.person("owner")


def say_yes(page, name):
    """The question is asked, and answered."""
    page.get_by_role("button", name=name).click()


def test_owner_makes_project_campaign_and_invitation(site, visit, owner):
    page = visit(owner, "/lead", java_script_enabled=False)
    name = f"Kitchen {owner.pseudonym}"
    page.get_by_role("textbox", name="Name").last.fill(name)
    page.get_by_role("button", name="Make the project").click()
    part = page.get_by_role("region", name=name)
    part.get_by_text("New campaign").click()
    part.get_by_label("Name").fill("Recipes")
    part.get_by_label("Kind of work").select_option("pairwise")
    part.get_by_label("People per item").fill("3")
    part.get_by_label("More settings").fill('{"gold_rate": 2}')
    part.get_by_role("button", name="Make the campaign").click()
    assert "gold_rate" in page.get_by_role("alert").text_content()
    part.get_by_text("New campaign").click()
    part.get_by_label("Name").fill("Recipes")
    part.get_by_label("Kind of work").select_option("pairwise")
    part.get_by_label("More settings").fill('{"work": {"strengths": ["slightly", "much"]}}')
    part.get_by_role("button", name="Make the campaign").click()
    made = campaigns.find_campaign(site.store, LOCAL, f"{name}/Recipes")
    assert made.settings.work.strengths == ("slightly", "much") and made.state == "draft"
    page.get_by_role("button", name="Open it").click()
    assert campaigns.get_campaign(site.store, LOCAL, made.id).state == "open"
    page.goto(f"{site.url}/lead")
    page.get_by_role("button", name=f"Invite an annotator to {name}").click()
    link = page.get_by_label("Link").input_value()
    assert link.startswith(f"{site.url}/invite/")
    secret = link.rpartition("/")[2]
    assert accounts.invitation_role(site.store, secret, now=site.now()) == "annotator"


def test_closing_a_campaign_is_asked_again(site, visit, owner):
    campaign = site.campaign("binary")
    page = visit(owner, f"/lead/campaigns/{campaign}", java_script_enabled=False)
    page.get_by_role("button", name="Close it").click()
    assert campaigns.get_campaign(site.store, LOCAL, campaign).state == "open"
    page.get_by_role("button", name="Yes, set it to closed").click()
    assert campaigns.get_campaign(site.store, LOCAL, campaign).state == "closed"


def test_flags_people_items_and_guidelines(site, visit, owner):
    campaign = site.campaign("binary", skip_limit=1)
    who = site.person()
    task = site.claim(who, campaign)
    assignment.flag(site.store, who, task.assignment, "harmful", note="Look here", now=site.now())
    assignment.skip(site.store, who, task.assignment, "broken", now=site.now())
    page = visit(owner, f"/lead/campaigns/{campaign}/flags", java_script_enabled=False)
    assert page.get_by_text("Look here").is_visible()
    page.get_by_role("button", name="Resolved").click()
    assert page.get_by_text("There are no open flags.").is_visible()
    page.get_by_role("link", name="Items").click()
    page.get_by_role("button", name="Reopen item 1").click()
    assert campaign_items.list_items(site.store, LOCAL, campaign)[0].state == "open"
    page.get_by_role("link", name="People").click()
    page.get_by_label(f"Why {who.pseudonym} is paused").fill("too fast")
    page.get_by_role("button", name=f"Pause {who.pseudonym}").click()
    page.get_by_role("button", name="Pause", exact=True).click()
    assert page.get_by_text("too fast").is_visible()
    assert site.claim(who, campaign).why == "waiting"
    page.get_by_role("button", name=f"Let go on {who.pseudonym}").click()
    page.get_by_role("link", name="Progress").click()
    page.get_by_text("New version").click()
    page.get_by_label("Text, in Markdown").fill("Second thoughts.")
    page.get_by_role("button", name="Publish version 2").click()
    assert site.claim(site.person(), campaign).guideline.text == "Second thoughts."


def test_quality_page(site, visit, owner):
    campaign = site.campaign("binary", items=4, overlap=3)
    for i in range(3):
        who = site.person()
        for n in range(4):
            site.answer(who, site.claim(who, campaign), {"good": n % 2 == 0 or i == 0})
    page = visit(owner, f"/lead/campaigns/{campaign}/quality", java_script_enabled=False)
    rows = dict(
        zip(*(page.locator(f"tbody {t}").all_text_contents() for t in ("th", "td")), strict=True)
    )
    # Two items unanimous; two with one pair of three agreeing: (1 + 1 + 1/3 + 1/3) / 4.
    assert rows["percent"].startswith("0.667")


def test_annotators_do_not_see_lead_pages(site, visit):
    campaign = site.campaign("binary")
    page = visit(site.person(), "/")
    for path in (
        "/lead",
        f"/lead/campaigns/{campaign}",
        f"/lead/campaigns/{campaign}/people",
        "/lead/people",
    ):
        assert page.goto(site.url + path).status in (403, 404)
    assert page.get_by_role("link", name="Lead", exact=True).count() == 0


def test_password_and_key(site, visit):
    who = site.person()
    page = visit(who, "/profile", java_script_enabled=False)
    page.get_by_label("Name of the program").fill("my script")
    page.get_by_label("answer tasks").check()
    page.get_by_role("button", name="Make a key").click()
    key = page.get_by_label("Secret").input_value()
    assert logins.token_actor(site.store, key, now=site.now()).scopes == {"label"}
    page.goto(f"{site.url}/profile")
    assert key not in page.content()
    page.get_by_role("button", name="Revoke my script").click()
    page.get_by_role("button", name="Revoke the key").click()
    assert "revoked" in page.locator("main").text_content()
    page.get_by_label("Old password").fill(PASSWORD)
    page.get_by_label("New password", exact=True).fill("another password")
    page.get_by_label("New password again").fill("another password")
    page.get_by_role("button", name="Change my password").click()
    assert "Your password is changed." in page.locator(".notice").text_content()
    now = site.now()
    assert logins.login(site.store, site.login_of(who), "another password", now=now).token


def test_groups_and_opting_out(site, visit):
    who = site.person()
    campaign = site.campaign("binary", content_warning="Rude words.")
    page = visit(who, "/profile", java_script_enabled=False)
    page.get_by_label("What you wish to say about yourself").fill("country: Chile\nage: 30 to 39")
    page.get_by_role("button", name="Save").last.click()
    page.get_by_label("Give me no work").check()
    page.get_by_role("button", name="Save").first.click()
    found = profiles.profile(site.store, who)
    assert found.groups == {"country": "Chile", "age": "30 to 39"} and found.content_opt_out
    page.goto(f"{site.url}/campaigns/{campaign}")
    page.get_by_role("button", name="Start").click()
    assert page.get_by_role("heading", level=1).text_content() == "Not for you"


def test_withdrawing_and_forgetting_are_asked_again(site, visit):
    who = site.person()
    campaign = site.campaign("binary")
    site.answer(who, site.claim(who, campaign), {"good": True}, reason="because")
    page = visit(who, "/profile", java_script_enabled=False)
    page.get_by_role("button", name="Withdraw my work").click()
    assert site.stored(who)[0].state == "counted"
    page.get_by_role("button", name="Withdraw my work").click()
    assert page.get_by_role("heading", level=1).text_content() == "Your work is withdrawn"
    assert [(one.state, one.value, one.reason) for one in site.stored(who)] == [
        ("withdrawn", None, "")
    ]
    page.goto(f"{site.url}/profile")
    page.get_by_role("button", name="Forget me").click()
    page.get_by_role("button", name="Forget me").click()
    assert page.get_by_role("heading", level=1).text_content() == "Your account is deleted"
    page.goto(f"{site.url}/profile")
    assert "/login" in page.url


def test_consent_is_asked_before_work(site, visit, owner):
    campaign = site.campaign("binary")
    page = visit(owner, "/lead/people", java_script_enabled=False)
    page.get_by_label("Text, in Markdown").fill("Answers are kept for **two** years.")
    page.get_by_role("button", name="Publish a new version").click()
    page.get_by_role("button", name="Publish the text").click()
    try:
        work = visit(site.person(), f"/campaigns/{campaign}", java_script_enabled=False)
        work.get_by_role("button", name="Start").click()
        assert work.get_by_role("heading", level=1).text_content() == "Please agree first"
        work.get_by_role("link", name="Read the text").click()
        assert work.locator("strong", has_text="two").count() == 1
        work.get_by_role("button", name="I agree").click()
        work.get_by_role("button", name="Start").click()
        assert "/tasks/" in work.url
    finally:
        site.without_consent()
