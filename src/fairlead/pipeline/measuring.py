"""How a policy does on held-out prompts, round after round: pass@k, scores, diversity."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from pydantic import BaseModel, ConfigDict

from fairlead.core.clock import Part, section
from fairlead.core.estimates import Estimate, NamedEstimate
from fairlead.core.results import Figure, Sample, Scores, Series, Table
from fairlead.core.results import Reply as ShownReply
from fairlead.core.seeds import Seed
from fairlead.data.convert import prompts
from fairlead.generation.sampling import Sampling
from fairlead.models.policy import Policy
from fairlead.pipeline.sampling import fitting, sample_replies
from fairlead.pipeline.selection import spaced
from fairlead.records import Problem, Prompt, Record
from fairlead.rewards.base import Reply, RewardSource
from fairlead.stats.means import mean_estimate, paired_difference
from fairlead.stats.pass_at_k import pass_at_k

SHOWN = 4
"""Prompts whose replies a report shows."""


class Measured(BaseModel):
    """Replies of one policy to held-out prompts; one row per prompt, one column per reply."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scores: tuple[tuple[float, ...], ...]
    """Worth of each reply."""
    lengths: tuple[tuple[int, ...], ...]
    """Tokens of each reply."""
    distinct: tuple[int, ...]
    """Different texts among the replies to each prompt."""
    texts: tuple[str, ...]
    """The first reply to each of the first few prompts, to be looked at."""

    def mean_scores(self) -> np.ndarray:
        """Mean score of each prompt's replies."""
        return np.array(self.scores).mean(axis=1)

    def passes(self, threshold: float, k: int) -> np.ndarray:
        """Unbiased pass@k of each prompt: a reply is right from the threshold on."""
        right = (np.array(self.scores) >= threshold).sum(axis=1)
        tries = len(self.scores[0])
        return np.array([pass_at_k(tries, int(own), k) for own in right])


@dataclass(frozen=True)
class Asked:
    """A prompt, and the problem that it states, where its answer can be checked."""

    prompt: Prompt
    problem: Problem | None = None


def asked_of(records: Sequence[Record]) -> list[Asked]:
    """The prompts of records, each once, with their problems."""
    problems = {r.prompt.messages: r for r in records if isinstance(r, Problem)}
    return [Asked(prompt, problems.get(prompt.messages)) for prompt in prompts(records)]


def with_room(
    policy: Policy, asked: Sequence[Asked], sampling: Sampling, most: int | None = None
) -> list[Asked]:
    """The first prompts that leave room for a whole reply, at most so many.

    Raises:
        DataError: there is none.
    """
    own = {one.prompt.messages: one for one in asked[:most]}
    return [own[p.messages] for p in fitting(policy, [o.prompt for o in own.values()], sampling)]


def measure(
    policy: Policy,
    asked: Sequence[Asked],
    reward: RewardSource,
    sampling: Sampling,
    *,
    tries: int,
    seed: Seed,
) -> Measured:
    """Samples replies to held-out prompts and has them scored.

    Args:
        policy: who answers.
        asked: what is asked.
        reward: what the replies are worth.
        sampling: how replies are sampled.
        tries: replies per prompt.
        seed: of the sampling; the same for all rounds, so that they differ by their policies.
    """
    replies = answers(policy, asked, sampling, n=tries, seed=seed)
    scores = score(reward, replies)
    return Measured(
        scores=tuple(tuple(own) for own in scores.tolist()),
        lengths=tuple(tuple(len(r.response_ids) for r in own) for own in replies),
        distinct=tuple(len({spaced(r.text) for r in own}) for own in replies),
        texts=tuple(own[0].text for own in replies[:SHOWN]),
    )


def answers(
    policy: Policy, asked: Sequence[Asked], sampling: Sampling, *, n: int, seed: Seed
) -> list[list[Reply]]:
    """`n` replies to each prompt, with the problem that each is checked against."""
    policy.eval()
    replies = sample_replies(policy, [one.prompt for one in asked], sampling, n=n, seed=seed)
    return [
        [replace(reply, problem=one.problem) for reply in own]
        for one, own in zip(asked, replies, strict=True)
    ]


