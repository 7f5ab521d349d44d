"""Puts an export together in memory: records by part, raw rows, and a manifest."""

import hashlib
import hmac
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import accumulate
from typing import Any

import fairlead
from fairlead.core.errors import DataError
from fairlead.core.seeds import Seed
from fairlead.feedback.exports.aggregate import Opinion, opinions, single
from fairlead.feedback.exports.prm800k import prm800k_row
from fairlead.feedback.exports.records import PER_ANSWER, Unusable, Writer, summary
from fairlead.feedback.exports.settings import ExportSettings, Format
from fairlead.feedback.gathered import Answer, Case, Gathered, Reply
from fairlead.feedback.labels import counted_table, groups_of
from fairlead.feedback.privacy.pii import Scan
from fairlead.feedback.quality import QualityReport, by_group
from fairlead.feedback.statistics import CampaignQuality, measure_campaign
from fairlead.records import Record

Row = dict[str, Any]


@dataclass(frozen=True)
class Built:
    """An export before it is written."""

    parts: dict[str, list[Record | Row]]
    """Records (or rows of another format) by the name of their part."""
    answers: list[Row]
    items: list[Row]
    members: tuple[tuple[int, int], ...]
    """Responses and their revisions."""
    manifest: Row


class _Names:
    """Pseudonyms that are of this export alone: without its key nobody can link two exports."""

    def __init__(self, key: str, settings: ExportSettings) -> None:
        self._key = key.encode()
        self._own = settings.pseudonyms == "export"

    def __call__(self, annotator: str) -> str:
        if not self._own:
            return annotator
        return "a" + hmac.new(self._key, annotator.encode(), hashlib.sha256).hexdigest()[:12]


def build(gathered: Gathered, settings: ExportSettings, *, key: str, now: datetime) -> Built:
    """Makes records, raw rows and manifest of a campaign.

    Args:
        gathered: the campaign in one state.
        settings: what leaves, and how.
        key: of this export's pseudonyms.
        now: the time.

    Raises:
        ConfigError: the kind of work has no such format.
        DataError: there is nothing to export, or a part would be empty.
    """
    format, names = settings.format_for(gathered.work), _Names(key, settings)
    scan, left_out = Scan(settings.pii), Counter[str]()
    clean = _scanned(gathered, settings, scan, left_out)
    left_out.update(_not_counted(clean))
    quality = measure_campaign(gathered, seed=Seed(gathered.seed).child("statistics"))
    made = _Maker(clean, settings, format, names, left_out)
    parts, items = made.parts(), made.items
    return Built(
        parts=parts,
        answers=[_answer_row(clean, answer, names, settings) for answer in clean.answers],
        items=items,
        members=tuple(sorted((a.response, a.revision) for a in clean.answers)),
        manifest=_manifest(clean, settings, format, quality, scan, left_out, parts, items, now),
    )


