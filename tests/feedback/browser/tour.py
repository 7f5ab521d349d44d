"""Every page of the service once, with people and answers in it: for axe and for screenshots."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from labelling_site import SCENE, WORKS, Site, item

from fairlead.feedback import accounts, assignment, campaigns
from fairlead.feedback.permissions import LOCAL, Actor

NAMES = {
    "pairwise": "Tomatoes: which reply?",
    "ranking": "Tomatoes: four replies",
    "likert": "Balcony talk",
    "ratings": "Helpful, harmless, honest",
    "binary": "Good or bad advice",
    "steps": "Word problems",
    "demonstration": "Write it yourself",
    "critique": "Two principles",
    "redteam": "Break it",
}


QUESTIONS = (
    SCENE,
    "How often does a lemon tree in a pot need water in summer?",
    "My basil wilts every afternoon and recovers at night. Is it ill?",
    "Is rain water better for blueberries than water from the tap?",
    "Can I water orchids with ice cubes?",
    "How do I keep my plants alive during two weeks of holidays?",
)


@dataclass(frozen=True)
class Stop:
    """A page and how to get there."""

    name: str
    path: str
    who: Actor | None
    act: Callable[[Any], None] | None = None
    """What is done on the page of that path to come to the one that is meant."""


def build(site: Site) -> list[Stop]:
    """Fills a server and lists its pages."""
    owner = site.person("owner", "olga", "p2c9e71d05ab3f486")
    worker = site.person("annotator", "maria", "p7f3a90c4e1d8b265")
    others = [site.person(login=f"helper{i}", pseudonym=f"p{i}d48a6b0c3e975f1") for i in range(3)]
    made = {kind: _campaign(site, kind) for kind in WORKS}
    tasks = {kind: site.claim(worker, campaign) for kind, campaign in _last_first(made)}
    _answers(site, made["pairwise"], [worker, *others])
    tasks["pairwise"] = site.claim(worker, made["pairwise"])
    flagged = site.claim(others[0], made["binary"])
    assignment.flag(
        site.store,
        others[0],
        flagged.assignment,
        "names_itself",
        note="The reply says who wrote it.",
        now=site.now(),
    )
    campaigns.set_participation(
        site.store,
        LOCAL,
        made["pairwise"],
        others[2].pseudonym,
        "paused",
        why="asked to",
        now=site.now(),
    )
    secret = accounts.invite(site.store, owner, "annotator", project=site.project, now=site.now())
    lead = f"/lead/campaigns/{made['pairwise']}"
    work = [
        Stop(f"task-{kind}", f"/tasks/{task.assignment}", worker) for kind, task in tasks.items()
    ]
    return [
        Stop("login", "/login", None),
        Stop("invitation", f"/invite/{secret}", None),
        Stop("home", "/", worker),
        Stop("campaign", f"/campaigns/{made['pairwise']}", worker),
        *work,
        Stop("task-problem", f"/tasks/{tasks['likert'].assignment}", worker, _send),
        Stop("nothing", f"/campaigns/{made['binary']}/nothing?why=empty", worker),
        Stop("profile", "/profile", worker),
        Stop("confirm", "/profile", worker, _withdraw),
        Stop("error", "/tasks/999999", worker),
        Stop("consent", "/consent", worker),
        Stop("kept", f"/tasks/{tasks['demonstration'].assignment}", worker, _lose_session),
        Stop("lead-projects", "/lead", owner),
        Stop("lead-accounts", "/lead/people", owner),
        Stop("lead-link", "/lead", owner, _invite),
        Stop("lead-campaign", lead, owner),
        Stop("lead-items", f"{lead}/items", owner),
        Stop("lead-people", f"{lead}/people", owner),
        Stop("lead-flags", f"/lead/campaigns/{made['binary']}/flags", owner),
        Stop("lead-quality", f"{lead}/quality", owner),
    ]


def _campaign(site: Site, kind: str) -> int:
    more: dict[str, Any] = {"overlap": 4}
    if kind == "redteam":
        more["content_warning"] = "You may read and write what hurts. Stop whenever you like."
    if kind == "pairwise":
        more["markdown"] = True
    # Where three are answered, the fourth is what the replies are about.
    texts = QUESTIONS[3:] + QUESTIONS[:3] if kind == "pairwise" else QUESTIONS
    items = [item(kind, f"garden-{i + 1}", text, stratum="random") for i, text in enumerate(texts)]
    return site.campaign(kind, items, name=NAMES[kind], **more)


def _last_first(made: dict[str, int]) -> list[tuple[str, int]]:
    """A person holds two tasks at most, but may look at any they had."""
    return [(kind, campaign) for kind, campaign in made.items() if kind != "pairwise"]


def _answers(site: Site, campaign: int, people: list[Actor]) -> None:
    for i, who in enumerate(people):
        for n in range(5 if i else 3):
            task = site.claim(who, campaign)
            short = min(task.candidates, key=lambda one: len(one.text)).id
            long = max(task.candidates, key=lambda one: len(one.text)).id
            differs = (i, n) in ((1, 3), (2, 4))
            strength = 1 + (n + differs) % 3
            value = {"preferred": long if n == 2 or differs else short, "strength": strength}
            if (i, n) == (1, 2):
                value = {"preferred": None}
            site.answer(who, task, value, active_ms=20_000 + 3000 * n)


def _send(page) -> None:
    page.get_by_role("button", name="Send", exact=True).click()
    page.locator("[data-problems]").wait_for()


def _withdraw(page) -> None:
    page.get_by_role("button", name="Withdraw my work").click()
    page.get_by_role("heading", name="Withdraw all your work?").wait_for()


def _invite(page) -> None:
    page.get_by_role("button", name="Invite an annotator").first.click()
    page.get_by_role("heading", name="A link, shown once").wait_for()


def _lose_session(page) -> None:
    page.get_by_label("Your reply").fill("Water early.")
    page.context.clear_cookies()
    page.get_by_role("button", name="Save draft").click()
    page.get_by_role("heading", name="Log in again").first.wait_for()
