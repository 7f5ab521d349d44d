"""Texts to be scored by a reward, and what became of those that were not."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from fairlead.audits.base import Subject
from fairlead.audits.items.preferences import Preference
from fairlead.core.errors import ConfigError
from fairlead.data.chat import ChatFormat
from fairlead.records import Prompt
from fairlead.rewards.base import Reply, RewardSource
from fairlead.rewards.model import ModelReward
from fairlead.rewards.references import score_per_reply
from fairlead.stats.gates import SCORED

Floats = NDArray[np.float64]
Text = tuple[Prompt, str]
"""A prompt and a reply to it."""


class Scores:
    """Scores of texts by one reward; each text is asked about once.

    Args:
        source: what scores.
        tokenizer: of the tokens that the source reads; None where it reads texts.
    """

    def __init__(
        self, source: RewardSource, tokenizer: PreTrainedTokenizerBase | None = None
    ) -> None:
        self.source = source
        self._chat = None if tokenizer is None else ChatFormat(tokenizer)
        self._known: dict[Text, tuple[float, str]] = {}

    @classmethod
    def by(cls, subject: Subject, name: str = "proxy") -> "Scores":
        """Scores by a reward of the subject.

        Raises:
            ConfigError: it has no reward of this name.
        """
        if name not in subject.rewards:
            raise ConfigError(
                f"there is no reward called {name}",
                expected=f"`rewards: {{{name}: ...}}` in the recipe",
                got=", ".join(subject.rewards) or "no rewards",
            )
        source, policy = subject.rewards[name], subject.candidate.policy
        return cls(source, _tokenizer(source) or (policy.tokenizer if policy else None))

    def of(self, texts: Sequence[Text]) -> Floats:
        """[text] scores; nan where the source gave none."""
        unknown = [text for text in dict.fromkeys(texts) if text not in self._known]
        if unknown:
            first: dict[Prompt, int] = {}
            for prompt, _ in unknown:
                first.setdefault(prompt, len(first))
            # Sources that compare replies to a prompt expect them side by side.
            unknown.sort(key=lambda text: first[text[0]])
            read = zip(*self._read(unknown), strict=True)
            self._known |= dict(zip(unknown, read, strict=True))
        return np.array([self._known[text][0] for text in texts], dtype=np.float64)

    def states(self, texts: Sequence[Text]) -> list[str]:
        """How each text that was scored ended: `scored`, or why it has no score."""
        return [self._known[text][1] for text in texts]

    def in_batch(self, texts: Sequence[Text]) -> Floats:
        """[text] scores of texts asked about together, whether they are known or not."""
        return np.array(self._read(texts)[0], dtype=np.float64)

    def _read(self, texts: Sequence[Text]) -> tuple[list[float], list[str]]:
        scored = score_per_reply(self.source, [self._reply(*text) for text in texts])
        values = [float(value) for value in scored.values]
        unread = [bool(gone) for gone in scored.parts.get("unparsed", [0.0] * len(values))]
        reasons = scored.reasons or ("",) * len(values)
        states = [
            _state(value, gone, reason)
            for value, gone, reason in zip(values, unread, reasons, strict=True)
        ]
        known = [
            value if state == SCORED else float("nan")
            for value, state in zip(values, states, strict=True)
        ]
        return known, states

    def _reply(self, prompt: Prompt, text: str) -> Reply:
        asked, said = ((), ()) if self._chat is None else self._chat.response_ids(prompt, text)
        return Reply(prompt, asked, said, text)


def state_of(scores: Scores, item: Preference) -> str:
    """How the scoring of a preference ended: the first trouble among its replies."""
    return next((state for state in scores.states(item.texts) if state != SCORED), SCORED)


def _state(value: float, unread: bool, reason: str) -> str:
    if unread:
        return reason or "parse_fail"
    return SCORED if np.isfinite(value) else "error"


def _tokenizer(source: object, depth: int = 4) -> PreTrainedTokenizerBase | None:
    """The tokenizer of the reward model within a source that wraps one or several."""
    if isinstance(source, ModelReward):
        return source.tokenizer
    if not depth or not hasattr(source, "__dict__"):
        return None
    parts = [
        part
        for value in vars(source).values()
        for part in (value if isinstance(value, tuple | list) else [value])
    ]
    found = (_tokenizer(part, depth - 1) for part in parts)
    return next((tokenizer for tokenizer in found if tokenizer is not None), None)
