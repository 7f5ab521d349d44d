"""Which option a token or a text names, tolerant only where nothing is ambiguous."""

import math
import re
from collections.abc import Iterable, Sequence

BLANK = " \t\r\n"
WRAPPING = " \t\r\n\"'`*_()[].:,;!"
"""What may stand around an option in a text."""


def shares(
    tokens: Iterable[tuple[str, float]], options: Sequence[str]
) -> tuple[tuple[float, ...], float]:
    """Probability of each option among the options, and of all of them together.

    Args:
        tokens: likeliest first tokens of the answer, as (text, log-probability in nats).
        options: what may be answered.

    Returns:
        Probabilities that add up to 1, empty where no token names an option; and their sum before
        that.
    """
    names = _Names(options, BLANK)
    found = [0.0] * len(options)
    for text, logp in tokens:
        if (option := names.of(text)) is not None:
            found[option] += math.exp(logp)
    mass = sum(found)
    if mass <= 0:
        return (), 0.0
    return tuple(share / mass for share in found), min(mass, 1.0)


def named(text: str, options: Sequence[str]) -> int | None:
    """The option that a text names by itself or alone on its last line; None for none."""
    names = _Names(options, WRAPPING)
    lines = [line for line in text.strip().splitlines() if line.strip(WRAPPING)]
    if not lines:
        return None
    last = lines[-1]
    # "Verdict: A" counts; a line that goes on behind the option does not.
    tail = re.split(r"[:=]", last)[-1]
    found = {names.of(part) for part in (text, last, tail)} - {None}
    return found.pop() if len(found) == 1 else None


class _Names:
    """Options by their exact words, and by those in small letters, where each is named once."""

    def __init__(self, options: Sequence[str], around: str) -> None:
        self._around = around
        words = [option.strip(around) for option in options]
        self._exact = _once(words)
        self._folded = _once([word.casefold() for word in words])

    def of(self, text: str) -> int | None:
        word = text.strip(self._around)
        return self._exact.get(word, self._folded.get(word.casefold()))


def _once(words: Sequence[str]) -> dict[str, int]:
    return {word: i for i, word in enumerate(words) if word and words.count(word) == 1}
