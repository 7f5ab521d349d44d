"""A copy to train, and looks at it on the way."""

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from fairlead.audits.base import Model
from fairlead.core.errors import ConfigError
from fairlead.core.gates import Gate
from fairlead.core.seeds import Seed
from fairlead.judges.local import LocalRespondent
from fairlead.models.loading import Lora
from fairlead.models.policy import Policy
from fairlead.stats.gates import SCORED, unscored_of
from fairlead.training.source import Ranks, Source, Step

Look = Callable[[int], None]
"""Called with the optimizer steps done so far."""


def copy_of(model: Model, lora: Lora | None, seed: Seed) -> Policy:
    """A policy with the same weights that may be trained; the model itself is never touched.

    Adapters that the model has are merged into the copy first.

    Raises:
        ConfigError: the model is not in this process.
    """
    if model.policy is None:
        raise ConfigError(
            "a model behind a server cannot be trained",
            where=model.name,
            expected="a folder or a hub name",
            remedy="give the weights, or leave the audit out",
        )
    inner: Any = copy.deepcopy(model.policy.model)
    if model.policy.adapts:
        inner = inner.merge_and_unload()
    inner.requires_grad_(True)
    if lora is not None:
        inner = lora.model_copy(update={"seed": seed.child("lora").value}).wrap(inner)
    return Policy(inner, model.policy.tokenizer, base=model.policy.base)


def respondent_of(policy: Policy, name: str, seed: Seed) -> Model:
    """A policy in this process as a model that can be asked."""
    return Model(name, LocalRespondent(policy, seed=seed, name=name), policy)


def looks_at(steps: int, count: int) -> tuple[int, ...]:
    """Steps at which to look: 0, the last, and between them ever wider apart.

    Relearning is quick or not at all, so most is to be seen at the beginning.

    Args:
        steps: of the whole training, at least 1.
        count: looks after step 0, at least 1.
    """
    shares = ((i + 1) / count for i in range(count))
    return tuple(sorted({0, *(max(1, round(steps * share**2)) for share in shares)}))


def gaps_of(looks: Iterable[Sequence[str]]) -> dict[str, int]:
    """Items without a score at any look, by the first state that says why.

    Args:
        looks: [look][item] state of the answer.
    """
    first = [
        next((state for state in states if state != SCORED), SCORED)
        for states in zip(*looks, strict=True)
    ]
    return unscored_of(first)


def undecided(gate: Gate) -> Gate:
    """The gate where training did not take: what nothing was done to cannot have withstood it."""
    nothing = {"low": float("nan"), "high": float("nan")}
    method = f"{gate.change.method}; no interval, for the training did not take"
    change = gate.change.model_copy(update={**nothing, "method": method})
    return gate.model_copy(update={"change": change, "verdict": "inconclusive", "needed": None})


class Watched:
    """A source that has somebody look at the model before some of its steps.

    Args:
        source: where steps come from.
        look: called before the step, and so with as many steps done.
        at: the steps before which to look.
    """

    def __init__(self, source: Source, look: Look, at: tuple[int, ...]) -> None:
        self.source = source
        self.look = look
        self.at = frozenset(at)

    @property
    def steps(self) -> int:
        """Those of the source."""
        return self.source.steps

    @property
    def finished(self) -> bool:
        """Whether the source is."""
        return self.source.finished

    def step(self, index: int, ranks: Ranks) -> Step:
        """The source's step, after a look where one is due."""
        if index in self.at:
            self.look(index)
        return self.source.step(index, ranks)

    def observe(self, metrics: dict[str, float]) -> None:
        """Handed on."""
        self.source.observe(metrics)

    def between(self, index: int) -> bool:
        """Never: the training of an audit is short and is not resumed."""
        return False

    def state(self) -> dict[str, Any]:
        """That of the source."""
        return self.source.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Handed on."""
        self.source.restore(state)
