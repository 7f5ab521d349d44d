"""Samples replies and has models compare them under written principles."""

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field, PositiveInt

from fairlead.constitution.diff import is_current
from fairlead.constitution.feedback import (
    Candidate,
    Judged,
    candidates,
    comparison,
    judge_under,
    source_of,
)
from fairlead.constitution.principles import Constitution
from fairlead.constitution.reading import PACKAGED, load_constitution
from fairlead.core.errors import DataError
from fairlead.core.results import StageResult, Table
from fairlead.data.convert import prompts
from fairlead.generation.sampling import Sampling
from fairlead.judges.overhearing import Overheard
from fairlead.judges.pairwise import PairwiseJudge, PairwiseSettings
from fairlead.models.loading import load_policy
from fairlead.models.policy import Policy
from fairlead.pipeline.drawing import few_of, with_earlier
from fairlead.pipeline.judging import cost_of, judge_report, judged_again
from fairlead.pipeline.respondents import AnyRespondent
from fairlead.pipeline.sampling import fitting, sample_texts
from fairlead.pipeline.stage import Context, Stage
from fairlead.records import Comparison, Prompt
from fairlead.records.files import write_records
from fairlead.testbeds.annotators import Annotator, label
from fairlead.testbeds.assistant import AssistantWorld

Key = tuple[object, ...]


class AIFeedbackStage(Stage):
    """Writes `train.jsonl` and `test.jsonl` comparisons with soft labels, and how good they are.

    Every pair is shown in both orders under a principle drawn for it (RL-CAI of Bai et al. 2022,
    arXiv:2212.08073; RLAIF of Lee et al. 2023, arXiv:2309.00267). The records are those of people's
    comparisons, marked as `ai`, so both can be mixed and weighed with `source_weights`.
    `overheard.jsonl` has all that the judges were asked and answered about training pairs, for a
    model to imitate.
    """

    kind: Literal["ai_feedback"] = "ai_feedback"
    policy: str
    """Who writes the replies."""
    train: str
    """Prompts of the training comparisons."""
    test: str | None = None
    """Prompts of the held-out comparisons."""
    judges: tuple[AnyRespondent, ...] = Field(min_length=1)
    """Who compares; the labels of several are averaged."""
    constitution: str = "default"
    """File of the principles, or one that comes with the package: default, assistant."""
    comparing: PairwiseSettings = PairwiseSettings()
    """How pairs are shown, and when a judge abstains."""
    prompts: PositiveInt | None = None
    """Prompts of the training comparisons at most, drawn at random; None for all."""
    samples: PositiveInt = Field(default=2, ge=2)
    """Replies per prompt."""
    pairs: PositiveInt = 1
    """Pairs compared per prompt."""
    labels: str | None = None
    """Comparisons of an earlier run; those that this constitution would decide by the same words
    are taken over instead of being asked again."""
    earlier: str | None = None
    """Training comparisons put in front, such as those of people."""
    people: str | None = None
    """Comparisons by people, which the judges are held against."""
    annotators: tuple[Annotator, ...] = ()
    """Simulated people who compare the held-out pairs of the assistant's world, to be held
    against."""
    sampling: Sampling = Sampling(max_new_tokens=256)
    """How replies are sampled."""
    file_fields: ClassVar[tuple[str, ...]] = (
        *("policy", "train", "test", "labels", "earlier", "people"),
    )

    def references(self) -> list[tuple[str, str]]:
        """What it reads, the judges' models and the principles among it."""
        own = () if self.constitution in PACKAGED else (("constitution", self.constitution),)
        models = (("judges", name) for spec in self.judges for name in spec.references())
        return [*super().references(), *models, *own]

    def run(self, context: Context) -> StageResult:
        """Samples, compares, and measures the judges."""
        constitution = load_constitution(self.constitution)
        seed = context.seed
        respondents = [
            Overheard(spec.respondent(context, constitution, seed.child("judge", i)))
            for i, spec in enumerate(self.judges)
        ]
        judge = PairwiseJudge(respondents, self.comparing, seed=seed.child("fences"))
        policy = load_policy(context.model(self.policy)).eval()
        known = _known(context.records(self.labels) if self.labels else (), constitution)
        judged: dict[str, list[Judged]] = {}
        notes = [f"constitution {constitution.name} {constitution.version} ({constitution.hash})"]
        for part, reference in (("train", self.train), ("test", self.test)):
            if reference is None:
                continue
            asked = self._asked(context, policy, reference, part)
            stale = [c for c in asked if _key(c.prompt, c.first, c.second) not in known]
            judged[part] = judge_under(judge, constitution, stale)
            taken = [
                known[key] for c in asked if (key := _key(c.prompt, c.first, c.second)) in known
            ]
            made = self._comparisons(judged[part], judge.name, constitution)
            self._check(part, [*taken, *made], judged[part])
            earlier = self.earlier if part == "train" else None
            records = with_earlier(context, earlier, [*taken, *made])
            write_records(context.folder / f"{part}.jsonl", records)
            notes.append(
                f"{part}: {len(made)} of {len(stale)} pairs labelled, {len(taken)} labels taken "
                f"over; {len(records) - len(made) - len(taken)} of other origin"
            )
            # What is said of held-out pairs must not be imitated.
            if part == "train":
                overheard = [one for own in respondents for one in own.demonstrations()]
                write_records(context.folder / "overheard.jsonl", overheard)
                notes += [f"train: {own.account()}" for own in respondents]
        outcomes = [one for own in judged.values() for one in own]
        people = self._people(context, judged.get("test", []))
        compared = judged_again(judge, constitution, people) if self.people else []
        quality = judge_report(
            [*outcomes, *compared],
            people,
            name=self.name,
            seed=seed.child("quality"),
            cost=cost_of(self.judges),
        )
        return StageResult(
            estimates=quality.estimates,
            tables=(_by_principle(constitution, outcomes), _by_state(outcomes), *quality.tables),
            notes=(*notes, *quality.notes),
        )

    def _asked(
        self, context: Context, policy: Policy, reference: str, part: str
    ) -> list[Candidate]:
        seed = context.seed.child(part)
        found = prompts(context.records(reference))
        if part == "train":
            found = few_of(found, self.prompts, seed.child("prompts"))
        kept = fitting(policy, found, self.sampling)
        own = seed.child("sample")
        texts = sample_texts(policy, kept, self.sampling, n=self.samples, seed=own)
        return candidates(kept, texts, per_prompt=self.pairs, seed=seed.child("pairs"))

    def _comparisons(
        self, judged: Sequence[Judged], judge: str, constitution: Constitution
    ) -> list[Comparison]:
        source = source_of(constitution)
        made = [comparison(one, judge=judge, source=source) for one in judged]
        return [one for one in made if one is not None]

    def _check(self, part: str, labels: Sequence[Comparison], judged: Sequence[Judged]) -> None:
        if not labels:
            states = Counter(one.state for one in judged)
            raise DataError(
                "not one pair could be labelled",
                where=f"stage {self.name}, {part}",
                expected="verdicts",
                got=", ".join(f"{n} {state}" for state, n in states.items()) or "no pairs",
                remedy="look at what the judge answers, and at whether principles apply",
            )

    def _people(self, context: Context, judged: Sequence[Judged]) -> list[Comparison]:
        """Comparisons by people, or by simulated ones of the very pairs that were judged."""
        if self.people:
            found = context.records(self.people)
            return [r for r in found if isinstance(r, Comparison) and not r.tie]
        if not self.annotators:
            return []
        seed, world = context.seed.child("people"), AssistantWorld()
        shown = [one.candidate for one in judged]
        asked = [one.prompt for one in shown]
        pairs = [(one.first, one.second) for one in shown]
        return label(world, asked, pairs, self.annotators, seed).comparisons


