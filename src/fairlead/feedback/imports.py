"""Records become items of a campaign, whatever public format they were read from.

What the source said (chosen, rank, score) stands beside an item as a suggestion of the agent
`source`, becomes its accepted answer (gold), or is dropped. The order of an item's replies is
shuffled, so that the first is not the one the source preferred.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from fairlead.core.errors import DataError
from fairlead.core.files import sha256_json
from fairlead.core.seeds import Seed
from fairlead.feedback.campaign_items import (
    NewBatch,
    NewCandidate,
    NewItem,
    NewSuggestion,
    add_items,
    check_item,
)
from fairlead.feedback.campaigns import CampaignInfo, get_campaign
from fairlead.feedback.permissions import Actor
from fairlead.feedback.privacy.pii import PersonalData, Policy, Scan, find
from fairlead.feedback.store import Store
from fairlead.feedback.work import Kind, Likert, Ratings, Value, sentences
from fairlead.records import (
    Comparison,
    Critique,
    Demonstration,
    Problem,
    Prompt,
    Provenance,
    Ranking,
    Rating,
    Record,
    StepLabels,
    Verdict,
)

Labels = Literal["suggestion", "gold", "drop"]
"""What becomes of the source's own labels."""
SOURCE = "source"
"""Agent of suggestions that repeat what the source said."""


class RefusedRow(BaseModel):
    """A row that did not become an item, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    where: str
    why: str


class ImportReport(BaseModel):
    """What became of the rows of a source."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    added: int
    known: int
    """Items that were there already with the same content."""
    refused: tuple[RefusedRow, ...]
    personal_data: PersonalData

    @property
    def reasons(self) -> dict[str, int]:
        """Refused rows by reason."""
        return dict(Counter(one.why for one in self.refused).most_common())


@dataclass(frozen=True)
class _Draft:
    """An item before it is known whether it fits."""

    where: str
    item: NewItem | None
    why: str = ""
    """Why there is none."""


def import_records(
    store: Store,
    actor: Actor,
    campaign: int,
    records: Sequence[Record],
    *,
    labels: Labels = "suggestion",
    pii: Policy = "report",
    refused: Iterable[RefusedRow] = (),
    batch: NewBatch | None = None,
    now: datetime,
) -> ImportReport:
    """Adds what fits the campaign's kind of work; the rest is listed with reasons.

    Comparisons, rankings and ratings become pairs (of a ranking or of several ratings of one
    prompt, all pairs), rankings, or single replies to judge; judged solutions become steps; of
    anything the prompt alone becomes a demonstration to write or a start for a red team.

    Args:
        store: the database.
        actor: who imports.
        campaign: where to.
        records: what was read.
        labels: what becomes of the source's own labels.
        pii: what becomes of texts with personal data.
        refused: rows that were refused before, to be in the report.
        batch: how the items were selected.
        now: the time.

    Raises:
        Conflict: an item of the same external id is there with other content.
        Refused: the actor may not add items.
    """
    info = get_campaign(store, actor, campaign)
    drafts = _drafts(records, info, labels)
    return _import(store, actor, info, drafts, pii, refused, batch, now)


def import_items(
    store: Store,
    actor: Actor,
    campaign: int,
    rows: Iterable[tuple[str, Mapping[str, Any]]],
    *,
    pii: Policy = "report",
    refused: Iterable[RefusedRow] = (),
    batch: NewBatch | None = None,
    now: datetime,
) -> ImportReport:
    """Adds items as `NewItem` describes them: with models, gold, priorities, suggestions.

    Args:
        store: the database.
        actor: who imports.
        campaign: where to.
        rows: (where it stands, the row) of each item.
        pii: what becomes of texts with personal data.
        refused: rows that were refused before, to be in the report.
        batch: how the items were selected.
        now: the time.

    Raises:
        Conflict: an item of the same external id is there with other content.
        Refused: the actor may not add items.
    """
    info = get_campaign(store, actor, campaign)
    drafts = [_parsed(where, row) for where, row in rows]
    return _import(store, actor, info, drafts, pii, refused, batch, now)


def _parsed(where: str, row: Mapping[str, Any]) -> _Draft:
    try:
        return _Draft(where, NewItem.model_validate(dict(row)))
    except ValidationError as error:
        return _Draft(where, None, "; ".join(sentence for _, sentence in sentences(error)))


def _import(
    store: Store,
    actor: Actor,
    info: CampaignInfo,
    drafts: Sequence[_Draft],
    pii: Policy,
    refused: Iterable[RefusedRow],
    batch: NewBatch | None,
    now: datetime,
) -> ImportReport:
    scan, gone, items = Scan(pii), list(refused), dict[str, NewItem]()
    contents: dict[str, str] = {}
    for draft in drafts:
        item, why = _checked(draft, info.settings.work, scan, contents)
        if item is None:
            gone.append(RefusedRow(where=draft.where, why=why))
        else:
            items[item.external_id] = item
    added = add_items(store, actor, info.id, items.values(), now=now, batch=batch)
    return ImportReport(
        added=added.added,
        known=added.known,
        refused=tuple(gone),
        personal_data=scan.report(),
    )


