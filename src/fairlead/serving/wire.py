"""Answers in OpenAI's words: whole, or as the events of a stream."""

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from fairlead.decoding.base import Spent
from fairlead.serving.orders import Choice, Drawn, Piece

DONE = "data: [DONE]\n\n"


class Dialect(Protocol):
    """How one kind of completion is written."""

    prefix: str
    """Of ids."""
    whole: str
    part: str

    def choice(self, piece: Piece) -> dict[str, Any]:
        """A whole reply."""
        ...

    def begun(self, index: int) -> dict[str, Any] | None:
        """What a stream says of a reply before its text; None for nothing."""
        ...

    def more(self, piece: Piece) -> dict[str, Any]:
        """More of a reply."""
        ...


class Chat:
    """`/v1/chat/completions`."""

    prefix = "chatcmpl"
    whole = "chat.completion"
    part = "chat.completion.chunk"

    def choice(self, piece: Piece) -> dict[str, Any]:
        """A whole reply."""
        message = {"role": "assistant", "content": piece.text, "refusal": None}
        return {
            "index": piece.index,
            "message": message,
            "logprobs": _chat_logprobs(piece.drawn),
            "finish_reason": piece.finish,
            **_score(piece),
        }

    def begun(self, index: int) -> dict[str, Any]:
        """Who speaks."""
        delta = {"role": "assistant", "content": ""}
        return {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}

    def more(self, piece: Piece) -> dict[str, Any]:
        """More of a reply."""
        return {
            "index": piece.index,
            "delta": {"content": piece.text} if piece.text else {},
            "logprobs": _chat_logprobs(piece.drawn),
            "finish_reason": piece.finish,
            **_score(piece),
        }


class Plain:
    """`/v1/completions`."""

    prefix = "cmpl"
    whole = "text_completion"
    part = "text_completion"

    def choice(self, piece: Piece) -> dict[str, Any]:
        """A whole reply."""
        return {
            "index": piece.index,
            "text": piece.text,
            "logprobs": _plain_logprobs(piece.drawn),
            "finish_reason": piece.finish,
        }

    def begun(self, index: int) -> None:
        """Nothing."""

    def more(self, piece: Piece) -> dict[str, Any]:
        """More of a reply."""
        return self.choice(piece)


def _score(piece: Piece) -> dict[str, float]:
    """What the reward said, where one chose; a field of this server's own."""
    return {} if piece.score is None else {"score": piece.score}


def _chat_logprobs(drawn: Sequence[Drawn]) -> dict[str, Any] | None:
    if not drawn:
        return None
    return {
        "content": [
            {**_named(one.token), "top_logprobs": [_named(other) for other in one.top]}
            for one in drawn
        ],
        "refusal": None,
    }


def _named(choice: Choice) -> dict[str, Any]:
    """A token; one that is a part of a character has no bytes that could be told."""
    whole = "\ufffd" not in choice.text
    data = list(choice.text.encode()) if whole else None
    return {"token": choice.text, "logprob": choice.logp, "bytes": data}


def _plain_logprobs(drawn: Sequence[Drawn]) -> dict[str, Any] | None:
    if not drawn:
        return None
    return {
        "tokens": [one.token.text for one in drawn],
        "token_logprobs": [one.token.logp for one in drawn],
        "top_logprobs": [{other.text: other.logp for other in one.top} for one in drawn],
        "text_offset": None,
    }


@dataclass
class Answer:
    """One answer while it is written."""

    dialect: Dialect
    id: str
    model: str
    fingerprint: str
    prompt_tokens: int
    usage_in_stream: bool = False
    created: int = field(default_factory=lambda: int(time.time()))
    tokens: int = 0
    """Of all replies so far that are whole."""
    spent: Spent | None = None

    def body(self, pieces: Iterable[Piece]) -> dict[str, Any]:
        """The whole answer."""
        whole = sorted(pieces, key=lambda piece: piece.index)
        for piece in whole:
            self._count(piece)
        choices = [self.dialect.choice(piece) for piece in whole]
        return {**self._head(self.dialect.whole, choices), "usage": self._usage()}

    def begun(self, n: int) -> str:
        """The first events of a stream."""
        first = [self.dialect.begun(index) for index in range(n)]
        return "".join(self._event([one]) for one in first if one is not None)

    def more(self, piece: Piece) -> str:
        """The event of a piece."""
        self._count(piece)
        return self._event([self.dialect.more(piece)])

    def end(self) -> str:
        """The last events of a stream."""
        if not self.usage_in_stream:
            return DONE
        told = {**self._head(self.dialect.part, []), "usage": self._usage()}
        return _event(told) + DONE

    def _event(self, choices: list[dict[str, Any]]) -> str:
        usage = {"usage": None} if self.usage_in_stream else {}
        return _event({**self._head(self.dialect.part, choices), **usage})

    def _head(self, object: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": object,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
            "choices": choices,
        }

    def _count(self, piece: Piece) -> None:
        self.tokens += piece.tokens
        if piece.spent is not None:
            self.spent = piece.spent + (self.spent or Spent())

    def _usage(self) -> dict[str, Any]:
        own: dict[str, Any] = {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.tokens,
            "total_tokens": self.prompt_tokens + self.tokens,
        }
        if self.spent is not None:
            own["policy_tokens"] = self.spent.policy_tokens
            own["reward_tokens"] = self.spent.reward_tokens
            own["reward_calls"] = self.spent.reward_calls
        return own


def _event(told: dict[str, Any]) -> str:
    return f"data: {json.dumps(told, ensure_ascii=False, separators=(',', ':'))}\n\n"
