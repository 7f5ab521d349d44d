"""A campaign as a YAML file: what `fairlead feedback new` makes."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, cast, get_args

import yaml
from pydantic import Field, ValidationError

from fairlead.core.errors import ConfigError, DataError
from fairlead.feedback import campaign_items, campaigns
from fairlead.feedback.campaign_items import NewItem
from fairlead.feedback.campaigns import CampaignSettings
from fairlead.feedback.permissions import LOCAL, Role
from fairlead.feedback.store import Store
from fairlead.feedback.work import sentences
from fairlead.records import Record


class Plan(Record):
    """A campaign and what belongs to it."""

    project: str
    """Made if there is none of this name."""
    campaign: str
    settings: CampaignSettings
    guideline: str = ""
    guideline_file: Path | None = None
    """Instead of `guideline`; relative to the plan."""
    items: Path | None = None
    """JSON Lines, one item per line; relative to the plan."""
    state: Literal["draft", "open"] = "open"
    seed: int | None = Field(default=None, ge=0, lt=2**62)
    """Of all random choices; None for one that nobody can guess."""


class Done(Record):
    """What carrying out a plan came to."""

    campaign: int
    state: str
    guideline_version: int
    added: int
    known: int


def read_plan(file: Path) -> Plan:
    """A plan from a YAML file, with its paths made whole.

    Raises:
        ConfigError: the file cannot be read, or a field does not fit.
    """
    try:
        found: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
        plan = Plan.model_validate(found)
    except OSError as error:
        raise ConfigError("the file cannot be read", where=str(file), got=str(error)) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError("this is not YAML", where=str(file), got=str(error)) from error
    except ValidationError as error:
        raise ConfigError(
            "the plan of a campaign does not fit",
            where=str(file),
            expected="project, campaign, settings: {work: {kind: ...}}",
            got="; ".join(sentence for _, sentence in sentences(error)),
        ) from error
    if plan.guideline and plan.guideline_file:
        raise ConfigError("one guideline, please", where=f"{file}: guideline, guideline_file")
    folder = file.parent
    return plan.model_copy(
        update={
            "guideline_file": plan.guideline_file and folder / plan.guideline_file,
            "items": plan.items and folder / plan.items,
        }
    )


def carry_out(store: Store, plan: Plan, *, now: datetime) -> Done:
    """Makes what is missing of a plan; a second time changes nothing.

    Raises:
        ConfigError: the campaign is there with other settings.
        DataError: an item does not fit.
    """
    text = _guideline(plan)
    items = list(_items(plan.items)) if plan.items else []
    project = _project(store, plan.project, now)
    campaign = _campaign(store, project, plan, now)
    versions = campaigns.list_guidelines(store, LOCAL, campaign)
    if text and (not versions or versions[-1].text != text):
        campaigns.add_guideline(store, LOCAL, campaign, text, now=now)
    added = campaign_items.add_items(store, LOCAL, campaign, items, now=now)
    info = campaigns.get_campaign(store, LOCAL, campaign)
    if info.state == "draft" and plan.state == "open":
        campaigns.set_campaign_state(store, LOCAL, campaign, "open", now=now)
        info = campaigns.get_campaign(store, LOCAL, campaign)
    return Done(
        campaign=campaign,
        state=info.state,
        guideline_version=info.guideline_version,
        added=added.added,
        known=added.known,
    )


def project_named(store: Store, name: str) -> int:
    """The number of a project.

    Raises:
        ConfigError: there is none of this name.
    """
    known = {one.name: one.id for one in campaigns.list_projects(store, LOCAL)}
    if name not in known:
        raise ConfigError(
            "there is no such project",
            where="--project",
            expected=", ".join(known) or "a project, made with `fairlead feedback new`",
            got=name,
        )
    return known[name]


def known_role(name: str) -> Role:
    """A role by name.

    Raises:
        ConfigError: there is none of this name.
    """
    if name not in get_args(Role):
        raise ConfigError(
            "no such role", where="--role", expected=", ".join(get_args(Role)), got=name
        )
    return cast(Role, name)


# Parts


def _guideline(plan: Plan) -> str:
    if plan.guideline_file is None:
        return plan.guideline
    try:
        return plan.guideline_file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            "the guideline cannot be read", where=str(plan.guideline_file), got=str(error)
        ) from error


def _items(file: Path) -> Iterator[NewItem]:
    try:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _item(line, f"{file}:{number}")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError("the items cannot be read", where=str(file), got=str(error)) from error


def _item(line: str, where: str) -> NewItem:
    try:
        return NewItem.model_validate_json(line)
    except ValidationError as error:
        raise DataError(
            "not an item",
            where=where,
            expected="external_id, messages, candidates, ...",
            got="; ".join(sentence for _, sentence in sentences(error)),
        ) from error


def _project(store: Store, name: str, now: datetime) -> int:
    known = {one.name: one.id for one in campaigns.list_projects(store, LOCAL)}
    wanted = " ".join(name.split())
    return known.get(wanted) or campaigns.create_project(store, LOCAL, name, now=now)


def _campaign(store: Store, project: int, plan: Plan, now: datetime) -> int:
    wanted = " ".join(plan.campaign.split())
    for one in campaigns.list_campaigns(store, LOCAL, project=project):
        if one.name == wanted:
            if one.settings != plan.settings:
                raise ConfigError(
                    "a campaign of this name is there with other settings",
                    where=f"{plan.project}/{plan.campaign}",
                    remedy="give it another name, or change it on its page",
                )
            return one.id
    return campaigns.create_campaign(
        store, LOCAL, project, plan.campaign, plan.settings, seed=plan.seed, now=now
    )
