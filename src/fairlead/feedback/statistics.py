"""Everything about the quality of a campaign's labels, for the command line and for pages.

Importing this loads scipy; a server that must start at once imports it where it is used.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from fairlead.core.estimates import Estimate
from fairlead.core.seeds import Seed
from fairlead.feedback.gathered import Gathered, gather
from fairlead.feedback.labels import Question, groups_of, questions, ranks_of
from fairlead.feedback.permissions import Actor
from fairlead.feedback.quality import (
    GroupReport,
    QualityReport,
    gold_report,
    group_differences,
    measure_agreement,
    measure_quality,
    own_consistency,
)
from fairlead.feedback.store import Store
from fairlead.feedback.tables import LabelTable
from fairlead.feedback.work import RankingWork
from fairlead.stats.agreement import Coefficient, rank_agreement
from fairlead.stats.proportions import proportion


class QuestionQuality(BaseModel):
    """The quality of the answers to one question."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Dimension, or `strength`; empty for the one question of a campaign."""
    quality: QualityReport
    """Agreement is that of the work itself; gold, biases and findings take all answers."""
    groups: dict[str, GroupReport]
    """Where people who belong to different groups differ, by what the groups are."""


class CampaignQuality(BaseModel):
    """The quality of a campaign's labels."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    campaign: int
    name: str
    kind: str
    people: int
    items: int
    """Items with at least one answer."""
    answers: dict[str, int]
    """By what they were for: normal, gold, repeat, screening; and `late`, outside the target."""
    questions: tuple[QuestionQuality, ...]
    """None where the work is free text or nobody has answered."""
    rankings: Coefficient | None = None
    """Kendall's tau-b of whole rankings; None for other work."""
    both_bad: Estimate | None = None
    """Share of answers that called both replies bad; None where that was not asked."""

    def __getitem__(self, name: str) -> QualityReport:
        """The report of a question by its name."""
        return next(one.quality for one in self.questions if one.name == name)


def campaign_quality(
    store: Store, actor: Actor, campaign: int, *, seed: Seed | None = None
) -> CampaignQuality:
    """Measures the labels of a campaign.

    Args:
        store: the database.
        actor: who asks; leads and owners may.
        campaign: its number.
        seed: of bootstraps and permutations; None for the campaign's own.

    Raises:
        Missing: no such campaign for this actor.
        Refused: annotators do not see other people's answers.
    """
    with store.read() as session:
        gathered = gather(session, actor, "see_answers", campaign)
    return measure_campaign(gathered, seed=seed or Seed(gathered.seed).child("statistics"))


def measure_campaign(gathered: Gathered, *, seed: Seed) -> CampaignQuality:
    """The same for a campaign that was read already."""
    answers: dict[str, int] = {}
    for answer in gathered.answers:
        name = "late" if answer.state == "late" else answer.purpose
        answers[name] = answers.get(name, 0) + 1
    grouped = {name: questions(gathered, group=name) for name in groups_of(gathered)}
    return CampaignQuality(
        campaign=gathered.campaign,
        name=gathered.name,
        kind=gathered.work.kind,
        people=len({answer.annotator for answer in gathered.answers}),
        items=len({answer.item for answer in gathered.answers}),
        answers=answers,
        questions=tuple(
            QuestionQuality(
                name=question.name,
                quality=_quality(question, seed.child(question.name)),
                groups=_groups(grouped, question.name, seed.child("groups", question.name)),
            )
            for question in questions(gathered)
        ),
        rankings=_rankings(gathered, seed.child("rankings")),
        both_bad=_both_bad(gathered),
    )


def _quality(question: Question, seed: Seed) -> QualityReport:
    """All measures; easy gold and screening items do not raise the agreement."""
    whole = measure_quality(question.table, seed=seed, ordered=question.ordered)
    if question.work is None or len(question.work) == len(question.table):
        return whole
    own = measure_agreement(question.work, seed=seed.child("agreement"), ordered=question.ordered)
    tested = {"gold": gold_report(question.table), "repeats": own_consistency(question.table)}
    return whole.model_copy(update={"agreement": own.model_copy(update=tested)})


def _groups(
    grouped: Mapping[str, Sequence[Question]], name: str, seed: Seed
) -> dict[str, GroupReport]:
    found: dict[str, GroupReport] = {}
    for group, asked in grouped.items():
        table = next((question.work for question in asked if question.name == name), None)
        if table is not None and _several(table):
            found[group] = group_differences(table, seed=seed.child(group))
    return found


def _several(table: LabelTable) -> bool:
    groups = table.groups
    return groups is not None and len(set(groups.codes[table.people.codes].tolist()) - {-1}) > 1


def _rankings(gathered: Gathered, seed: Seed) -> Coefficient | None:
    if not isinstance(gathered.work, RankingWork):
        return None
    rows: list[tuple[int, int, int, int]] = []
    people: dict[str, int] = {}
    for answer in gathered.answers:
        if answer.purpose == "normal":
            who = people.setdefault(answer.annotator, len(people))
            ranks = ranks_of(answer.value).items()
            rows += [(answer.item, who, reply, rank) for reply, rank in ranks]
    table = np.array(rows, dtype=np.int64).reshape(-1, 4)
    return rank_agreement(table[:, 0], table[:, 1], table[:, 2], table[:, 3], seed=seed)


def _both_bad(gathered: Gathered) -> Estimate | None:
    if not getattr(gathered.work, "both_bad", False) or not gathered.answers:
        return None
    said = [bool(answer.value.get("both_bad")) for answer in gathered.answers]
    return proportion(sum(said), len(said))