class _Maker:
    """Opinions to records to parts."""

    def __init__(
        self,
        gathered: Gathered,
        settings: ExportSettings,
        format: Format,
        names: _Names,
        left_out: Counter[str],
    ) -> None:
        self.gathered, self.settings = gathered, settings
        self.format: Format = format
        self.names, self.left_out = names, left_out
        self.counted = gathered.counted()
        self.source = f"feedback:{gathered.name}"
        self.items: list[Row] = []

    def parts(self) -> dict[str, list[Record | Row]]:
        """Records by part; fills `items` on the way."""
        found: dict[str, list[Record | Row]] = {name: [] for name in self.settings.parts}
        crowds = opinions(
            self.gathered,
            self.settings.method,
            weighted=self.settings.weighted,
            answers=self.counted,
        )
        groups = self._groups()
        for opinion in crowds:
            part = _part(opinion.case, self.settings)
            records, why = self._records(opinion)
            found[part] += records
            row = _item_row(self.gathered, opinion, part, len(records), why)
            by = {name: own.get(opinion.case.external_id) for name, own in groups.items()}
            self.items.append(row | ({"by_group": by} if by else {}))
        self._refuse_empty(found)
        return found

    def _records(self, opinion: Opinion) -> tuple[list[Record | Row], list[str]]:
        if self.format == "prm800k":
            name = self.names
            return [prm800k_row(opinion.case, a, name(a.annotator)) for a in opinion.answers], []
        each = self.settings.records == "each"
        asked: list[tuple[Writer, Opinion]] = [(Writer(self.gathered, self.source), opinion)]
        if each:
            asked = [
                (
                    Writer(self.gathered, self.source, self.names(a.annotator)),
                    single(self.gathered, a),
                )
                for a in opinion.answers
            ]
        records: list[Record | Row] = []
        why: list[str] = []
        for writer, one in asked:
            try:
                records += writer.records(one, self.format)
            except Unusable as error:
                why.append(str(error))
        unit = "answers" if each else "items"
        self.left_out.update(f"{unit} {reason}" for reason in why)
        return records, why

    def _groups(self) -> dict[str, dict[str, Row]]:
        """What each group said of each item, so that a majority does not speak for all."""
        if not self.settings.groups or self.format in PER_ANSWER:
            return {}
        found: dict[str, dict[str, Row]] = {}
        for kind in groups_of(self.gathered):
            table = counted_table(self.gathered, group=kind)
            if table is None or table.groups is None or not table.groups.names:
                continue
            for group, aggregated in by_group(table).items():
                rows = {row["item"]: {"votes": row["votes"]} for row in aggregated.rows()}
                found[f"{kind}: {group}"] = rows
        return found

    def _refuse_empty(self, parts: Mapping[str, Sequence[Any]]) -> None:
        empty = [name for name, records in parts.items() if not records]
        if not empty:
            return
        reasons = "; ".join(f"{n} {why}" for why, n in self.left_out.most_common())
        raise DataError(
            "there is nothing to export" if len(empty) == len(parts) else "a part is empty",
            where=f"campaign {self.gathered.name}, part {', '.join(empty)}",
            expected="answers that count, in every part",
            got=f"{len(self.counted)} answers" + (f"; left out: {reasons}" if reasons else ""),
            remedy="wait for more answers, or ask for fewer parts",
        )


def _part(case: Case, settings: ExportSettings) -> str:
    """The part of an item: by a hash of its first user turn, which paraphrases share."""
    turns = [m.content for m in case.messages if m.role == "user"]
    key = (turns or [m.content for m in case.messages] or [case.external_id])[0]
    place = Seed(settings.seed).child("split", key).value / 2**63
    bounds = list(accumulate(settings.parts.values()))[:-1]
    return list(settings.parts)[bisect_right(bounds, place)]


# Raw rows


def _answer_row(gathered: Gathered, answer: Answer, names: _Names, settings: ExportSettings) -> Row:
    """An answer as it was given; replies are indices of the item's own order."""
    row = {
        "item": gathered.cases[answer.item].external_id,
        "annotator": names(answer.annotator),
        "purpose": answer.purpose,
        "counted": answer.state == "counted",
        "late": answer.late,
        "value": answer.value,
        "order": list(answer.order),
        "seconds": answer.seconds,
        "guideline": answer.guideline,
        "markdown": answer.markdown,
        "revision": answer.revision,
        "at": answer.at.date().isoformat(),
    }
    if settings.reasons:
        row["reason"] = answer.reason
    if settings.groups:
        row["groups"] = gathered.people[answer.annotator].groups
    return row


def _item_row(
    gathered: Gathered, opinion: Opinion, part: str, records: int, why: Sequence[str]
) -> Row:
    case = opinion.case
    return {
        "item": case.external_id,
        "part": part,
        "records": records,
        "left_out": list(why),
        "models": [reply.model for reply in case.replies],
        "stratum": case.stratum,
        "propensity": case.propensity,
        "target": case.target,
        **summary(gathered, opinion),
        "meta": case.meta,
    }


def _not_counted(gathered: Gathered) -> Counter[str]:
    found: Counter[str] = Counter()
    for answer in gathered.answers:
        if answer.purpose != "normal":
            found[f"answers to {answer.purpose} tasks"] += 1
        elif answer.state == "late":
            found["answers that came when the item was complete"] += 1
    return found


