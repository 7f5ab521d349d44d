"""Simulated annotators with known faults, and the accuracy that their noise leaves possible."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat
from scipy.special import expit

from fairlead.core.errors import DataError
from fairlead.core.estimates import Estimate
from fairlead.core.seeds import Seed
from fairlead.records import Comparison, Prompt, Provenance
from fairlead.stats.means import mean_estimate

Fault = Literal["none", "random", "inverted", "position", "length", "sycophantic"]


class World(Protocol):
    """What an annotator has to know about the replies it judges."""

    def gold(self, prompt: Prompt, response: str) -> float:
        """True worth of a reply."""
        ...

    def agrees_with_user(self, prompt: Prompt, response: str) -> bool:
        """Whether a reply confirms what the user has wrong."""
        ...


class Annotator(BaseModel):
    """Prefers the better of two replies with Bradley-Terry noise, and possibly with a fault.

    P(the reply shown first is preferred) = sigmoid(advantage / temperature), where the advantage
    is the difference in true worth, changed by the fault.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Pseudonym, kept as the provenance of each label."""
    fault: Fault = "none"
    """`none`: judges the true worth. `random`: ignores the replies. `inverted`: prefers the worse.
    `position`: adds `strength` to the reply shown first. `length`: adds `strength` per word.
    `sycophantic`: adds `strength` to a reply that confirms what the user has wrong."""
    temperature: PositiveFloat = 0.5
    """Noise, in units of worth: a lead of one temperature is preferred 73 % of the time."""
    strength: float = Field(default=1.0, ge=0)
    """Weight of the fault, in units of worth; unused by `none`, `random` and `inverted`."""

    def probability(self, world: World, prompt: Prompt, a: str, b: str) -> float:
        """P(a is preferred) where a is shown first."""
        return float(expit(self._advantage(world, prompt, a, b) / self.temperature))

    def compare(self, world: World, prompt: Prompt, a: str, b: str, seed: Seed) -> Comparison:
        """Chooses between two replies, a shown first; the prompt's provenance names the judge."""
        first = seed.numpy().random() < self.probability(world, prompt, a, b)
        judged = Provenance(source="simulated annotator", annotator=self.name, feedback="human")
        return Comparison(
            prompt=prompt.model_copy(update={"provenance": judged}),
            chosen=a if first else b,
            rejected=b if first else a,
        )

    def _advantage(self, world: World, prompt: Prompt, a: str, b: str) -> float:
        difference = world.gold(prompt, a) - world.gold(prompt, b)
        match self.fault:
            case "none":
                return difference
            case "random":
                return 0.0
            case "inverted":
                return -difference
            case "position":
                return difference + self.strength
            case "length":
                return difference + self.strength * (_words(a) - _words(b))
            case "sycophantic":
                lead = world.agrees_with_user(prompt, a) - world.agrees_with_user(prompt, b)
                return difference + self.strength * lead


@dataclass(frozen=True)
class Labels:
    """Comparisons by a pool of annotators, and what was left out."""

    comparisons: list[Comparison]
    identical: int
    """Pairs left out because both replies were the same text."""


def label(
    world: World,
    prompts: Sequence[Prompt],
    replies: Sequence[Sequence[str]],
    pool: Sequence[Annotator],
    seed: Seed,
    *,
    pairs_per_prompt: int = 1,
) -> Labels:
    """Has random pairs of replies judged, each by one random annotator of the pool.

    Args:
        world: knows the true worth of replies.
        prompts: what was asked.
        replies: at least two replies to each prompt.
        pool: who judges; every annotator is equally likely.
        seed: draws pairs, the order they are shown in, annotators and choices.
        pairs_per_prompt: different pairs of one prompt; all of them where there are fewer.

    Returns:
        The comparisons in order of prompts, and the number of identical pairs.

    Raises:
        DataError: a prompt without two replies, or nobody to judge.
    """
    _check_pool(pool)
    _check_replies(prompts, replies)
    comparisons: list[Comparison] = []
    identical = 0
    for i, (prompt, texts) in enumerate(zip(prompts, replies, strict=True)):
        for j, (a, b) in enumerate(_pairs(texts, pairs_per_prompt, seed.child(i, "pairs"))):
            if a == b:
                identical += 1
                continue
            judge = pool[seed.child(i, j, "judge").numpy().integers(len(pool)).item()]
            comparisons.append(judge.compare(world, prompt, a, b, seed.child(i, j, "choice")))
    return Labels(comparisons, identical)


def preference(world: World, pool: Sequence[Annotator], prompt: Prompt, a: str, b: str) -> float:
    """P(a is preferred) by a random annotator of the pool, in random order of showing.

    Raises:
        DataError: nobody to judge.
    """
    _check_pool(pool)
    first = [judge.probability(world, prompt, a, b) for judge in pool]
    second = [1 - judge.probability(world, prompt, b, a) for judge in pool]
    return float(np.mean(first + second))


def accuracy_ceiling(
    world: World, pool: Sequence[Annotator], comparisons: Sequence[Comparison]
) -> Estimate:
    """The accuracy no scorer can pass on labels that this pool gives to these pairs.

    A scorer that sees only the two replies does best by siding with the likelier choice, and is
    then right with probability max(p, 1 - p). The interval is Student's, with prompts as clusters
    of a ratio mean.

    Args:
        world: knows the true worth of replies.
        pool: who judges; one annotator or several that are equally likely.
        comparisons: the pairs; who won does not matter.

    Raises:
        DataError: fewer than two prompts, or nobody to judge.
    """
    likely = [preference(world, pool, c.prompt, c.chosen, c.rejected) for c in comparisons]
    return mean_estimate(
        [max(p, 1 - p) for p in likely],
        clusters=[c.prompt.messages for c in comparisons],
    )


def _check_pool(pool: Sequence[Annotator]) -> None:
    if not pool:
        raise DataError("nobody to judge", expected="at least one annotator")


def _check_replies(prompts: Sequence[Prompt], replies: Sequence[Sequence[str]]) -> None:
    if len(prompts) != len(replies):
        raise DataError(
            "prompts and replies differ in number",
            expected=f"{len(prompts)} lists of replies",
            got=str(len(replies)),
        )
    for i, texts in enumerate(replies):
        if len(texts) < 2:
            raise DataError(
                "a prompt has too few replies to compare",
                where=f"prompt {i}",
                expected="at least two replies",
                got=str(len(texts)),
            )


def _pairs(texts: Sequence[str], n: int, seed: Seed) -> list[tuple[str, str]]:
    """Different random pairs, each in random order."""
    rng = seed.numpy()
    pairs = list(combinations(texts, 2))
    drawn = [pairs[k] for k in rng.permutation(len(pairs))[:n].tolist()]
    return [(a, b) if rng.random() < 0.5 else (b, a) for a, b in drawn]


def _words(text: str) -> int:
    """Number of words, without punctuation."""
    return sum(any(c.isalnum() for c in word) for word in text.split())
