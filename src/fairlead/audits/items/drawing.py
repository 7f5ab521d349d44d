"""Which items are asked about where there are more than wanted."""

from collections.abc import Sequence
from typing import TypeVar

from fairlead.core.seeds import Seed

Item = TypeVar("Item")


def drawn(items: Sequence[Item], most: int, seed: Seed) -> tuple[Item, ...]:
    """At most so many items, drawn at random, in their order."""
    if len(items) <= most:
        return tuple(items)
    kept = seed.numpy().permutation(len(items))[:most]
    return tuple(items[i] for i in sorted(kept))


def drawn_groups(
    items: Sequence[Item], keys: Sequence[str], most: int, seed: Seed
) -> tuple[Item, ...]:
    """Whole groups of items, drawn at random as long as they fit (the first does), in order."""
    if len(items) <= most:
        return tuple(items)
    groups = list(dict.fromkeys(keys))
    sizes = dict.fromkeys(groups, 0)
    for key in keys:
        sizes[key] += 1
    kept: set[str] = set()
    count = 0
    for i in seed.numpy().permutation(len(groups)):
        if count + sizes[groups[i]] <= most or not kept:
            kept.add(groups[i])
            count += sizes[groups[i]]
    return tuple(item for item, key in zip(items, keys, strict=True) if key in kept)
