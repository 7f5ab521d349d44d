"""Judges that follow a script, and what they can see of a question."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fairlead.judges.asking import Answer, Question
from fairlead.judges.fences import held


def shown(question: Question) -> dict[str, str]:
    """What stands between fences, by name."""
    return dict(held(question.prompt.messages[0].content))


@dataclass
class Scripted:
    """Answers by a function, and remembers what it was asked."""

    script: Callable[[Question], Answer]
    name: str = "scripted"
    asked: list[Question] = field(default_factory=list)

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        self.asked += questions
        return [self.script(question) for question in questions]


def prefers(
    first: Callable[[str, str], float], *, tokens: tuple[int, int] = (100, 1), mass: float = 0.9
) -> Callable[[Question], Answer]:
    """A script: the probability of the place shown first, from both replies as they are shown."""

    def script(question: Question) -> Answer:
        if not question.options:
            return Answer(text="I weigh them.", prompt_tokens=50, completion_tokens=20)
        texts = shown(question)
        p = first(texts["reply A"], texts["reply B"])
        return Answer(
            probabilities=(p, 1 - p),
            mass=mass,
            prompt_tokens=tokens[0],
            completion_tokens=tokens[1],
        )

    return script
