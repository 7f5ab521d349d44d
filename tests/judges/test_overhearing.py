"""What was overheard is what was said."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from fairlead.core.seeds import Seed
from fairlead.judges.asking import Answer, Question
from fairlead.judges.overhearing import Overheard
from fairlead.records import Message, Prompt

SAID = {
    "how are you": Answer(text="well"),
    "a secret": Answer(state="judge_refused"),
    "half": Answer(state="truncated", text="a ha"),
    "left or right": Answer(probabilities=(1.0, 0.0)),
}


@dataclass
class Speaker:
    """Answers by its table, or options with one probability."""

    first: float = 0.5
    name: str = "speaker"

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        even = Answer(probabilities=(self.first, 1 - self.first))
        return [SAID.get(q.prompt.first_user_turn, even) for q in questions]


def question(text: str, *options: str, sample: int = 0) -> Question:
    prompt = Prompt(
        messages=(Message(role="system", content="be kind"), Message(role="user", content=text))
    )
    return Question(prompt=prompt, options=options, sample=sample)


def test_answers_pass_through_and_each_is_kept_once():
    heard = Overheard(Speaker(), seed=Seed(0))
    asked = [
        *(question("left or right", "L", "R"), question("a secret"), question("half")),
        *(question("how are you"), question("how are you")),
    ]
    assert heard.ask(asked[:3]) + heard.ask(asked[3:]) == Speaker().ask(asked)
    assert heard.name == "speaker"
    one, other = heard.demonstrations()
    assert (one.prompt.messages, one.response) == (asked[0].prompt.messages, "L")
    assert (other.prompt.messages, other.response) == (asked[3].prompt.messages, "well")
    for made in (one.prompt.provenance, other.prompt.provenance):
        assert made is not None
        assert (made.source, made.annotator, made.feedback) == ("overheard", "speaker", "ai")


def test_options_are_drawn_as_probably_as_they_were_given():
    heard = Overheard(Speaker(first=0.8), seed=Seed(0))
    heard.ask([question("which", "A", "B", sample=i) for i in range(2000)])
    drawn = [one.response for one in heard.demonstrations()]
    # Four standard errors.
    assert drawn.count("A") / 2000 == pytest.approx(0.8, abs=4 * (0.8 * 0.2 / 2000) ** 0.5)
    again = Overheard(Speaker(first=0.8), seed=Seed(0))
    again.ask([question("which", "A", "B", sample=i) for i in reversed(range(2000))])
    assert [one.response for one in again.demonstrations()][::-1] == drawn
