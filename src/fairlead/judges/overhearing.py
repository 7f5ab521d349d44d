"""A respondent overheard: its questions and answers as replies that another model can imitate.

Words are imitated as they stand. Where options were given, one of them is drawn with the
probability that the respondent gave it: the loss of imitating the draws is, in the mean, that of
imitating the probabilities (Hinton et al. 2015, arXiv:1503.02531, equation 2 at temperature 1).
"""

from collections.abc import Sequence

from fairlead.core.seeds import Seed
from fairlead.judges.asking import Answer, Question, Respondent
from fairlead.records import Demonstration, Prompt, Provenance

SOURCE = "overheard"
"""What records of this origin name as their source."""


class Overheard:
    """Answers as another respondent does, and keeps what it was asked and answered.

    Args:
        respondent: who answers: a server, a script, a model in this process.
        seed: draws among options.
    """

    def __init__(self, respondent: Respondent, *, seed: Seed) -> None:
        self.respondent = respondent
        self.seed = seed
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
        """Every different question with its answer, in the order asked; unanswered ones left out.

        A prompt names the respondent as its annotator.
        """
        by = Provenance(source=SOURCE, annotator=self.name, feedback="ai")
        return [
            Demonstration(
                prompt=Prompt(messages=question.prompt.messages, provenance=by),
                response=self._said(question, answer),
            )
            for question, answer in self._answers.items()
            if answer.state == "scored"
        ]

    def _said(self, question: Question, answer: Answer) -> str:
        if not question.options:
            return answer.text
        turns = [message.content for message in question.prompt.messages]
        drawn = self.seed.child("option", question.sample, *turns).numpy()
        return question.options[drawn.choice(len(question.options), p=answer.probabilities)]
