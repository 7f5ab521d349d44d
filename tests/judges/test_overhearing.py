"""What was overheard is what was said."""

from collections.abc import Sequence
from dataclasses import dataclass

from fairlead.judges.asking import Answer, Question
from fairlead.judges.overhearing import Overheard
from fairlead.records import Message, Prompt

SAID = {
    "how are you": Answer(text="well"),
    "a secret": Answer(state="judge_refused"),
    "half": Answer(state="truncated", text="a ha"),
    "left or right": Answer(probabilities=(0.2, 0.8)),
    "heads or tails": Answer(probabilities=(0.4, 0.6)),
}


@dataclass
class Speaker:
    """Answers by its table."""

    name: str = "speaker"

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        return [SAID[question.prompt.first_user_turn] for question in questions]


def question(text: str, *options: str) -> Question:
    prompt = Prompt(
        messages=(Message(role="system", content="be kind"), Message(role="user", content=text))
    )
    return Question(prompt=prompt, options=options)


def test_answers_pass_through_and_each_is_kept_once():
    heard = Overheard(Speaker())
    asked = [
        *(question("left or right", "L", "R"), question("a secret"), question("half")),
        *(question("how are you"), question("how are you")),
    ]
    assert heard.ask(asked[:3]) + heard.ask(asked[3:]) == Speaker().ask(asked)
    assert heard.name == "speaker"
    one, other = heard.demonstrations()
    assert (one.prompt.messages, one.response) == (asked[0].prompt.messages, "R")
    assert (other.prompt.messages, other.response) == (asked[3].prompt.messages, "well")
    for made in (one.prompt.provenance, other.prompt.provenance):
        assert made is not None
        assert (made.source, made.annotator, made.feedback) == ("overheard", "speaker", "ai")


def test_options_are_imitated_where_the_respondent_is_sure():
    asked = [question(text, "L", "R") for text in ("left or right", "heads or tails")]
    for sure, said in ((0.75, ["R"]), (0.6, ["R", "R"]), (0.9, [])):
        heard = Overheard(Speaker(), sure=sure)
        heard.ask(asked)
        assert [one.response for one in heard.demonstrations()] == said
        assert heard.account().startswith(f"{len(said)} of 2 different questions to speaker")