def _key(prompt: Prompt, a: str, b: str) -> Key:
    return (prompt.messages, *sorted((a, b)))


def _known(labels: Sequence[object], constitution: Constitution) -> dict[Key, Comparison]:
    """Labels that need not be made again, by what was compared."""
    return {
        _key(one.prompt, one.chosen, one.rejected): one
        for one in labels
        if isinstance(one, Comparison) and is_current(one, constitution)
    }


def _by_principle(constitution: Constitution, judged: Sequence[Judged]) -> Table:
    """Which principle decided how much, and how surely."""
    rows: list[tuple[str, int, int, float | None]] = []
    for principle in constitution.principles:
        own = [one.outcome for one in judged if one.principle == principle and one.outcome]
        labels = [o.label for o in own if o.label is not None]
        sure = sum(abs(x - 0.5) for x in labels) / len(labels) + 0.5 if labels else None
        rows.append((principle.id, len(own), len(labels), sure))
    columns = ("principle", "pairs", "labelled", "mean probability of the chosen reply")
    return Table(title="What each principle decided", columns=columns, rows=tuple(rows))


def _by_state(judged: Sequence[Judged]) -> Table:
    counts = Counter(one.state for one in judged)
    rows = tuple((state, n, n / len(judged)) for state, n in counts.most_common())
    return Table(title="How comparisons ended", columns=("end", "pairs", "share"), rows=rows)
