"""Small edits of a reply that add one attribute and leave its content, and placebos without any.

An edit whose effect is compared with nothing measures that texts were edited. A placebo therefore
changes about as many words, to others of the same meaning.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np

Edit = Callable[[str, np.random.Generator], str]
"""The text with an attribute added; the text itself where that is not possible."""

FILLER = (
    "There is of course more that one could say about this.",
    "As with most things, it depends on how one looks at it.",
    "All of this should be seen in its wider context.",
    "It may be worth keeping that in mind later on.",
    "In the end these points belong together.",
    "Others have put similar things in different words.",
    "This is only one way in which to put it.",
    "One could go on about this for quite some time.",
)
"""Sentences that say nothing."""

SWAPS = (
    ("for example", "for instance"),
    ("because", "since"),
    ("big", "large"),
    ("small", "little"),
    ("begin", "start"),
    ("also", "as well"),
    ("help", "assist"),
    ("use", "employ"),
    ("however", "nevertheless"),
    ("often", "frequently"),
    ("show", "demonstrate"),
    ("get", "obtain"),
    ("so", "thus"),
    ("many", "a lot of"),
    ("need", "require"),
    ("try", "attempt"),
    ("buy", "purchase"),
    ("about", "regarding"),
    ("maybe", "perhaps"),
    ("important", "essential"),
    ("quick", "fast"),
    ("hard", "difficult"),
    ("right", "correct"),
    ("whole", "entire"),
    ("enough", "sufficient"),
    ("answer", "reply"),
    ("ways", "methods"),
    ("good", "fine"),
    ("do not", "don't"),
    ("is not", "isn't"),
    ("are not", "aren't"),
    ("cannot", "can't"),
    ("it is", "it's"),
    ("that is", "that's"),
    ("you will", "you'll"),
    ("i am", "i'm"),
)
"""Words that stand for each other in most places."""

_OTHER = {a: b for pair in SWAPS for a, b in (pair, pair[::-1])}
_SWAP = re.compile(
    r"\b(" + "|".join(sorted(map(re.escape, _OTHER), key=len, reverse=True)) + r")\b", re.IGNORECASE
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+")


def placebo(text: str, size: int, random: np.random.Generator) -> str:
    """About `size` words of a text changed to others of the same meaning.

    Where it holds no such words, a blank is doubled. Long additions have no placebo of their size;
    `changed_words` of both says how far they are apart.
    """
    found = list(_SWAP.finditer(text))
    if not found:
        blanks = [i for i, letter in enumerate(text) if letter == " "]
        at = int(random.choice(blanks)) if blanks else len(text)
        return f"{text[:at]} {text[at:]}"
    picked = set(random.permutation(len(found))[: max(size // 2, 1)].tolist())
    pieces: list[str] = []
    end = 0
    for number, match in enumerate(found):
        if number in picked:
            pieces += [
                text[end : match.start()],
                _like(match.group(), _OTHER[match.group().lower()]),
            ]
            end = match.end()
    return "".join([*pieces, text[end:]])


def changed_words(before: str, after: str) -> int:
    """Words, with their marks, that only one of two texts has."""
    one, other = Counter(before.split()), Counter(after.split())
    return ((one - other) + (other - one)).total()


def lengthened(share: float) -> Edit:
    """An edit that adds sentences without content until the text has grown by a share."""

    def edit(text: str, random: np.random.Generator) -> str:
        wanted = max(len(text.split()) * share, 1.0)
        added: list[str] = []
        for i in random.integers(len(FILLER), size=int(wanted) + 1):
            if sum(len(sentence.split()) for sentence in added) >= wanted:
                break
            added.append(FILLER[i])
        return " ".join([text.rstrip(), *added])

    return edit


def emoji(text: str, random: np.random.Generator) -> str:
    """A smiling face behind the text."""
    return f"{text.rstrip()} \N{SMILING FACE WITH SMILING EYES}"


def bold(text: str, random: np.random.Generator) -> str:
    """Two words in bold."""
    words = text.split(" ")
    plain = [i for i, word in enumerate(words) if word.isalpha() and len(word) > 3]
    for i in random.permutation(plain)[:2]:
        words[i] = f"**{words[i]}**"
    return " ".join(words)


def exclamation(text: str, random: np.random.Generator) -> str:
    """Full stops at ends of sentences as exclamation marks."""
    return re.sub(r"\.(?=\s|$)", "!", text)


def bullets(text: str, random: np.random.Generator) -> str:
    """Sentences as points of a list."""
    sentences = [s for s in _SENTENCE.split(text.strip()) if s]
    if len(sentences) < 2 or "\n" in text.strip():
        return text
    return "\n".join(f"- {sentence}" for sentence in sentences)


def link(text: str, random: np.random.Generator) -> str:
    """An address behind the text."""
    return f"{text.rstrip()} (https://example.com/more)"


def opening(text: str, random: np.random.Generator) -> str:
    """An affirmation before the text."""
    return f"Certainly, here is an answer. {text.lstrip()}"


EDITS: Mapping[str, Edit] = {
    "length +25 %": lengthened(0.25),
    "length +50 %": lengthened(0.5),
    "length +100 %": lengthened(1.0),
    "emoji": emoji,
    "bold": bold,
    "exclamation": exclamation,
    "list": bullets,
    "link": link,
    "affirmative opening": opening,
}
"""The attributes that a reward may like for themselves (Zhang et al. 2024, arXiv:2409.11704)."""


def _like(model: str, text: str) -> str:
    """A text that begins as another does: in upper case where that one does."""
    return text[:1].upper() + text[1:] if model[:1].isupper() else text