def _checked(
    draft: _Draft, work: Kind, scan: Scan, contents: dict[str, str]
) -> tuple[NewItem | None, str]:
    """The item as it will be stored, or why it is refused."""
    if draft.item is None:
        return None, draft.why
    content = sha256_json(_content(draft.item))
    if content in contents:
        return None, "the same prompt and replies as an earlier row"
    item = _scanned(draft.item, scan)
    if scan.policy == "refuse" and (found := item.meta.get("personal_data")):
        return None, "personal data: " + ", ".join(found)
    try:
        check_item(work, item)
    except DataError as error:
        return None, error.got
    contents[content] = draft.where
    return item, ""


def _content(item: NewItem) -> list[Any]:
    messages = [message.model_dump() for message in item.messages]
    return [messages, sorted(one.text for one in item.candidates), item.role]


def _scanned(item: NewItem, scan: Scan) -> NewItem:
    """The item with its texts looked through; what was found is noted in `meta`."""
    name = item.external_id
    messages = tuple(
        m.model_copy(update={"content": scan.text(m.content, f"{name}, message {i + 1}")})
        for i, m in enumerate(item.messages)
    )
    candidates = tuple(
        one.model_copy(
            update={
                "text": scan.text(one.text, f"{name}, reply {i + 1}"),
                "steps": tuple(scan.text(s, f"{name}, a step") for s in one.steps),
            }
        )
        for i, one in enumerate(item.candidates)
    )
    texts = [m.content for m in item.messages]
    texts += [text for one in item.candidates for text in (one.text, *one.steps)]
    kinds = sorted({hit.kind for text in texts for hit in find(text)})
    meta = {**item.meta, "personal_data": kinds} if kinds else item.meta
    return item.model_copy(update={"messages": messages, "candidates": candidates, "meta": meta})


# From records to items


@dataclass(frozen=True)
class _Judged:
    """Replies to one prompt with what the source said of them."""

    prompt: Prompt
    replies: tuple[NewCandidate, ...]
    ranks: tuple[float, ...] | None = None
    """Smaller is better; None where the source did not compare."""
    values: tuple[float | None, ...] = ()
    scores: tuple[dict[str, float], ...] = ()
    labels: tuple[int | None, ...] = ()
    """Of the steps of a single reply."""


def _drafts(records: Sequence[Record], info: CampaignInfo, labels: Labels) -> list[_Draft]:
    found: list[_Draft] = []
    used: Counter[str] = Counter()
    for judged in _judged(records, info.settings.work):
        for suffix, part in _parts(judged, info.settings.work):
            name = _name(judged.prompt.provenance) + suffix
            used[name] += 1
            name += f" ({used[name]})" if used[name] > 1 else ""
            found.append(_draft(name, part, info, labels))
    return found


def _judged(records: Sequence[Record], work: Kind) -> Iterator[_Judged]:
    """One per record; ratings of one prompt in one row belong together where replies compete."""
    rated: dict[tuple[Any, ...], list[Rating]] = {}
    for record in records:
        match record:
            case Rating() if work.most > 1:
                at = record.prompt.provenance
                key = (record.prompt.messages, at and (at.source, at.row))
                rated.setdefault(key, []).append(record)
            case _:
                yield _one(record)
    for ratings in rated.values():
        yield _Judged(
            ratings[0].prompt,
            tuple(NewCandidate(text=one.response) for one in ratings),
            ranks=tuple(-one.value for one in ratings),
            values=tuple(one.value for one in ratings),
            scores=tuple(one.scores for one in ratings),
        )


def _one(record: Record) -> _Judged:
    match record:
        case Comparison():
            replies = (NewCandidate(text=record.chosen), NewCandidate(text=record.rejected))
            return _Judged(record.prompt, replies, (0, 0) if record.tie else (0, 1))
        case Ranking():
            replies = tuple(NewCandidate(text=text) for text in record.responses)
            return _Judged(record.prompt, replies, tuple(map(float, record.ranks)))
        case Verdict():
            replies = tuple(NewCandidate(text=text) for text in record.responses)
            won = record.winner
            ranks = tuple(float(won is not None and i != won) for i in range(len(replies)))
            return _Judged(record.prompt, replies, ranks)
        case Rating():
            one = NewCandidate(text=record.response)
            return _Judged(record.prompt, (one,), None, (record.value,), (record.scores,))
        case StepLabels():
            one = NewCandidate(text="\n".join(record.steps), steps=record.steps)
            return _Judged(record.prompt, (one,), labels=record.labels)
        case Demonstration() | Critique():
            return _Judged(record.prompt, (NewCandidate(text=record.response),))
        case Problem():
            written = (NewCandidate(text=record.solution),) if record.solution else ()
            return _Judged(record.prompt, written)
        case Prompt():
            return _Judged(record, ())
        case _:
            raise DataError("a record without a prompt", got=type(record).__name__)


