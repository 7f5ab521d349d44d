"""What a stage reports of the models that labelled for it."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from fairlead.constitution.feedback import Candidate, Judged, judge_under
from fairlead.constitution.principles import Constitution
from fairlead.core.results import StageResult, Table
from fairlead.core.seeds import Seed
from fairlead.judges.pairwise import Outcome, Pair, PairwiseJudge
from fairlead.judges.quality import JudgedPair, JudgeQuality, judge_quality
from fairlead.pipeline.respondents import AnyRespondent
from fairlead.records import Comparison

Cost = Callable[[int, int], float]
"""Money for tokens of prompts and of answers."""


def judge_report(
    judged: Sequence[Judged],
    people: Sequence[Comparison],
    *,
    name: str,
    seed: Seed,
    cost: Cost | None = None,
) -> StageResult:
    """How good a judge is, as estimates `judge/...` of a stage.

    Args:
        judged: what it was asked.
        people: comparisons by people of some of these pairs.
        name: of the stage.
        seed: of the bootstraps.
        cost: None where nothing is paid.
    """
    shares = {
        _key(Candidate(c.prompt, c.chosen, c.rejected)): (c.chosen, c.preference) for c in people
    }
    pairs = [
        _pair(one, one.outcome, shares.get(_key(one.candidate))) for one in judged if one.outcome
    ]
    if not pairs:
        return StageResult(notes=("no pair was judged, so nothing is known of the judge",))
    found = judge_quality(pairs, seed=seed, cost=cost)
    named = [e.model_copy(update={"name": f"{name}/judge_{e.name}"}) for e in found.estimates]
    missing = tuple((measure, why) for measure, why in found.missing.items())
    notes = () if found.validated else ("judge unvalidated: no label by people was compared",)
    table = Table(
        title="What could not be measured of the judge", columns=("measure", "why"), rows=missing
    )
    return StageResult(estimates=tuple(named), tables=(table,) if missing else (), notes=notes)


def judged_again(
    judge: PairwiseJudge, constitution: Constitution, people: Sequence[Comparison]
) -> list[Judged]:
    """What the judge says of the pairs that people compared."""
    asked = [Candidate(c.prompt, c.chosen, c.rejected) for c in people]
    return judge_under(judge, constitution, asked)


def cost_of(specs: Sequence[AnyRespondent]) -> Cost | None:
    """What the judges cost together; None where none has a price.

    Tokens are not known by judge here, so each is taken to have its equal part.
    """
    prices = [spec.costs() for spec in specs]
    if not any(price.prompt or price.completion for price in prices):
        return None
    return lambda prompt, completion: sum(p.of(prompt, completion) for p in prices) / len(prices)


def _key(candidate: Candidate) -> tuple[object, ...]:
    return (candidate.prompt.messages, *sorted((candidate.first, candidate.second)))


def _pair(one: Judged, outcome: Outcome, people: tuple[str, float | None] | None) -> JudgedPair:
    first, second = one.candidate.first, one.candidate.second
    share: float | None = None
    if people is not None:
        chosen, sure = people
        preference = 1.0 if sure is None else sure
        share = preference if chosen == first else 1 - preference
    return JudgedPair(
        outcome=outcome,
        lengths=(len(first), len(second)),
        cluster=one.candidate.prompt.first_user_turn,
        people=share,
    )


def measure_judge(
    judge: PairwiseJudge,
    people: Sequence[Comparison],
    *,
    question: str,
    repeats: int,
    seed: Seed,
    cost: Cost | None = None,
) -> JudgeQuality:
    """Holds a judge against comparisons by people.

    Args:
        judge: who is asked.
        people: what people preferred; ties are asked as well, and left out where they must be.
        question: what makes a reply the better one.
        repeats: judgements of every pair; from 2 on their stability is measured.
        seed: turns pairs, so that the preferred reply comes first in half of them.
        cost: None where nothing is paid.
    """
    turned = [bool(seed.child("turn", i).numpy().random() < 0.5) for i in range(len(people))]
    pairs = [
        Pair(c.prompt, c.rejected if turn else c.chosen, c.chosen if turn else c.rejected, question)
        for c, turn in zip(people, turned, strict=True)
    ]
    asked = [replace(pair, repeat=k) for pair in pairs for k in range(repeats)]
    outcomes = judge.compare(asked)
    groups = [outcomes[i : i + repeats] for i in range(0, len(outcomes), repeats)]
    return judge_quality(
        [
            JudgedPair(
                outcome=first,
                lengths=(len(pair.first), len(pair.second)),
                cluster=pair.prompt.first_user_turn,
                people=_share(c, turn),
                repeats=tuple(rest),
            )
            for c, turn, pair, (first, *rest) in zip(people, turned, pairs, groups, strict=True)
        ],
        seed=seed.child("quality"),
        cost=cost,
    )


def _share(comparison: Comparison, turned: bool) -> float:
    """Share of people who prefer the reply that is shown as the pair's first."""
    if comparison.tie:
        return 0.5
    chosen = 1.0 if comparison.preference is None else comparison.preference
    return 1 - chosen if turned else chosen
