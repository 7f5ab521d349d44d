"""A world of pairs with a known quality, and rewards that see it more or less well."""

import json
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from scipy.special import expit, ndtri

from fairlead.audits.base import Model, Subject
from fairlead.audits.planted.scripted import Scripted
from fairlead.core.seeds import Seed
from fairlead.judges.asking import Answer
from fairlead.records import Prompt
from fairlead.rewards.base import FunctionReward, RewardSource

SHARPNESS = 2.0
"""Log-odds of a person's choice per unit of quality."""
TOPICS = ("bread", "bicycles", "gardens", "letters", "rivers", "clocks", "maps", "bridges")

_GRADE = re.compile(r"grade[* ]+(-?\d+)")


@dataclass(frozen=True)
class Pair:
    """Two replies of known quality, in random order, and how likely people prefer the first."""

    prompt: str
    replies: tuple[str, str]
    qualities: tuple[float, float]
    chance: float

    def row(self, first: bool, **columns: Any) -> dict[str, Any]:
        """A row of preference data in which the first reply was preferred, or the second."""
        better, worse = self.replies if first else self.replies[::-1]
        return {"prompt": self.prompt, "chosen": better, "rejected": worse, **columns}


def pairs(count: int, random: np.random.Generator) -> list[Pair]:
    """Pairs of replies whose quality is spread with standard deviation 1."""
    qualities = random.normal(size=(count, 2))
    return [
        Pair(
            prompt=f"Question {i}: what should I know about {TOPICS[i % len(TOPICS)]}?",
            replies=(reply_of(first, i), reply_of(second, i)),
            qualities=(first, second),
            chance=float(expit(SHARPNESS * (first - second))),
        )
        for i, (first, second) in enumerate(qualities.tolist())
    ]


def reply_of(quality: float, number: int) -> str:
    """A few sentences that say their own quality."""
    topic = TOPICS[number % len(TOPICS)]
    return (
        f"There are many ways to think about {topic}. This one has grade {round(1000 * quality)}. "
        f"You can begin with a small step, because that is often enough. It is a good idea to "
        f"show the result to a friend and ask for help."
    )


def quality_of(text: str) -> float:
    """What a reply says of its own quality; 0 where it says nothing."""
    found = _GRADE.search(text)
    return int(found.group(1)) / 1000 if found else 0.0


def noise(seed: Seed, *texts: str) -> float:
    """A standard normal number that depends on the texts alone."""
    digest = blake2b("\x1f".join(texts).encode(), digest_size=8, key=str(seed.value).encode())
    return float(ndtri((int.from_bytes(digest.digest(), "little") + 0.5) / 2**64))


def reward(
    seed: Seed, spread: float = 0.3, liking: Callable[[str], float] | None = None
) -> FunctionReward:
    """A reward that sees quality through noise of its own, and may like something else besides."""

    def score(prompt: Prompt, text: str) -> float:
        own = quality_of(text) + spread * noise(seed, prompt.messages[-1].content, text)
        return own + (liking(text) if liking else 0.0)

    return FunctionReward(score, "scripted")


def silent(seed: Seed) -> Model:
    """A model that is asked nothing."""
    return Model("silent", Scripted(lambda question, draws: Answer(text=""), seed=seed))


def subject(seed: Seed, **rewards: RewardSource) -> Subject:
    """Two models that are asked nothing, and rewards."""
    model = silent(seed)
    return Subject(candidate=model, baseline=model, seed=seed, rewards=dict(rewards))


@contextmanager
def stored(**files: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, str]]:
    """Rows as JSON Lines files, by name; they are gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        places = {name: f"{folder}/{name}.jsonl" for name in files}
        for name, rows in files.items():
            with open(places[name], "w", encoding="utf-8") as file:
                file.writelines(f"{json.dumps(row)}\n" for row in rows)
        yield places


def labelled(items: Sequence[Pair], random: np.random.Generator) -> list[bool]:
    """For each pair whether one person prefers the first reply."""
    return [bool(random.random() < item.chance) for item in items]
