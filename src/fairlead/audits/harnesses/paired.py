"""Scores that another harness gave to the same items under two models, as a gate."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from fairlead.core.errors import ConfigError, DataError
from fairlead.core.gates import Gate
from fairlead.core.results import Passage
from fairlead.stats.gates import paired_gate

SHOWN = 10


@dataclass(frozen=True)
class ItemScore:
    """What an item was worth, higher is better, and what led to it."""

    value: float
    """From 0 to 1; nan where it was not scored."""
    state: str = "scored"
    prompt: str = ""
    reply: str = ""


Scores = Mapping[str, ItemScore]
"""By item."""


def missing_package(package: str, extra: str, error: ImportError) -> ConfigError:
    """The error for a harness that is not installed."""
    return ConfigError(
        f"the package {package} is not installed",
        got=str(error),
        remedy=f"pip install 'fairlead[{extra}]'",
    )


def required(package: str, extra: str) -> ModuleType:
    """The package of a harness.

    Raises:
        ConfigError: it is not installed.
    """
    import importlib

    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise missing_package(package, extra, error) from error


def score_gate(
    name: str, harm: str, candidate: Scores, baseline: Scores, margin: float, *, hard: bool
) -> Gate:
    """The gate of a score that the candidate may not lose.

    Raises:
        DataError: the two did not answer the same items, or a score is not from 0 to 1.
    """
    check_same_items(candidate, baseline, name)
    ours = np.array([1 - candidate[item].value for item in candidate])
    theirs = np.array([1 - baseline[item].value for item in candidate])
    for harms in (ours, theirs):
        if ((harms < 0) | (harms > 1)).any():
            raise DataError(
                "a score is not from 0 to 1",
                where=name,
                expected="right or wrong, or a share",
                got=f"{1 - np.nanmax(harms):g} to {1 - np.nanmin(harms):g}",
                remedy="name another score or metric of the task",
            )
    states = [scores[item].state for scores in (candidate, baseline) for item in scores]
    return paired_gate(name, harm, ours, theirs, margin, states=states, hard=hard)


def check_same_items(candidate: Scores, baseline: Scores, where: str) -> None:
    """Refuses to compare different items.

    Raises:
        DataError: an item is missing on one side, or there are none.
    """
    apart = set(candidate) ^ set(baseline)
    if apart or not candidate:
        some = ", ".join(sorted(apart)[:3])
        raise DataError(
            "the two models did not answer the same items",
            where=where,
            expected="the same items on both sides",
            got=f"{len(apart)} on one side only: {some}" if apart else "no items",
            remedy="evaluate both on the same task with the same limit and order",
        )


def worst_losses(about: str, candidate: Scores, baseline: Scores) -> tuple[Passage, ...]:
    """The items on which the candidate lost most, with both replies."""
    losses = {k: baseline[k].value - candidate[k].value for k in candidate}
    lost = sorted((k for k in losses if losses[k] > 0), key=lambda k: (-losses[k], k))
    return tuple(
        Passage(
            about=about,
            prompt=candidate[k].prompt,
            baseline=baseline[k].reply,
            candidate=candidate[k].reply,
            note=f"item {k}: {_number(baseline[k].value)} to {_number(candidate[k].value)}",
        )
        for k in lost[:SHOWN]
    )


def _number(value: float) -> str:
    return "unscored" if math.isnan(value) else f"{value:g}"