# Personal data


def _scanned(
    gathered: Gathered, settings: ExportSettings, scan: Scan, left_out: Counter[str]
) -> Gathered:
    """The campaign with its texts looked through, and masked or left out where asked."""
    used = {answer.item for answer in gathered.answers}
    cases: dict[int, Case] = {}
    for number, case in gathered.cases.items():
        before = scan.count
        cases[number] = _scanned_case(case, scan) if number in used else case
        if settings.pii == "refuse" and scan.count > before:
            left_out["items with personal data in prompt or replies"] += 1
            del cases[number]
    answers: list[Answer] = []
    for answer in gathered.answers:
        before = scan.count
        if answer.item not in cases:
            left_out["answers to items with personal data"] += 1
            continue
        place = f"{cases[answer.item].external_id}, an answer"
        reason = scan.text(answer.reason, f"{place}'s reason") if settings.reasons else ""
        value = scan.value(answer.value, place)
        if settings.pii == "refuse" and scan.count > before:
            left_out["answers with personal data"] += 1
            continue
        answers.append(replace(answer, value=value, reason=reason))
    return replace(gathered, cases=cases, answers=tuple(answers))


def _scanned_case(case: Case, scan: Scan) -> Case:
    name = case.external_id
    return replace(
        case,
        messages=tuple(
            m.model_copy(update={"content": scan.text(m.content, f"{name}, message {i + 1}")})
            for i, m in enumerate(case.messages)
        ),
        replies=tuple(
            Reply(
                scan.text(one.text, f"{name}, reply {i + 1}"),
                one.model,
                scan.value(one.steps, f"{name}, a step"),
            )
            for i, one in enumerate(case.replies)
        ),
    )


# The manifest


def _manifest(
    gathered: Gathered,
    settings: ExportSettings,
    format: Format,
    quality: CampaignQuality,
    scan: Scan,
    left_out: Counter[str],
    parts: Mapping[str, Sequence[Any]],
    items: Sequence[Row],
    now: datetime,
) -> Row:
    people = {answer.annotator for answer in gathered.answers}
    consents = Counter(gathered.people[name].consent for name in people)
    versions = Counter(answer.guideline for answer in gathered.answers)
    hashes = {one.version: one.sha256 for one in gathered.guidelines}
    return {
        "campaign": gathered.name,
        "work": gathered.work.model_dump(mode="json"),
        "format": format,
        "settings": settings.model_dump(mode="json"),
        "created": now.isoformat(),
        "fairlead": fairlead.__version__,
        "records": {name: len(records) for name, records in parts.items()},
        "items": len(items),
        "answers": len(gathered.answers),
        "people": len(people),
        "left_out": dict(left_out.most_common()),
        "guidelines": [
            {"version": version, "sha256": hashes.get(version, ""), "answers": n}
            for version, n in sorted(versions.items())
        ],
        "consents": [
            {"version": version, "people": n}
            for version, n in sorted(consents.items(), key=lambda one: one[0] or 0)
        ],
        "strata": dict(Counter(row["stratum"] for row in items)),
        "quality": [_quality(one.name, one.quality) for one in quality.questions],
        "rankings": None if quality.rankings is None else quality.rankings.model_dump(mode="json"),
        "personal_data": scan.report().model_dump(mode="json"),
    }


def _quality(question: str, report: QualityReport) -> Row:
    """The numbers of one question that a reader of the data needs; names nobody."""
    gold, bias, length = report.agreement.gold, report.position, report.length
    return {
        "question": question,
        "agreement": [one.model_dump(mode="json") for one in report.agreement.coefficients],
        "gold_accuracy": None if gold is None else gold.accuracy.model_dump(mode="json"),
        "repeats": _dumped(report.agreement.repeats),
        "position_bias": None if bias is None else {**_dumped(bias.share), "p": bias.p},
        "length_bias": None if length is None else {**_dumped(length.share), "p": length.p},
        "ties": _dumped(report.ties),
        "people_with_findings": len(report.outliers.first_reasons()),
    }


def _dumped(value: Any) -> Any:
    return None if value is None else value.model_dump(mode="json")
