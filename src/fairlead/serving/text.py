"""The text of a reply while its tokens come: whole characters only, and nothing taken back.

Tokens may hold parts of a character, and some tokenizers write a token differently at the
beginning of a text than within it. So text is made by decoding a few tokens again together with the
new one, as vLLM and text-generation-inference do, and what ends in an unfinished character waits.
"""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

UNFINISHED = "\ufffd"
"""What decoders write for bytes that are no character (yet)."""


class Unfolding:
    """Gives out the text of a reply piece by piece.

    Args:
        tokenizer: turns tokens into text; special tokens show nothing.
        stops: texts that end the reply; neither they nor what follows is given out.
        strip: whether white space at both ends is left out.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, stops: Sequence[str], *, strip: bool
    ) -> None:
        self.tokenizer, self.stops, self.strip = tokenizer, tuple(stops), strip
        self.reach = max((len(stop) for stop in self.stops), default=1) - 1
        """Characters at the end of a text that a stop text may have begun in."""
        self.tokens: list[int] = []
        self.anchor = self.read = 0
        """Tokens before `read` are in the text; those from `anchor` on are decoded again."""
        self.text = ""
        self.given = 0
        """Characters of the text that were given out, or are left out at its beginning."""
        self.begun = not strip
        self.stopped = False

    def add(self, tokens: Sequence[int]) -> str:
        """The text that is certain now and was not before; `stopped` once a stop text is there."""
        if not self.stopped:
            self.tokens += tokens
            self._extend(self._new_text(last=False))
        return self._certain(self._held())

    def end(self) -> str:
        """The rest, unfinished characters as decoders write them."""
        if not self.stopped:
            self._extend(self._new_text(last=True))
        return self._certain(0)

    @property
    def whole(self) -> str:
        """All text so far."""
        return self.text.strip() if self.strip else self.text

    def _new_text(self, *, last: bool) -> str:
        before = self._decode(self.anchor, self.read)
        now = self._decode(self.anchor, len(self.tokens))
        if len(now) <= len(before) or (now.endswith(UNFINISHED) and not last):
            return ""
        self.anchor, self.read = self.read, len(self.tokens)
        return now[len(before) :]

    def _decode(self, start: int, stop: int) -> str:
        return str(
            self.tokenizer.decode(
                self.tokens[start:stop],
                skip_special_tokens=True,
                clean_up_tokenization_spaces=False,
            )
        )

    def _extend(self, more: str) -> None:
        """Adds to the text, up to a stop text that begins in what was not searched before."""
        start = max(0, len(self.text) - self.reach)
        self.text += more
        found = [self.text.find(stop, start) for stop in self.stops]
        first = min((place for place in found if place >= 0), default=None)
        if first is not None:
            self.text, self.stopped = self.text[:first], True

    def _held(self) -> int:
        """Characters at the end that may be the beginning of a stop text."""
        if self.stopped:
            return 0
        for length in range(min(self.reach, len(self.text)), 0, -1):
            if any(stop.startswith(self.text[-length:]) for stop in self.stops):
                return length
        return 0

    def _certain(self, held: int) -> str:
        """What is given out now, where so many characters are held back."""
        stop = len(self.text) - held
        if self.strip:
            stop = len(self.text[:stop].rstrip())
        if not self.begun:
            self.given = len(self.text) - len(self.text.lstrip())
            self.begun = stop > self.given
        piece = self.text[self.given : stop]
        self.given = max(self.given, stop)
        return piece


def cut(text: str, stops: Sequence[str]) -> str:
    """A whole text up to the first of the stop texts."""
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    return text[: min(places)] if places else text
