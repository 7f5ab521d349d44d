"""What a stage reports of the models that labelled for it."""

from collections.abc import Callable, Sequence

from fairlead.constitution.feedback import Candidate, Judged, judge_under
from fairlead.constitution.principles import Constitution
from fairlead.core.seeds import Seed
from fairlead.judges.pairwise import Outcome, PairwiseJudge
from fairlead.judges.quality import JudgedPair, judge_quality
from fairlead.lineage.result import StageResult, Table
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
