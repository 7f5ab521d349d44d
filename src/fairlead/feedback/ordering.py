"""In which order replies are shown: balanced within items and within people, and recorded."""

from collections.abc import Sequence

from fairlead.core.seeds import Seed


def next_turn(shown: Sequence[int], k: int, pairs_n: int, first_n: int, seed: Seed) -> int:
    """Which rotation of an item's replies comes next.

    Within an item every rotation is shown equally often, up to one. Where that leaves two open for
    a pair, the person decides: of each four pairs they see two in each order, and what the item
    forced on them is made up for in the next four.

    Args:
        shown: rotations of the item's other assignments.
        k: how many replies.
        pairs_n: how many pairs the person has seen.
        first_n: how many of those in the item's own order (rotation 0).
        seed: of this draw.
    """
    if k < 2:
        return 0
    counts = [shown.count(turn) for turn in range(k)]
    least = [turn for turn in range(k) if counts[turn] == min(counts)]
    if len(least) == 1:
        return least[0]
    draw = float(seed.numpy().random())
    if k == 2:
        return 0 if draw < _share_of_first(pairs_n, first_n) else 1
    return least[int(draw * len(least))]


def shown_order(candidates: Sequence[int], turn: int, item_seed: Seed) -> list[int]:
    """Candidate ids as shown: the item's base order, rotated by `turn`.

    The base order of a pair is its own, that of more replies a permutation drawn per item.
    """
    base = list(candidates)
    if len(base) > 2:
        base = [base[i] for i in item_seed.numpy().permutation(len(base))]
    return base[turn:] + base[:turn] if base else []


def _share_of_first(pairs_n: int, first_n: int) -> float:
    """Permuted blocks of four: what is left of the block's two and two."""
    quota = 2 * (pairs_n // 4 + 1)
    first, second = max(0, quota - first_n), max(0, quota - (pairs_n - first_n))
    return first / (first + second)
