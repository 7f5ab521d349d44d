"""What ways to decode are worth and cost, beside best-of-n at equal tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fairlead.core.clock import Part, section
from fairlead.core.estimates import Estimate, NamedEstimate
from fairlead.core.results import Cell, Figure, Sample, Scores, Series, Table
from fairlead.core.results import Reply as ShownReply
from fairlead.core.seeds import Seed
from fairlead.decoding import DecoderSettings
from fairlead.decoding.judging import judged
from fairlead.decoding.speaking import Speaker
from fairlead.generation.sampling import Sampling
from fairlead.models.policy import Policy
from fairlead.records import Prompt
from fairlead.rewards.base import Reply, RewardSource
from fairlead.stats.best_of_n import affordable_n, expected_at
from fairlead.stats.means import mean_estimate, paired_difference

PROXY, GOLD = "proxy", "gold"


@dataclass(frozen=True)
class Outcome:
    """What one way to decode said to every prompt."""

    replies: Sequence[Reply]
    scores: Mapping[str, np.ndarray]
    """Worth of each prompt's reply, by judge: "proxy" and, where it is known, "gold"."""
    policy_tokens: np.ndarray
    """Positions the policy computed for each prompt."""
    reward_tokens: np.ndarray
    reward_calls: np.ndarray
    counts: Mapping[str, float]
    """Means over the prompts of what else was counted."""

    @property
    def tokens(self) -> np.ndarray:
        """Positions that all models computed for each prompt."""
        return self.policy_tokens + self.reward_tokens


@dataclass(frozen=True)
class Curve:
    """Plain samples of every prompt, from which best-of-n follows for every n."""

    scores: Mapping[str, np.ndarray]
    """[prompt, sample] by judge."""
    lengths: np.ndarray
    """[prompt, sample] tokens."""
    fixed: np.ndarray
    """[prompt] positions that are computed once, whatever n is: the prompt's."""
    each: np.ndarray
    """[prompt, sample] positions computed for the sample, its scoring included."""
    clusters: Sequence[str]
    """Opening words of each prompt."""

    @property
    def samples(self) -> int:
        """Samples of each prompt."""
        return self.lengths.shape[1]

    def tokens(self, n: float) -> np.ndarray:
        """Positions that best of n computes for each prompt, expected."""
        return self.fixed + n * self.each.mean(axis=1)

    def best_of(self, n: float, judge: str) -> np.ndarray:
        """Expected worth of the best of n by the proxy, for each prompt."""
        both = zip(self.scores[PROXY], self.scores[judge], strict=True)
        return np.array([expected_at(proxy, worth, n) for proxy, worth in both])

    def matched(self, outcome: Outcome) -> float:
        """The n at which best-of-n costs as much on average over the prompts; at most the samples.

        A way that costs less than a sample and its scoring is held against one sample.
        """
        fixed, each = float(self.fixed.mean()), float(self.each.mean())
        budget = float(outcome.tokens.mean())
        return min(affordable_n(budget, fixed=fixed, each=each), float(self.samples))


@dataclass(frozen=True)
class Bench:
    """The prompts, the policy and the judges."""

    policy: Policy
    asked: Sequence[Prompt]
    reward: RewardSource
    gold: RewardSource | None
    seed: Seed

    def curve(self, sampling: Sampling, count: int) -> Curve:
        """Plain samples, scored and priced."""
        with section(Part.GENERATE):
            spoken = Speaker(self.policy).sample(
                self.asked, sampling, n=count, seed=self.seed.child("decode")
            )
        replies = [reply for own in spoken for reply in own.replies]
        shape = (len(spoken), count)
        with section(Part.REWARD):
            found = judged(self.reward, replies)
        lengths = np.array([len(reply.response_ids) for reply in replies]).reshape(shape)
        reading = np.array([cost.reward_tokens for _, cost in found]).reshape(shape)
        scores = self._scores(replies, [score for score, _ in found])
        return Curve(
            scores={judge: own.reshape(shape) for judge, own in scores.items()},
            lengths=lengths,
            fixed=np.array([len(own.replies[0].prompt_ids) for own in spoken]),
            each=lengths - 1 + reading,
            clusters=[prompt.first_user_turn for prompt in self.asked],
        )

    def outcome(self, settings: DecoderSettings, value: RewardSource | None) -> Outcome:
        """One reply to each prompt, by one way to decode; it draws what plain sampling draws."""
        decoder = settings.build(self.policy, self.reward, value)
        with section(Part.GENERATE):
            found = decoder.decode(self.asked, seed=self.seed.child("decode"))
        replies = [one.reply for one in found]
        names = list(found[0].counts)
        return Outcome(
            replies=replies,
            scores=self._scores(replies, [score for score, _ in judged(self.reward, replies)]),
            policy_tokens=np.array([one.spent.policy_tokens for one in found]),
            reward_tokens=np.array([one.spent.reward_tokens for one in found]),
            reward_calls=np.array([one.spent.reward_calls for one in found]),
            counts={n: float(np.mean([one.counts[n] for one in found])) for n in names},
        )

    def _scores(self, replies: Sequence[Reply], proxy: Sequence[float]) -> dict[str, np.ndarray]:
        scores = {PROXY: np.array(proxy)}
        if self.gold is not None:
            scores[GOLD] = self.gold.score(replies).values.double().numpy()
        return scores


