"""Texts that occur in other texts, word for word or nearly so."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fairlead.stats.diversity import answer_of

RUN = 5
"""Words in a row that are compared."""


@dataclass(frozen=True)
class Overlap:
    """Where a text was found again."""

    share: float
    """Share of its runs of words that one other text has; 1 for the same words."""
    exact: bool
    """Whether the other text has the same words and no more."""
    where: int
    """Number of the other text; -1 for none."""


def overlaps(texts: Sequence[str], others: Iterable[str], run: int = RUN) -> list[Overlap]:
    """For each text the one among others that has most of it.

    Words are compared without case and punctuation. A text of fewer words than `run` can only be
    found as a whole. Others are read once and not kept.

    Args:
        texts: what is looked for, such as the prompts of a test.
        others: where, such as the training data.
        run: words in a row that are compared.
    """
    normal = [answer_of(text) for text in texts]
    whole: dict[str, list[int]] = defaultdict(list)
    holders: dict[tuple[str, ...], list[int]] = defaultdict(list)
    sizes = [0] * len(texts)
    for i, text in enumerate(normal):
        if text:
            whole[text].append(i)
        runs = _runs(text, run)
        sizes[i] = len(runs)
        for one in runs:
            holders[one].append(i)
    best = [Overlap(0.0, exact=False, where=-1)] * len(texts)
    for number, other in enumerate(others):
        text = answer_of(other)
        shared = Counter(i for one in _runs(text, run) for i in holders.get(one, ()))
        for i, count in shared.items():
            share = count / sizes[i]
            if share > best[i].share:
                best[i] = Overlap(share, exact=False, where=number)
        for i in whole.get(text, ()):
            if not best[i].exact:
                best[i] = Overlap(1.0, exact=True, where=number)
    return best


def _runs(text: str, run: int) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[i : i + run]) for i in range(len(words) - run + 1)}
