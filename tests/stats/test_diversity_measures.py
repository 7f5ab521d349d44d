"""Measures of diversity: hand-worked numbers, brute force, and parity with nltk."""

import math
from collections import Counter
from itertools import combinations

import pytest
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

from fairlead.core.errors import DataError
from fairlead.core.seeds import Seed
from fairlead.stats.diversity import (
    answer_of,
    at_equal_tokens,
    distinct,
    expectation_adjusted_distinct,
    expected_different,
    mode_share,
    ngrams,
    self_bleu,
    words,
)


def _texts(seed: int, count: int, longest: int = 20, shortest: int = 4):
    draws = Seed(seed).numpy()
    sizes = draws.integers(shortest, longest, count)
    return [tuple("abcdefg"[i] for i in draws.integers(0, 7, n)) for n in sizes]


def test_words_and_answers():
    assert words("It's 4.5, no?") == ("it", "'", "s", "4", ".", "5", ",", "no", "?")
    assert answer_of("  The Answer: 42. ") == "the answer 42"
    assert answer_of("...") == ""


def test_distinct_by_hand():
    texts = [("a", "b", "a"), ("a", "b")]
    assert ngrams(texts, 2) == Counter({("a", "b"): 2, ("b", "a"): 1})
    # 2 of 5 words, 2 of 3 pairs, 1 of 1 triple.
    assert distinct(texts) == pytest.approx((2 / 5 + 2 / 3 + 1) / 3)
    assert distinct([("a",)]) == 1.0
    assert distinct([(), ()]) == 0.0


def test_a_collapsed_sampler_has_one_over_k():
    assert distinct([("a", "b", "c", "d")] * 8) == pytest.approx(1 / 8)


@pytest.mark.parametrize("seed", range(4))
def test_both_sets_end_with_the_same_tokens(seed):
    ours, theirs = _texts(seed, 6), _texts(seed + 50, 6, longest=40)
    cut, also = at_equal_tokens(ours, theirs)
    budget = min(sum(map(len, ours)), sum(map(len, theirs)))
    assert sum(map(len, cut)) == sum(map(len, also)) == budget
    assert all(a == b[: len(a)] for a, b in zip(cut + also, ours + theirs, strict=True))
    shortened = [len(a) for a, b in zip(also, theirs, strict=True) if len(a) < len(b)]
    assert max(map(len, also)) - min(shortened, default=0) <= 1 or not shortened


def test_silence_cuts_nothing():
    cut, also = at_equal_tokens([(), ()], [("a", "b"), ("c",)])
    assert (cut, also) == ([(), ()], [("a", "b"), ("c",)])


def test_expectation_adjusted_by_hand():
    # 3 draws from 4 kinds: 4 (1 - (3/4)^3) = 2.3125 different ones are expected.
    assert expectation_adjusted_distinct(2, 3, 4) == pytest.approx(2 / 2.3125)
    assert expectation_adjusted_distinct(1, 9, 1) == 1.0
    assert math.isnan(expectation_adjusted_distinct(0, 0, 3))
    with pytest.raises(DataError, match="contradict"):
        expectation_adjusted_distinct(5, 4, 9)


def test_expectation_adjusted_does_not_fall_with_length():
    draws = Seed(1).numpy()
    for length in (50, 500, 5000):
        drawn = [len(set(draws.integers(0, 300, length).tolist())) for _ in range(40)]
        mean = sum(expectation_adjusted_distinct(d, length, 300) for d in drawn) / 40
        assert mean == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("seed", range(4))
def test_self_bleu_equals_nltk(seed):
    texts = _texts(seed, 5)
    smooth = SmoothingFunction().method2
    each = [
        sentence_bleu(texts[:i] + texts[i + 1 :], text, smoothing_function=smooth)
        for i, text in enumerate(texts)
    ]
    assert self_bleu(texts) == pytest.approx(sum(each) / len(each), abs=1e-12)


def test_self_bleu_at_the_ends():
    assert self_bleu([("a", "b", "c", "d", "e")] * 3) == pytest.approx(1.0)
    assert self_bleu([("a",), ("b",)]) == 0.0
    assert math.isnan(self_bleu([("a", "b"), ()]))


@pytest.mark.parametrize("draws", range(6))
def test_expected_different_is_the_mean_over_subsets(draws):
    kinds = ["x", "x", "y", "z", "x"]
    subsets = list(combinations(kinds, draws))
    brute = sum(len(set(own)) for own in subsets) / len(subsets)
    assert expected_different(kinds, draws) == pytest.approx(brute)


def test_more_draws_than_samples_are_refused():
    with pytest.raises(DataError, match="more draws"):
        expected_different(["x"], 2)


def test_mode_share():
    assert mode_share(["x", "y", "x"]) == pytest.approx(2 / 3)
    assert math.isnan(mode_share([]))
