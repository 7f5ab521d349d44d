"""Text of models and people as it is shown: as text, with nothing hidden in it."""

import unicodedata

from markupsafe import Markup, escape

_BLANK_LETTERS = "\u115f\u1160\u2800\u3164\uffa0"
"""Letters that look like nothing."""
_JOINERS = "\u200c\u200d"


def shown(text: str) -> Markup:
    """Text with every hidden character spelt out, as in `[U+202E]`; nothing in it is markup."""
    return Markup("").join(
        Markup('<span class="unseen">{}</span>').format(_name(part)) if hidden else escape(part)
        for part, hidden in _parts(text)
    )


def spelt_out(text: str) -> str:
    """Plain text with every hidden character spelt out."""
    return "".join(_name(part) if hidden else part for part, hidden in _parts(text))


def _parts(text: str) -> list[tuple[str, bool]]:
    """The text in runs of visible characters and single hidden ones."""
    found: list[tuple[str, bool]] = []
    start = 0
    for i, character in enumerate(text):
        if _hidden(text, i, character):
            found += [(text[start:i], False), (character, True)]
            start = i + 1
    return [*found, (text[start:], False)]


def _hidden(text: str, i: int, character: str) -> bool:
    if character in "\n\t" or " " <= character <= "~":
        return False
    before, after = text[i - 1 : i], text[i + 1 : i + 2]
    if character in _JOINERS:
        return not _joins(before, after)
    if character == "\ufe0f":  # Asks for the coloured form of the symbol before it.
        return not (before and unicodedata.category(before) in ("So", "Sm", "Po", "Nd"))
    kind = unicodedata.category(character)
    variation = "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"
    return kind in ("Cc", "Cf", "Zl", "Zp") or character in _BLANK_LETTERS or variation


def _joins(before: str, after: str) -> bool:
    """Whether a joiner does what it is for: it shapes letters or builds an emoji."""
    if not before or not after:
        return False
    emoji = (before == "\ufe0f" or _pictures(before)) and _pictures(after)
    return emoji or (_shaped(before) and _shaped(after))


def _pictures(character: str) -> bool:
    # Skin tones are modifiers (Sk) of the emoji before them.
    return unicodedata.category(character) == "So" or "\U0001f3fb" <= character <= "\U0001f3ff"


def _shaped(character: str) -> bool:
    """Letters and marks from Arabic to Khmer, whose shapes depend on joiners."""
    return "\u0600" <= character <= "\u17ff" and unicodedata.category(character)[0] in "LM"


def _name(character: str) -> str:
    return f"[U+{ord(character):04X}]"