def measures(curve: Curve, outcomes: Mapping[str, Outcome]) -> tuple[NamedEstimate, ...]:
    """Of every way: gain over a plain sample, difference from best-of-n at equal tokens, tokens.

    Intervals are over prompts, with equal opening words as clusters.
    """
    found: dict[str, Estimate] = {}
    for name, own in outcomes.items():
        n = curve.matched(own)
        for judge, worth in own.scores.items():
            found[f"{judge}_gain/{name}"] = paired_difference(
                worth, curve.scores[judge].mean(axis=1), clusters=curve.clusters
            )
            found[f"{judge}_over_best_of_n/{name}"] = paired_difference(
                worth, curve.best_of(n, judge), clusters=curve.clusters
            )
        found[f"tokens/{name}"] = mean_estimate(own.tokens, clusters=curve.clusters)
    return tuple(estimate.named(name) for name, estimate in found.items())


def sizes(curve: Curve) -> list[int]:
    """Powers of two up to the number of samples."""
    return [1 << power for power in range(curve.samples.bit_length())]


def table(curve: Curve, outcomes: Mapping[str, Outcome]) -> tuple[Table, ...]:
    """What each way is worth and costs, the cheapest first, and what else was counted."""
    judges = list(curve.scores)
    rows = [_plain(curve, n, judges) for n in sizes(curve)]
    rows += [_row(name, own, curve, judges) for name, own in outcomes.items()]
    columns = (
        "decoder",
        "tokens",
        "by the policy",
        "by reward models",
        "texts scored",
        "reply length (tokens)",
        *judges,
        "n at equal tokens",
        *(f"{judge} less best of that n" for judge in judges),
    )
    cheapest = tuple(sorted(rows, key=lambda row: float(row[1] or 0)))
    made = Table(title="Worth and cost per reply", columns=columns, rows=cheapest)
    counted = tuple(
        (name, count, value)
        for name, own in outcomes.items()
        for count, value in own.counts.items()
    )
    if not counted:
        return (made,)
    heads = ("decoder", "count", "mean")
    return made, Table(title="Counted on the way", columns=heads, rows=counted)


def _plain(curve: Curve, n: int, judges: Sequence[str]) -> tuple[Cell, ...]:
    """The row of best-of-n; a sample that is not scored costs less than best of 1."""
    policy = float((curve.fixed + n * (curve.lengths.mean(axis=1) - 1)).mean())
    tokens = float(curve.tokens(n).mean())
    worth = [float(curve.best_of(n, judge).mean()) for judge in judges]
    nothing = [None for _ in (None, *judges)]
    return (f"best of {n}", tokens, policy, tokens - policy, n, None, *worth, *nothing)


def _row(name: str, own: Outcome, curve: Curve, judges: Sequence[str]) -> tuple[Cell, ...]:
    n = curve.matched(own)
    lengths = [len(reply.response_ids) for reply in own.replies]
    means = (own.tokens, own.policy_tokens, own.reward_tokens, own.reward_calls, lengths)
    worth = [float(own.scores[judge].mean()) for judge in judges]
    over = [float((own.scores[j] - curve.best_of(n, j)).mean()) for j in judges]
    return (name, *(float(np.mean(values)) for values in means), *worth, n, *over)


def figures(curve: Curve, outcomes: Mapping[str, Outcome]) -> tuple[Figure, ...]:
    """Gain over a plain sample against tokens spent, for each judge."""
    return tuple(
        Figure(
            title=f"Gain in {judge} reward by tokens spent",
            x_label="tokens computed per reply (log2)",
            y_label=f"{judge} gain over a plain sample",
            series=(
                _series(
                    "best-of-n",
                    [curve.tokens(n) for n in sizes(curve)],
                    [curve.best_of(n, judge) for n in sizes(curve)],
                    curve,
                    judge,
                ),
                *(
                    _series(name, [own.tokens], [own.scores[judge]], curve, judge)
                    for name, own in outcomes.items()
                ),
            ),
            caption="A way to decode above the line of best-of-n gets more for the same tokens. "
            "Tokens are positions computed by the policy and by reward models. Bands and bars are "
            "95 % intervals over prompts.",
        )
        for judge in curve.scores
    )


def _series(
    label: str,
    tokens: Sequence[np.ndarray],
    worth: Sequence[np.ndarray],
    curve: Curve,
    judge: str,
) -> Series:
    plain = curve.scores[judge].mean(axis=1)
    gains = [paired_difference(own, plain, clusters=curve.clusters) for own in worth]
    return Series.of(
        label,
        tuple(float(np.log2(own.mean())) for own in tokens),
        gains,
        style="line" if len(tokens) > 1 else "points",
    )


def samples(asked: Sequence[Prompt], outcomes: Mapping[str, Outcome]) -> tuple[Sample, ...]:
    """What each way says to the first prompts."""
    return tuple(
        Sample(
            prompt="\n".join(f"{m.role}: {m.content}" for m in prompt.messages),
            replies=tuple(
                ShownReply(
                    policy=name,
                    text=own.replies[place].text,
                    scores=Scores(**{judge: float(v[place]) for judge, v in own.scores.items()}),
                )
                for name, own in outcomes.items()
            ),
        )
        for place, prompt in enumerate(asked)
    )
