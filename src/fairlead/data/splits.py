"""Splits that keep together what belongs together."""

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import TypeVar

from fairlead.core.errors import ConfigError, DataError
from fairlead.core.seeds import Seed
from fairlead.data.checks import prompt_of
from fairlead.records import Record

R = TypeVar("R", bound=Record)


def first_user_turn(record: Record) -> str:
    """The opening words of the user, which paraphrases and continuations of a prompt share."""
    return prompt_of(record).first_user_turn


def split(
    records: Sequence[R],
    fractions: Mapping[str, float],
    seed: Seed,
    group: Callable[[R], str] = first_user_turn,
) -> dict[str, tuple[R, ...]]:
    """Divides records into named parts; records of one group stay together.

    A group's part follows from a hash of its key and the seed alone, so it depends neither on the
    order of the records nor on which others there are. The sizes are therefore near the fractions,
    not equal to them.

    Args:
        records: what to divide.
        fractions: share of the groups of each part; above 0 and together 1.
        seed: another seed gives another division.
        group: the key of a record; by default its opening user turn.

    Returns:
        The parts in the order of `fractions`, each in the order of `records`.

    Raises:
        ConfigError: the fractions are not shares of a whole.
        DataError: a part got no record.
    """
    names = list(fractions)
    bounds = _bounds(fractions)
    parts: dict[str, list[R]] = {name: [] for name in names}
    groups: dict[str, str] = {}
    for record in records:
        key = group(record)
        if key not in groups:
            groups[key] = names[bisect_right(bounds, _place(key, seed))]
        parts[groups[key]].append(record)
    for name, part in parts.items():
        if not part:
            raise _empty(name, fractions, len(records), len(groups))
    return {name: tuple(part) for name, part in parts.items()}


def _bounds(fractions: Mapping[str, float]) -> list[float]:
    """Upper ends of all parts but the last, as places in [0, 1)."""
    shares = list(fractions.values())
    whole = math.isclose(sum(shares), 1.0, abs_tol=1e-9)
    if not shares or not whole or min(shares) <= 0:
        raise ConfigError(
            "the fractions of a split must be shares of a whole",
            expected="numbers above 0 that add to 1, as in {train: 0.9, test: 0.1}",
            got=str(dict(fractions)),
            remedy="leave out parts that should be empty and let the others add to 1",
        )
    return list(accumulate(shares))[:-1]


def _place(key: str, seed: Seed) -> float:
    """Where a group falls in [0, 1); uniform over keys."""
    return seed.child("split", key).value / 2**63


def _empty(name: str, fractions: Mapping[str, float], records: int, groups: int) -> DataError:
    return DataError(
        "a part of the split is empty",
        where=f"part {name}",
        expected=f"about {fractions[name] * groups:.1f} of {groups} groups",
        got=f"no record of {records}",
        remedy="raise its fraction, use more data, another seed, or group by something finer",
    )
