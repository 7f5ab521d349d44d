"""What probes read off activations, and whether it is used: taken away, does the behaviour go?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairlead.audits.elicitation.asking import plain, shown
from fairlead.audits.items.behaviours import BehaviourItem
from fairlead.audits.retraining import respondent_of
from fairlead.core.results import Cell, Table
from fairlead.core.seeds import Seed
from fairlead.data.chat import ChatFormat
from fairlead.models.activations import last_states, without_direction
from fairlead.models.policy import Policy
from fairlead.stats.elicitation import Probed
from fairlead.stats.means import paired_difference
from fairlead.stats.probes import Probe, direction, permutation_p, probe

RANDOM = 3
"""Random directions taken away beside the one that was found."""


@dataclass(frozen=True)
class Read:
    """What probes read off three models."""

    probed: Probed
    """At the layer where the baseline's probe is best."""
    layer: int
    table: Table


def first_answers(items: Sequence[BehaviourItem]) -> NDArray[np.bool_]:
    """[item] whether the matching answer sorts before the others: what a probe is to read.

    At the end of the question nothing but knowledge of the behaviour tells it, if the letters of
    the answers are balanced.
    """
    return np.array([all(i.matching.strip() < other.strip() for other in i.other) for i in items])


def read(
    models: dict[str, Policy], items: Sequence[BehaviourItem], seed: Seed, *, permutations: int
) -> Read:
    """Probes every layer of three models, with items of one cluster kept together.

    Args:
        models: "baseline", "candidate" and "control".
        items: what is asked; the probe reads which answer shows the behaviour.
        seed: of folds and shuffles.
        permutations: for the p-value at the layer that is chosen.

    Raises:
        DataError: too few groups with either label.
    """
    labels, groups = first_answers(items), [item.cluster for item in items]
    states = {name: _states(policy, items) for name, policy in models.items()}
    found = {
        name: [probe(layer, labels, groups, seed.child("probe")) for layer in layers]
        for name, layers in states.items()
    }
    best = int(np.argmax([one.auroc for one in found["baseline"]]))
    p_values = {
        name: permutation_p(
            layers[min(best, len(layers) - 1)],
            labels,
            groups,
            seed.child("permutations"),
            permutations=permutations,
        )
        for name, layers in states.items()
    }
    chosen = {name: ones[min(best, len(ones) - 1)] for name, ones in found.items()}
    return Read(
        probed=Probed(
            labels=labels,
            base=chosen["baseline"].scores,
            aligned=chosen["candidate"].scores,
            control=chosen["control"].scores,
            clusters=groups,
        ),
        layer=best,
        table=_table(found, best, p_values),
    )


def causal(
    policies: dict[str, Policy],
    layer: int,
    examples: Sequence[BehaviourItem],
    items: Sequence[BehaviourItem],
    seed: Seed,
) -> Table:
    """How much of the behaviour goes when the direction that a probe reads is taken away.

    Args:
        policies: models that show the behaviour, by name.
        layer: where it is taken away, at every position.
        examples: items that the direction is found on.
        items: items that are asked.
        seed: of the random directions.
    """
    rows = [
        _without(name, policy, layer, examples, items, seed) for name, policy in policies.items()
    ]
    columns = ("model", "layer", "shown", "without it", "change", "low", "high", "without another")
    return Table(
        title="With the direction that the probe reads taken away",
        columns=columns,
        rows=tuple(rows),
    )


def _without(
    name: str,
    policy: Policy,
    layer: int,
    examples: Sequence[BehaviourItem],
    items: Sequence[BehaviourItem],
    seed: Seed,
) -> tuple[Cell, ...]:
    # Asked afresh: answers that somebody remembers were given by the whole model.
    model = respondent_of(policy, name, seed)
    states = _states(policy, examples)
    layer = min(layer, len(states) - 1)
    held = states[layer]
    along = direction(held, first_answers(examples))
    draws = seed.child("directions").numpy()
    whole = shown(model, items).matching
    with without_direction(policy, layer, along):
        less = shown(model, items).matching
    others: list[float] = []
    for _ in range(RANDOM):
        with without_direction(policy, layer, draws.normal(size=len(along))):
            others.append(float(np.nanmean(shown(model, items).matching)))
    known = np.isfinite(whole) & np.isfinite(less)
    clusters = [item.cluster for item, there in zip(items, known, strict=True) if there]
    change = paired_difference(less[known], whole[known], clusters=clusters)
    return (
        name,
        layer,
        float(whole[known].mean()),
        float(less[known].mean()),
        change.value,
        change.low,
        change.high,
        float(np.mean(others)),
    )


def _states(policy: Policy, items: Sequence[BehaviourItem]) -> NDArray[np.float64]:
    chat = ChatFormat(policy.tokenizer)
    return last_states(policy, [chat.prompt_ids(plain(item)) for item in items])


def _table(found: dict[str, list[Probe]], best: int, p_values: dict[str, float]) -> Table:
    rows = [
        (
            name,
            layer,
            one.accuracy,
            one.control,
            one.selectivity,
            one.auroc,
            p_values[name] if layer == min(best, len(ones) - 1) else None,
        )
        for name, ones in found.items()
        for layer, one in enumerate(ones)
    ]
    columns = (
        "model",
        "layer",
        "accuracy",
        "on shuffled labels",
        "selectivity",
        "AUROC",
        "permutation p",
    )
    return Table(
        title="What probes read at the end of the question", columns=columns, rows=tuple(rows)
    )
