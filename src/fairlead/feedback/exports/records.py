"""From opinions to records that `fairlead run` reads."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from fairlead.feedback.exports.aggregate import (
    EVEN,
    Opinion,
    good_share,
    leading,
    mean_scores,
    pairs_of_ranking,
    ranking_scores,
    step_votes,
)
from fairlead.feedback.exports.settings import Format
from fairlead.feedback.gathered import Gathered
from fairlead.feedback.work import Likert, RankingWork, Steps
from fairlead.records import (
    Comparison,
    Critique,
    Demonstration,
    Message,
    Prompt,
    Provenance,
    Ranking,
    Rating,
    Record,
    StepLabels,
)


class Unusable(Exception):
    """An item or an answer that gives no record; says why."""


@dataclass(frozen=True)
class Writer:
    """Makes the records of one format.

    Args:
        gathered: the campaign.
        source: what records name as their source.
        annotator: pseudonym of the person whose opinions these are; None for a crowd's.
    """

    gathered: Gathered
    source: str
    annotator: str | None = None

    def records(self, opinion: Opinion, format: Format) -> list[Record]:
        """The records of an opinion.

        Raises:
            Unusable: it gives none; says why.
        """
        found = list(_FORMATS[format](self, opinion))
        if not found:
            raise Unusable("without any label")
        return found

    def prompt(self, opinion: Opinion, *, more: tuple[Message, ...] = ()) -> Prompt:
        """What was asked, with where it comes from."""
        case = opinion.case
        messages = (*case.messages, *more)
        if not messages:
            raise Unusable("without a prompt")
        at = Provenance(source=self.source, row=None, annotator=self.annotator, feedback="human")
        subset = case.meta.get("subset") or case.stratum
        return Prompt(messages=messages, subset=str(subset), provenance=at)


def _pairs(writer: Writer, opinion: Opinion) -> Iterator[Record]:
    if isinstance(writer.gathered.work, RankingWork):
        yield from _ranked_pairs(writer, opinion)
        return
    if opinion.pair is None or math.isnan(opinion.pair.preference):
        raise Unusable("nobody's answer counts")
    yield _comparison(writer, opinion, (0, 1), opinion.pair.preference, opinion.pair.margin)


def _comparison(
    writer: Writer, opinion: Opinion, replies: tuple[int, int], preference: float, margin: float
) -> Comparison:
    """A comparison whose chosen reply is the likelier one; a tie keeps the item's order."""
    texts = [opinion.case.replies[i].text for i in replies]
    first = preference >= 0.5 - EVEN
    return Comparison(
        prompt=writer.prompt(opinion),
        chosen=texts[0] if first else texts[1],
        rejected=texts[1] if first else texts[0],
        tie=abs(preference - 0.5) <= EVEN,
        strength=margin if first else -margin,
        preference=min(1.0, max(preference, 1 - preference)),
    )


def _ranked_pairs(writer: Writer, opinion: Opinion) -> Iterator[Record]:
    for pair, share in pairs_of_ranking(opinion, writer.gathered.work).items():
        yield _comparison(writer, opinion, pair, share, 2 * share - 1)


def _rankings(writer: Writer, opinion: Opinion) -> Iterator[Record]:
    scores = ranking_scores(opinion, writer.gathered.work)
    if len(scores) < 2:
        raise Unusable("fewer than two replies have a rank")
    levels: list[float] = []
    for score in sorted(scores.values(), reverse=True):
        if not levels or levels[-1] - score > EVEN:
            levels.append(score)
    yield Ranking(
        prompt=writer.prompt(opinion),
        responses=tuple(opinion.case.replies[i].text for i in scores),
        ranks=tuple(
            next(r for r, level in enumerate(levels) if abs(level - score) <= EVEN)
            for score in scores.values()
        ),
    )


def _ratings(writer: Writer, opinion: Opinion) -> Iterator[Record]:
    scores = mean_scores(opinion, writer.gathered.work)
    if not scores:
        raise Unusable("nobody gave a score")
    yield Rating(
        prompt=writer.prompt(opinion),
        response=opinion.case.replies[0].text,
        value=sum(scores.values()) / len(scores),
        scores=scores,
    )


def _kto(writer: Writer, opinion: Opinion) -> Iterator[Record]:
    """Thumbs: 1 for desirable, 0 for not; the doubt is in `scores`."""
    prompt, texts = writer.prompt(opinion), [reply.text for reply in opinion.case.replies]
    for text, good in zip(texts, _thumbs(writer, opinion), strict=True):
        yield Rating(prompt=prompt, response=text, value=float(good > 0.5), scores={"good": good})


