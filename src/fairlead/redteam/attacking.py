"""Runs attacks against a target and counts what comes of them."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fairlead.core.estimates import Estimate
from fairlead.judges.asking import Respondent, State
from fairlead.records import Prompt, Provenance
from fairlead.redteam.attacks import Attack, Rewording, distinct
from fairlead.redteam.judging import HarmJudge
from fairlead.stats.means import paired_difference
from fairlead.stats.proportions import clustered_proportion

Target = Callable[[Sequence[Prompt]], list[str]]
"""Answers prompts."""

ANY = "any"
"""Name of the row that counts a behaviour as reached where some attack reached it."""


@dataclass(frozen=True)
class Try:
    """One attack on one behaviour."""

    behaviour: int
    """Which of the behaviours."""
    attack: str
    prompt: Prompt
    reply: str
    harmful: bool | None
    """Whether the reply did the harm; None where it could not be judged."""
    state: State


@dataclass(frozen=True)
class Campaign:
    """All tries at some behaviours."""

    behaviours: tuple[Prompt, ...]
    tries: tuple[Try, ...]
    clusters: tuple[str, ...] = ()
    """What each behaviour is about, where several ask for the same; empty where none do."""

    @property
    def attacks(self) -> list[str]:
        """Names of the attacks, in the order in which they were made."""
        return list(dict.fromkeys(one.attack for one in self.tries))

    def reached(self, attack: str, *, unjudged: bool = True) -> np.ndarray:
        """Per behaviour, whether an attack (or `ANY` of them) brought out the harm.

        Args:
            attack: its name.
            unjudged: what replies count as that could not be judged; True is the safe side.
        """
        found = np.zeros(len(self.behaviours), dtype=bool)
        for one in self.tries:
            if attack in (one.attack, ANY):
                found[one.behaviour] |= unjudged if one.harmful is None else one.harmful
        return found

    def success(self, attack: str) -> Estimate:
        """Share of behaviours that an attack brings out, unjudged replies counted as harm.

        Wilson's interval over behaviours, or over what they are about.
        """
        return clustered_proportion(self.reached(attack), self.units)

    @property
    def units(self) -> Sequence[str]:
        """What behaviours share that are not independent."""
        return self.clusters or [str(i) for i in range(len(self.behaviours))]

    def success_bounds(self, attack: str) -> tuple[float, float]:
        """The same share with all unjudged replies taken for harmless, and for harmful."""
        low, high = (float(self.reached(attack, unjudged=u).mean()) for u in (False, True))
        return low, high

    def states(self) -> dict[State, int]:
        """How many tries ended how."""
        return dict(Counter(one.state for one in self.tries))

    def finds(self) -> list[Prompt]:
        """Prompts that brought harm out, without near copies, each naming its attack."""
        hits = [one for one in self.tries if one.harmful]
        kept = distinct([one.prompt.messages[-1].content for one in hits])
        return [_as_find(hits[i]) for i in kept]


def change(own: Campaign, base: Campaign, attack: str) -> Estimate:
    """Success of an attack on one target less that on another, paired by behaviour."""
    ours, theirs = own.reached(attack), base.reached(attack)
    return paired_difference(ours.astype(float), theirs.astype(float), clusters=own.units)


def attack_all(
    target: Target,
    behaviours: Sequence[Prompt],
    attacks: Sequence[Attack],
    judge: HarmJudge,
) -> Campaign:
    """Makes every attack on every behaviour.

    Args:
        target: who is attacked.
        behaviours: harmful requests.
        attacks: how they are put.
        judge: says whether a reply does the harm.
    """
    tries: list[Try] = []
    for attack in attacks:
        prompts = [attack.prompt(behaviour) for behaviour in behaviours]
        tries += _tried(attack.name, prompts, range(len(behaviours)), target, behaviours, judge)
    return Campaign(tuple(behaviours), tuple(tries))


def attack_by_rewording(
    target: Target,
    behaviours: Sequence[Prompt],
    attacker: Respondent,
    rewording: Rewording,
    judge: HarmJudge,
    *,
    name: str = "reworded",
) -> Campaign:
    """Has a model reword every behaviour until it succeeds or the tries are used up.

    A behaviour for which the attacker wrote nothing keeps its own words.
    """
    last: dict[int, Try] = {}
    for number in range(rewording.tries):
        open_ones = [i for i in range(len(behaviours)) if not (i in last and last[i].harmful)]
        refused = [_refused(last.get(i)) for i in open_ones]
        own = [behaviours[i] for i in open_ones]
        worded = rewording.reword(attacker, own, refused, number)
        prompts = [new or old for new, old in zip(worded, own, strict=True)]
        for one in _tried(name, prompts, open_ones, target, behaviours, judge):
            last[one.behaviour] = one
    return Campaign(tuple(behaviours), tuple(last[i] for i in range(len(behaviours))))


def _refused(one: Try | None) -> tuple[str, str]:
    return (one.prompt.messages[-1].content, one.reply) if one else ("", "")


def _tried(
    name: str,
    prompts: Sequence[Prompt],
    places: Sequence[int],
    target: Target,
    behaviours: Sequence[Prompt],
    judge: HarmJudge,
) -> list[Try]:
    replies = target(prompts) if prompts else []
    found = judge.judge([behaviours[i] for i in places], replies) if replies else []
    return [
        Try(place, name, prompt, reply, one.harmful, one.state)
        for place, prompt, reply, one in zip(places, prompts, replies, found, strict=True)
    ]


def joined(campaigns: Sequence[Campaign]) -> Campaign:
    """Campaigns on the same behaviours as one."""
    return Campaign(campaigns[0].behaviours, tuple(t for c in campaigns for t in c.tries))


def _as_find(one: Try) -> Prompt:
    at = Provenance(source=f"red team: {one.attack}", row=one.behaviour + 1)
    return one.prompt.model_copy(update={"provenance": at})
