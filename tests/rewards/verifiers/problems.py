"""Problems for the tests of checkers."""

from fairlead.records import Problem, Prompt

QUESTION = "Anna has 6 boxes of 7 pens. How many pens has she?"


def problem(answer: str, question: str = QUESTION) -> Problem:
    return Problem(prompt=Prompt.of(question), answer=answer)