def _thumbs(writer: Writer, opinion: Opinion) -> list[float]:
    """Probability that each reply is desirable."""
    work = writer.gathered.work
    if opinion.pair is not None:
        shares: list[float | None] = [opinion.pair.preference, 1 - opinion.pair.preference]
    elif isinstance(work, Likert):
        score = mean_scores(opinion, work).get("score")
        shares = [None if score is None else (score - 1) / (work.levels - 1)]
    else:
        shares = [good_share(opinion)]
    known = [share for share in shares if share is not None and not math.isnan(share)]
    if len(known) < len(shares):
        raise Unusable("nobody's answer counts")
    if any(abs(share - 0.5) <= EVEN for share in known):
        raise Unusable("neither desirable nor undesirable: the opinions are even")
    return known


def _steps(writer: Writer, opinion: Opinion) -> Iterator[Record]:
    votes = step_votes(opinion)
    labels = [leading(one) for one in votes]
    if all(label is None for label in labels):
        raise Unusable("no step has a label that most people gave")
    work = writer.gathered.work
    if isinstance(work, Steps) and work.stop_at_first_error and -1 in labels:
        # Whoever went on saw no error here: their labels of later steps are about another proof.
        end = labels.index(-1) + 1
        labels = labels[:end] + [None] * (len(labels) - end)
    yield StepLabels(
        prompt=writer.prompt(opinion), steps=opinion.case.replies[0].steps, labels=tuple(labels)
    )


def _demonstrations(writer: Writer, opinion: Opinion) -> Iterator[Record]:
    for answer in opinion.answers:
        yield Demonstration(prompt=writer.prompt(opinion), response=answer.value["text"])


def _critiques(writer: Writer, opinion: Opinion) -> Iterator[Record]:
    for answer in opinion.answers:
        value = answer.value
        yield Critique(
            prompt=writer.prompt(opinion),
            response=opinion.case.replies[0].text,
            critique=f"{value['principle']}: {value['critique']}",
            revision=value["revision"] or None,
        )


def _attacks(writer: Writer, opinion: Opinion) -> Iterator[Record]:
    """The model's last reply, 1 where it resisted altogether (success 1) and 0 where not."""
    for answer in opinion.answers:
        turns = tuple(Message.model_validate(turn) for turn in answer.value["turns"])
        success = answer.value["success"]
        yield Rating(
            prompt=writer.prompt(opinion, more=turns[:-1]),
            response=turns[-1].content,
            value=float(success == 1),
            scores={"success": float(success)},
        )


_FORMATS: dict[Format, Callable[[Writer, Opinion], Iterator[Record]]] = {
    "pairs": _pairs,
    "rankings": _rankings,
    "ratings": _ratings,
    "kto": _kto,
    "steps": _steps,
    "demonstrations": _demonstrations,
    "critiques": _critiques,
    "attacks": _attacks,
}


def summary(gathered: Gathered, opinion: Opinion) -> dict[str, Any]:
    """What a crowd said of an item, in numbers: the raw votes beside the aggregate."""
    found: dict[str, Any] = {"answers": len(opinion.answers)}
    if opinion.soft:
        found["soft"] = opinion.soft
    if opinion.pair is not None:
        found |= {"preference": opinion.pair.preference, "margin": opinion.pair.margin}
        found["votes"] = _votes([str(a.value["preferred"]) for a in opinion.answers], opinion)
    more = _SUMMARIES.get(gathered.work.kind)
    return found if more is None else found | more(gathered, opinion)


def _votes(labels: list[str], opinion: Opinion) -> dict[str, int]:
    """Unweighted counts, the indices of replies (or None for a tie) as keys."""
    names = [str(i) for i in range(len(opinion.case.replies))] + ["None"]
    return {name.replace("None", "tie"): labels.count(name) for name in names}


def _ranking_summary(gathered: Gathered, opinion: Opinion) -> dict[str, Any]:
    pairs = pairs_of_ranking(opinion, gathered.work)
    return {
        "scores": {str(i): score for i, score in ranking_scores(opinion, gathered.work).items()},
        "preferences": {f"{one}-{other}": share for (one, other), share in pairs.items()},
    }


def _score_summary(gathered: Gathered, opinion: Opinion) -> dict[str, Any]:
    return {"means": mean_scores(opinion, gathered.work)}


def _step_summary(gathered: Gathered, opinion: Opinion) -> dict[str, Any]:
    votes = step_votes(opinion)
    return {"steps": [{str(label): weight for label, weight in one.items()} for one in votes]}


def _binary_summary(gathered: Gathered, opinion: Opinion) -> dict[str, Any]:
    good = [cast(bool, a.value["good"]) for a in opinion.answers]
    return {"votes": {"good": sum(good), "bad": len(good) - sum(good)}}


_SUMMARIES: dict[str, Callable[[Gathered, Opinion], dict[str, Any]]] = {
    "ranking": _ranking_summary,
    "likert": _score_summary,
    "ratings": _score_summary,
    "steps": _step_summary,
    "binary": _binary_summary,
}

PER_ANSWER: frozenset[str] = frozenset({"demonstrations", "critiques", "attacks"})
"""Formats in which every answer is a record of its own."""

__all__ = ["PER_ANSWER", "Unusable", "Writer", "summary"]
