"""A respondent overheard: its questions and answers as replies that another model can imitate.

Words are imitated as they stand, as in sequence-level distillation (Kim and Rush 2016,
arXiv:1606.07947). Where options were given, the likeliest is imitated if the respondent was sure of
it: what it would have tossed a coin for teaches nothing but noise.
"""

from collections.abc import Sequence

from fairlead.judges.asking import Answer, Question, Respondent
from fairlead.records import Demonstration, Prompt, Provenance

SOURCE = "overheard"
"""What records of this origin name as their source."""
SURE = 0.75
"""Probability from which on an option is imitated."""


class Overheard:
    """Answers as another respondent does, and keeps what it was asked and answered.

    Args:
        respondent: who answers: a server, a script, a model in this process.
        sure: options of a smaller probability are not imitated.
    """

    def __init__(self, respondent: Respondent, *, sure: float = SURE) -> None:
        self.respondent = respondent
        self.sure = sure
        self._answers: dict[Question, Answer] = {}

    @property
    def name(self) -> str:
        """That of who answers."""
        return self.respondent.name

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        """What the other answers, word for word."""
        answers = self.respondent.ask(questions)
        self._answers.update(zip(questions, answers, strict=True))
        return answers

    def demonstrations(self) -> list[Demonstration]:
        """Every different question with its answer, in the order asked.

        Left out are questions without an answer, and those whose options left the respondent
        unsure. A prompt names the respondent as its annotator.
        """
        by = Provenance(source=SOURCE, annotator=self.name, feedback="ai")
        return [
            Demonstration(
                prompt=Prompt(messages=question.prompt.messages, provenance=by),
                response=said,
            )
            for question, answer in self._answers.items()
            if (said := self._said(question, answer)) is not None
        ]

    def account(self) -> str:
        """How many answers can be imitated, in words."""
        asked, known = len(self._answers), len(self.demonstrations())
        return (
            f"{known} of {asked} different questions to {self.name} were overheard with an answer "
            "to imitate; the others had none, or none that it was sure of"
        )

    def _said(self, question: Question, answer: Answer) -> str | None:
        if answer.state != "scored":
            return None
        if not question.options:
            return answer.text
        likeliest = max(answer.probabilities)
        if likeliest < self.sure:
            return None
        return question.options[answer.probabilities.index(likeliest)]
