"""Who may do what: one function that everything asks."""

from dataclasses import dataclass
from typing import Literal

from fairlead.feedback.errors import Missing, Refused

Role = Literal["owner", "lead", "annotator"]
Scope = Literal["label", "read", "manage", "export", "identity"]

Action = Literal[
    "work",  # claim, answer, skip, flag
    "see_own",  # one's own assignments, answers, progress
    "erase_own",
    "see_project",  # its campaigns and guidelines
    "see_answers",  # answers of others, progress, quality, flags
    "manage",  # campaigns, items, guidelines, members of a project
    "invite",  # annotators into a project
    "export",
    "see_identity",  # which login a pseudonym belongs to
    "erase_others",
    "administer",  # projects, accounts, consent texts, webhooks, audit
]


@dataclass(frozen=True)
class Actor:
    """Somebody who is logged in, as far as permissions go."""

    pseudonym: str
    role: Role
    projects: frozenset[int] = frozenset()
    """Projects they belong to; owners need none."""
    account_id: int | None = None
    scopes: frozenset[str] | None = None
    """What their token is for; None for everything their role may do."""


@dataclass(frozen=True)
class Thing:
    """What is acted on, as far as permissions go."""

    project: int | None = None
    owner: str | None = None
    """Pseudonym of the person it belongs to."""
    name: str = ""
    """For messages: `campaign 3`."""


LOCAL = Actor("local", "owner")
"""Who uses the command line on the machine where the database lies."""

_ROLES: dict[Action, frozenset[Role]] = {
    "work": frozenset({"owner", "lead", "annotator"}),
    "see_own": frozenset({"owner", "lead", "annotator"}),
    "erase_own": frozenset({"owner", "lead", "annotator"}),
    "see_project": frozenset({"owner", "lead", "annotator"}),
    "see_answers": frozenset({"owner", "lead"}),
    "manage": frozenset({"owner", "lead"}),
    "invite": frozenset({"owner", "lead"}),
    "export": frozenset({"owner", "lead"}),
    "see_identity": frozenset({"owner"}),
    "erase_others": frozenset({"owner"}),
    "administer": frozenset({"owner"}),
}
_SCOPES: dict[Action, Scope] = {
    "work": "label",
    "see_own": "label",
    "erase_own": "label",
    "see_project": "read",
    "see_answers": "read",
    "manage": "manage",
    "invite": "manage",
    "export": "export",
    "see_identity": "identity",
    "erase_others": "manage",
    "administer": "manage",
}
_PERSONAL: frozenset[Action] = frozenset({"see_own", "erase_own"})
_ALL_PROJECTS: frozenset[Action] = frozenset({"see_identity", "erase_others", "administer"})


def may(actor: Actor, action: Action, thing: Thing) -> bool:
    """Whether an actor may do something to one thing.

    A role gives an action; a token must be for it; what is personal must be one's own; what belongs
    to a project needs membership, except for owners.
    """
    if actor.role not in _ROLES[action]:
        return False
    if actor.scopes is not None and not _scope_fits(actor.scopes, action):
        return False
    if action in _PERSONAL or (action == "work" and thing.owner is not None):
        return thing.owner == actor.pseudonym
    if action in _ALL_PROJECTS or actor.role == "owner":
        return True
    return thing.project is not None and thing.project in actor.projects


def _scope_fits(scopes: frozenset[str], action: Action) -> bool:
    # Somebody who labels through the API must be able to read what they are to label.
    return _SCOPES[action] in scopes or (action == "see_project" and "label" in scopes)


def require(actor: Actor, action: Action, thing: Thing) -> None:
    """Stops whoever may not.

    Raises:
        Missing: they may not even know of the thing.
        Refused: they may see it but not do this.
    """
    if may(actor, action, thing):
        return
    visible = may(actor, "see_project", thing) and thing.owner in (None, actor.pseudonym)
    if thing.name and not visible:
        raise missing(thing.name)
    raise Refused(
        "not allowed",
        where=thing.name,
        expected=f"the right to {action.replace('_', ' ')}",
        got=f"role {actor.role}" + _scope_note(actor),
        remedy="ask the owner of this server",
    )


def missing(name: str) -> Missing:
    """The error for a thing that is not there, or not for the one who asks."""
    return Missing("there is no such thing", where=name, remedy="check the address")


def _scope_note(actor: Actor) -> str:
    return "" if actor.scopes is None else f", token for {', '.join(sorted(actor.scopes))}"
