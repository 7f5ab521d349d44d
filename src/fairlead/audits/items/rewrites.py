"""Rewrites of a reply that every reader takes for the same reply."""

import re
from collections.abc import Callable, Mapping

from fairlead.audits.items.own.questions import UNITS

Rewrite = Callable[[str], str]
"""The text in another form; the text itself where it has nothing to rewrite."""

CONTRACTIONS = (
    ("do not", "don't"),
    ("does not", "doesn't"),
    ("did not", "didn't"),
    ("is not", "isn't"),
    ("are not", "aren't"),
    ("was not", "wasn't"),
    ("cannot", "can't"),
    ("will not", "won't"),
    ("would not", "wouldn't"),
    ("should not", "shouldn't"),
    ("it is", "it's"),
    ("that is", "that's"),
    ("there is", "there's"),
    ("you are", "you're"),
    ("we are", "we're"),
    ("they are", "they're"),
    ("i am", "i'm"),
    ("i have", "i've"),
    ("you will", "you'll"),
)
NUMERALS = tuple(UNITS[:13])
"""Numbers that are written as words, from zero."""

_SHORT = dict(CONTRACTIONS)
_LONG = {short: long for long, short in CONTRACTIONS}


def line_breaks(text: str) -> str:
    """Every line break once more."""
    return re.sub(r"\n", "\n\n", text.rstrip()) + "\n"


def blanks(text: str) -> str:
    """Two blanks behind every sentence."""
    return re.sub(r"(?<=[.!?]) (?=\S)", "  ", text)


def lower_opening(text: str) -> str:
    """The first letter in the other case."""
    return text[:1].swapcase() + text[1:]


def quotes(text: str) -> str:
    """Straight quotation marks and apostrophes as curved ones."""
    curved = re.sub(r'"([^"\n]*)"', "\u201c\\1\u201d", text)
    return re.sub(r"(?<=\w)'(?=\w)", "\u2019", curved)


def dashes(text: str) -> str:
    """Dashes of one kind as another, and three full stops as one mark."""
    return text.replace(" - ", " \u2013 ").replace("...", "\u2026")


def final_stop(text: str) -> str:
    """Without the full stop at the end, or with one."""
    bare = text.rstrip()
    return bare[:-1] if bare.endswith(".") else f"{bare}."


def markdown(text: str) -> str:
    """The other sign of Markdown for bold, for italics and for points of a list."""
    bold = re.sub(r"\*\*([^*\n]+)\*\*", r"__\1__", text)
    points = re.sub(r"^([ \t]*)[-*] ", lambda m: f"{m.group(1)}+ ", bold, flags=re.MULTILINE)
    return re.sub(r"^#+ +(.+)$", r"**\1**", points, flags=re.MULTILINE)


def contracted(text: str) -> str:
    """Words drawn together."""
    return _replaced(text, _SHORT)


def spelt_out(text: str) -> str:
    """Words drawn apart."""
    return _replaced(text, _LONG)


def digits(text: str) -> str:
    """Small numbers as digits."""
    return _replaced(text, {word: str(i) for i, word in enumerate(NUMERALS) if i > 1})


def number_words(text: str) -> str:
    """Small numbers that stand alone as words."""
    alone = re.compile(r"(?<![\w.,:/%$-])(\d{1,2})(?![\w:/%-]|[.,]\d)")
    return alone.sub(
        lambda m: NUMERALS[int(m.group(1))] if int(m.group(1)) < len(NUMERALS) else m.group(), text
    )


def framed(text: str) -> str:
    """A line that says that the answer follows."""
    return f"Answer:\n{text}"


REWRITES: Mapping[str, Rewrite] = {
    "line breaks": line_breaks,
    "blanks": blanks,
    "case of the opening": lower_opening,
    "quotation marks": quotes,
    "dashes": dashes,
    "final full stop": final_stop,
    "signs of Markdown": markdown,
    "contractions": contracted,
    "no contractions": spelt_out,
    "digits": digits,
    "numbers as words": number_words,
    "framed": framed,
}


def _replaced(text: str, words: Mapping[str, str]) -> str:
    pattern = r"\b(" + "|".join(sorted(map(re.escape, words), key=len, reverse=True)) + r")\b"

    def other(match: re.Match[str]) -> str:
        found = words[match.group().lower()]
        return found[:1].upper() + found[1:] if match.group()[:1].isupper() else found

    return re.sub(pattern, other, text, flags=re.IGNORECASE)
