"""Answers kept on disk by who was asked and what, so that a stopped run asks nothing twice."""

import time
from collections.abc import Callable, Sequence

from fairlead.core.files import sha256_json
from fairlead.judges.asking import Answer, Question, Respondent
from fairlead.judges.server.cache import AnswerCache

CHUNK = 256
"""Questions asked together; what they cost is lost when the process dies meanwhile."""
QUIET_S = 10.0
"""Seconds between two lines on how far it is."""


class Remembered:
    """A respondent whose answers are kept.

    Args:
        respondent: who is asked what is not known yet. Its answers must depend on the question
            alone, as those of a model with given weights and seeds do.
        cache: where answers are kept.
        identity: what the answers follow from besides the question: a hash of the weights, and the
            seed of what is drawn.
        say: gets a line now and then while many are asked.
    """

    def __init__(
        self,
        respondent: Respondent,
        cache: AnswerCache,
        identity: str,
        *,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.respondent = respondent
        self.cache = cache
        self.identity = identity
        self.say = say

    @property
    def name(self) -> str:
        """What records and reports call it."""
        return self.respondent.name

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        """One answer to each question, in their order; known ones from the disk."""
        keys = {q: self._key(q) for q in dict.fromkeys(questions)}
        known = {
            q: Answer.model_validate_json(b) for q, k in keys.items() if (b := self.cache.body(k))
        }
        missing = [question for question in keys if question not in known]
        said = time.monotonic()
        for start in range(0, len(missing), CHUNK):
            asked = missing[start : start + CHUNK]
            answers = self.respondent.ask(asked)
            fresh = dict(zip(asked, answers, strict=True))
            self.cache.keep_all({keys[q]: a.model_dump_json() for q, a in fresh.items()})
            known |= fresh
            if time.monotonic() - said > QUIET_S:
                said = time.monotonic()
                self.say(f"{self.name}: {len(known)} of {len(keys)} answers")
        return [known[question] for question in questions]

    def _key(self, question: Question) -> str:
        return sha256_json([self.identity, question.model_dump(mode="json")])