def score(reward: RewardSource, replies: Sequence[Sequence[Reply]]) -> np.ndarray:
    """Scores [prompt, reply], float64."""
    flat = [reply for own in replies for reply in own]
    with section(Part.REWARD):
        values = reward.score(flat).values.double().numpy()
    return values.reshape(len(replies), -1)


def round_estimates(
    name: str, measured: Sequence[Measured], threshold: float
) -> list[NamedEstimate]:
    """Levels of every round, and what each has gained over the start, paired by prompt.

    Args:
        name: of the stage; the last round's gain is the stage's.
        measured: of each round, the start first.
        threshold: score from which a reply is right.
    """
    start, tries = measured[0], len(measured[0].scores[0])
    found: dict[str, Estimate] = {}
    for number, own in enumerate(measured):
        found[f"pass@1/round-{number}"] = mean_estimate(own.passes(threshold, 1))
        found[f"pass@{tries}/round-{number}"] = mean_estimate(own.passes(threshold, tries))
        found[f"score/round-{number}"] = mean_estimate(own.mean_scores())
        found[f"distinct_replies/round-{number}"] = mean_estimate(own.distinct)
    for number, own in enumerate(measured[1:], start=1):
        gain = paired_difference(own.mean_scores(), start.mean_scores())
        found[f"score_gain/round-{number}"] = gain
    last = measured[-1]
    found[f"score_gain/{name}"] = paired_difference(last.mean_scores(), start.mean_scores())
    passed = (last.passes(threshold, 1), start.passes(threshold, 1))
    found[f"pass@1_gain/{name}"] = paired_difference(*passed)
    return [value.named(key) for key, value in found.items()]


def round_figure(measured: Sequence[Measured], threshold: float) -> Figure:
    """Pass@1 and pass@k against rounds."""
    tries = len(measured[0].scores[0])
    return Figure(
        title="Right replies by round",
        x_label="round (0 is the start)",
        y_label="share of held-out prompts",
        series=tuple(
            series(f"pass@{k}", [mean_estimate(own.passes(threshold, k)) for own in measured])
            for k in sorted({1, tries})
        ),
        caption="Pass@1 that rises while pass@k falls means that diversity is lost. "
        "Bands are 95 % intervals over prompts.",
    )


def series(label: str, estimates: Sequence[Estimate], first: int = 0) -> Series:
    """Estimates of successive rounds as a line with its interval."""
    return Series.of(label, tuple(float(first + i) for i in range(len(estimates))), estimates)


def round_table(measured: Sequence[Measured], threshold: float) -> Table:
    """One row per round."""
    tries = len(measured[0].scores[0])
    rows = tuple(
        (
            number,
            float(own.passes(threshold, 1).mean()),
            float(own.passes(threshold, tries).mean()),
            float(own.mean_scores().mean()),
            float(np.mean(own.distinct)),
            float(np.mean(own.lengths)),
        )
        for number, own in enumerate(measured)
    )
    columns = ("round", "pass@1", f"pass@{tries}", "score", "distinct replies", "length (tokens)")
    return Table(title="Held-out prompts by round", columns=columns, rows=rows)


def round_samples(asked: Sequence[Asked], measured: Sequence[Measured]) -> tuple[Sample, ...]:
    """What the start and the last round say to the first prompts."""
    ends = {"start": measured[0], f"round {len(measured) - 1}": measured[-1]}
    return tuple(
        Sample(
            prompt="\n".join(f"{m.role}: {m.content}" for m in one.prompt.messages),
            replies=tuple(
                ShownReply(policy=p, text=m.texts[i], scores=Scores(gold=m.scores[i][0]))
                for p, m in ends.items()
            ),
        )
        for i, one in enumerate(asked[:SHOWN])
    )
