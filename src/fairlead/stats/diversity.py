"""How different several texts of one author are: n-grams, answers, and what a reader sees first.

Measures that fall with length are to be taken at equal numbers of tokens (`at_equal_tokens`).
"""

import math
import re
from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np
from scipy.special import gammaln

from fairlead.core.errors import DataError

Tokens = tuple[str, ...]

_WORD = re.compile(r"\w+|[^\w\s]")


def words(text: str) -> Tokens:
    """Words and punctuation marks in lower case; the same for every model, unlike its tokens."""
    return tuple(_WORD.findall(text.lower()))


def answer_of(text: str) -> str:
    """A text as an answer: words alone, so that case and punctuation make no difference."""
    return " ".join(word for word in words(text) if word[0].isalnum() or word[0] == "_")


def at_equal_tokens(
    ours: Sequence[Tokens], theirs: Sequence[Tokens]
) -> tuple[list[Tokens], list[Tokens]]:
    """Both sets of texts, cut to the number of tokens of the smaller set.

    The longest texts are cut first, all to one length give or take a token. A set without any token
    cuts nothing.
    """
    totals = [sum(map(len, own)) for own in (ours, theirs)]
    budget = min(totals) or max(totals)
    return _cut(ours, budget), _cut(theirs, budget)


def ngrams(texts: Sequence[Tokens], order: int) -> Counter[Tokens]:
    """How often each run of `order` tokens occurs within a text."""
    return Counter(
        text[i : i + order] for text in texts for i in range(max(len(text) - order + 1, 0))
    )


def distinct(texts: Sequence[Tokens], orders: Sequence[int] = (1, 2, 3)) -> float:
    """Share of n-grams that differ, a mean over orders that occur; 0 where there is no token.

    Li et al. 2016, arXiv:1510.03055.
    """
    counts = [ngrams(texts, order) for order in orders]
    shares = [len(count) / count.total() for count in counts if count]
    return float(np.mean(shares)) if shares else 0.0


def expectation_adjusted_distinct(different: int, total: int, vocabulary: int) -> float:
    """Different tokens over those expected of `total` even draws from a vocabulary.

    U / (V (1 - ((V - 1) / V)^C)): unlike the plain share it does not fall with length (Liu et al.
    2022, arXiv:2202.13587). nan where nothing was drawn.
    """
    if not 0 <= different <= min(total, vocabulary):
        raise DataError(
            "counts that contradict each other",
            expected="no more different tokens than tokens, or than there are in the vocabulary",
            got=f"{different} different of {total}, vocabulary {vocabulary}",
        )
    if not total:
        return math.nan
    expected = -math.expm1(total * math.log1p(-1 / vocabulary)) if vocabulary > 1 else 1.0
    return different / (vocabulary * expected)


def self_bleu(texts: Sequence[Tokens], order: int = 4) -> float:
    """Mean BLEU of each text against all others; 1 where all are the same.

    Zhu et al. 2018, arXiv:1802.01886. BLEU of a sentence (Papineni et al. 2002) with 1 added to
    the counts of orders above 1 (Lin and Och 2004), up to `order` or the text's own length, so that
    short texts have one too. Texts without a token are left out.

    Returns:
        nan where fewer than two texts have a token.
    """
    spoken = [text for text in texts if text]
    if len(spoken) < 2:
        return math.nan
    counts = {n: [ngrams([text], n) for text in spoken] for n in range(1, order + 1)}
    highest = {n: _two_highest(own) for n, own in counts.items()}
    lengths = [len(text) for text in spoken]
    scores: list[float] = []
    for i, text in enumerate(spoken):
        logs: list[float] = []
        for n in range(1, min(order, len(text)) + 1):
            own = counts[n][i]
            hits = sum(min(c, _highest_without(c, *highest[n][gram])) for gram, c in own.items())
            more = int(n > 1)
            logs.append(
                math.log((hits + more) / (own.total() + more)) if hits + more else -math.inf
            )
        others = lengths[:i] + lengths[i + 1 :]
        closest = min(others, key=lambda other: (abs(other - len(text)), other))
        penalty = min(0.0, 1 - closest / len(text))
        scores.append(math.exp(penalty + sum(logs) / len(logs)))
    return float(np.mean(scores))


def expected_different(kinds: Sequence[Hashable], draws: int) -> float:
    """Expected number of different kinds among some of the samples, drawn without putting back.

    sum over kinds of 1 - C(N - n_kind, k) / C(N, k) (Hurlbert 1971): the mean over all subsets.

    Args:
        kinds: [sample] what each is.
        draws: how many are drawn, at most as many as there are.

    Raises:
        DataError: more draws than samples.
    """
    total = len(kinds)
    if not 0 <= draws <= total:
        raise DataError("more draws than samples", expected=f"at most {total}", got=str(draws))
    counts = np.array(list(Counter(kinds).values()))
    rest = total - counts
    possible = rest >= draws
    logs = _log_choose(rest[possible], draws) - _log_choose(np.array(total), draws)
    return float(len(counts) - np.exp(logs).sum())


def mode_share(kinds: Sequence[Hashable]) -> float:
    """Share of the most frequent kind; nan where there is none."""
    return max(Counter(kinds).values()) / len(kinds) if kinds else math.nan


def _cut(texts: Sequence[Tokens], budget: int) -> list[Tokens]:
    """Texts with `budget` tokens together, where they have more."""
    left, lengths = budget, {}
    # From the shortest: each gets its whole length or an even part of what is left.
    for place, i in enumerate(sorted(range(len(texts)), key=lambda i: len(texts[i]))):
        lengths[i] = min(len(texts[i]), left // (len(texts) - place))
        left -= lengths[i]
    return [text[: lengths[i]] for i, text in enumerate(texts)]


def _two_highest(counts: Sequence[Counter[Tokens]]) -> dict[Tokens, tuple[int, int]]:
    """The highest and the second highest count of each n-gram over texts."""
    found: dict[Tokens, tuple[int, int]] = {}
    for own in counts:
        for gram, count in own.items():
            first, second = found.get(gram, (0, 0))
            found[gram] = (count, first) if count > first else (first, max(second, count))
    return found


def _highest_without(own: int, first: int, second: int) -> int:
    """The highest count among the others: the second where the first is one's own."""
    return second if own == first else first


def _log_choose(n: np.ndarray, k: int) -> np.ndarray:
    return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
