"""Answers that nobody was asked for: people who use a model say what they think of a reply.

Item and answer come together, so nobody claims anything: the item is made for the person and theirs
alone. From there on it is an item like any other, with its assignment, revisions and audit, and an
export finds it as it finds all.
"""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead.core.seeds import Seed
from fairlead.feedback import answers
from fairlead.feedback.accounts import person_behind
from fairlead.feedback.answers import Receipt
from fairlead.feedback.assignment import lease_item
from fairlead.feedback.campaign_items import NewItem, item_named
from fairlead.feedback.campaigns import campaign_row, settings_of
from fairlead.feedback.errors import Conflict
from fairlead.feedback.permissions import LOCAL, Actor
from fairlead.feedback.store import Store
from fairlead.feedback.store.tables import Candidate
from fairlead.feedback.work import Value


def remark(
    store: Store,
    campaign: int,
    item: NewItem,
    value: Value,
    *,
    person: str,
    key: str = "",
    reason: str = "",
    now: datetime,
) -> Receipt:
    """Stores what a person says of an item of their own, once, however often it is sent.

    Sent again with another value it is a revision, while it is among the person's last ten.

    Args:
        store: the database.
        campaign: an open campaign that asks this kind of question.
        item: what it is about; its external id is completed, so that each person has an item.
        value: the answer; replies are named by index, from 0.
        person: who says so, in the words of the program that asks; becomes an account without a
            password, whose pseudonym is random. All who are not named share one.
        key: tells several answers of a person to one item apart.
        reason: why, in free text.
        now: the time.

    Raises:
        InvalidAnswer: the value does not fit the work.
        AnswerConflict: another answer is stored and can no longer be revised.
        Conflict: the campaign is not open, or an item of this name has other content.
        Refused: a lead has paused this person.
    """

    def prepare(session: Session) -> tuple[Actor, int, str, Value]:
        row = campaign_row(session, LOCAL, "manage", campaign)
        if row.state != "open":
            raise Conflict(
                "the campaign takes no answers now",
                where=f"campaign {row.name}",
                expected="an open one",
                got=row.state,
                remedy="open it on its page",
            )
        pseudonym = person_behind(session, person, now=now)
        # A number of chance: names of items leave with exports, the store's pseudonyms do not.
        own = Seed(row.seed).child("unasked", pseudonym, item.external_id, key).value
        named = item.model_copy(update={"external_id": f"{item.external_id}/{own:016x}"})
        stored = item_named(session, row, named, now=now)
        assignment = lease_item(session, row, stored, pseudonym, now=now)
        ids = session.scalars(
            select(Candidate.id).where(Candidate.item_id == stored.id).order_by(Candidate.idx)
        ).all()
        answer = settings_of(row).work.renamed(value, lambda index: ids[index])
        return Actor(pseudonym, "annotator"), assignment.id, assignment.client_key, answer

    actor, assignment, client_key, answer = store.transact(prepare)
    return answers.submit(
        store,
        actor,
        assignment,
        client_key=client_key,
        value=answer,
        reason=reason,
        ui_version="serve",
        now=now,
    )