def _parts(judged: _Judged, work: Kind) -> Iterator[tuple[str, _Judged]]:
    """What is judged together under this kind of work, with the suffix of its name."""
    n = len(judged.replies)
    if work.most == 0 or work.kind == "demonstration":
        yield "", _Judged(judged.prompt, ())
    elif n > work.most:
        for places in combinations(range(n), work.most):
            yield "." + "-".join(str(i + 1) for i in places), _some(judged, places)
    else:
        yield "", judged


def _some(judged: _Judged, places: Sequence[int]) -> _Judged:
    def of(values: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(values[i] for i in places) if values else ()

    return _Judged(
        judged.prompt,
        of(judged.replies),
        None if judged.ranks is None else of(judged.ranks),
        of(judged.values),
        of(judged.scores),
        judged.labels,
    )


def _draft(name: str, judged: _Judged, info: CampaignInfo, labels: Labels) -> _Draft:
    seed = Seed(info.seed).child("import", name)
    places = seed.numpy().permutation(len(judged.replies)).tolist()
    shuffled = _some(judged, places)
    value = None if labels == "drop" else _source_value(shuffled, info.settings.work)
    if labels == "gold" and value is None:
        return _Draft(name, None, "the source has no answer to this question that could be gold")
    gold = labels == "gold"
    at = judged.prompt.provenance
    item = NewItem(
        external_id=name,
        messages=judged.prompt.messages,
        candidates=shuffled.replies,
        role="gold" if gold else "normal",
        accepted=(value,) if gold and value is not None else (),
        suggestions=() if gold or value is None else (NewSuggestion(value=value, agent=SOURCE),),
        meta=_meta(judged.prompt, at),
    )
    return _Draft(name, item)


def _meta(prompt: Prompt, at: Provenance | None) -> dict[str, Any]:
    meta: dict[str, Any] = {"subset": prompt.subset} if prompt.subset else {}
    return meta | ({} if at is None else at.model_dump(exclude_none=True))


def _name(at: Provenance | None) -> str:
    if at is None or at.row is None:
        return "record" if at is None else at.source[-150:]
    return f"{at.source[-150:]}#{at.row}"


def _source_value(judged: _Judged, work: Kind) -> Value | None:
    """What the source said as an answer to this work, in indices; None where it said nothing."""
    made = _VALUES.get(work.kind)
    return None if made is None else made(judged, work)


def _pair_value(judged: _Judged, work: Kind) -> Value | None:
    if judged.ranks is None or len(judged.ranks) != 2:
        return None
    one, two = judged.ranks
    better = None if one == two else int(two < one)
    worse = getattr(work, "polarity", "better") == "worse"
    return {"preferred": 1 - better if worse and better is not None else better}


def _ranking_value(judged: _Judged, work: Kind) -> Value | None:
    if judged.ranks is None:
        return None
    levels = sorted(set(judged.ranks), reverse=getattr(work, "polarity", "better") == "worse")
    return {"tiers": [[i for i, r in enumerate(judged.ranks) if r == level] for level in levels]}


def _likert_value(judged: _Judged, work: Kind) -> Value | None:
    assert isinstance(work, Likert)
    value = judged.values[0] if judged.values else None
    score = _level(value, work.levels)
    return None if score is None else {"score": score}


def _ratings_value(judged: _Judged, work: Kind) -> Value | None:
    assert isinstance(work, Ratings)
    scores = judged.scores[0] if judged.scores else {}
    known = {
        one.name: level
        for one in work.dimensions
        if (level := _level(scores.get(one.name), one.levels)) is not None
    }
    return {"scores": known} if known else None


def _level(value: float | None, levels: int) -> int | None:
    """A value that is a level of the scale; None for any other."""
    whole = value is not None and float(value).is_integer() and 1 <= value <= levels
    return int(value) if whole and value is not None else None


def _binary_value(judged: _Judged, work: Kind) -> Value | None:
    value = judged.values[0] if judged.values else None
    return {"good": value > 0} if value in (0.0, 1.0) else None


def _steps_value(judged: _Judged, work: Kind) -> Value | None:
    if not any(label is not None for label in judged.labels):
        return None
    return {"labels": list(judged.labels)}


_VALUES: dict[str, Any] = {
    "pairwise": _pair_value,
    "ranking": _ranking_value,
    "likert": _likert_value,
    "ratings": _ratings_value,
    "binary": _binary_value,
    "steps": _steps_value,
}
