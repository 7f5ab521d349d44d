"""Attributes of a reply that a pattern finds."""

import re
from collections.abc import Mapping

ATTRIBUTES: Mapping[str, str] = {
    "bold": r"\*\*[^*\n]+\*\*|__[^_\n]+__",
    "heading": r"(?m)^#{1,6} ",
    "list": r"(?m)^\s*(?:[-*+\u2022]|\d+[.)])\s",
    "code": r"`[^`\n]+`|```",
    "link": r"https?://|\]\(",
    "emoji": r"[\U0001F300-\U0001FAFF\u2600-\u27BF]",
    "exclamation mark": r"!",
    "question to the user": r"\?\s*$",
    "affirmative opening": r"(?i)^\s*(?:sure|certainly|of course|absolutely|yes)\b",
    "flattery": r"(?i)\b(?:great|good|excellent|wonderful) (?:question|idea|choice|point)",
    "apology": r"(?i)\b(?:sorry|apologi[sz]e|apologies|regret)\b",
    "refusal": (
        r"(?i)\bI(?: can(?:not|['\u2019]t)| won['\u2019]t|(?:['\u2019]m| am) (?:not |un)able)\b"
    ),
    "hedging": r"(?i)\b(?:perhaps|maybe|possibly|probably|might|it seems|i think|i believe)\b",
    "first person": r"\bI\b",
    "names itself an AI": r"(?i)\b(?:as an ai|language model|ai assistant)\b",
    "number": r"\d",
}
"""Patterns of attributes that are worth watching anywhere."""

MASK = "[...]"


def has(pattern: str, text: str) -> float:
    """1 where a pattern occurs in a text, 0 where not."""
    return float(re.search(pattern, text) is not None)


def without(pattern: str, text: str) -> str:
    """The text with every place of a pattern masked, for a judge who must not see it."""
    return re.sub(pattern, MASK, text)
