"""Rationalisation: a reply to a prompt that already gives the answer away.

STaR: Zelikman et al. 2022, arXiv:2203.14465, section 3.2.
"""

from pydantic import BaseModel, ConfigDict, field_validator

from fairlead.pipeline.selection import spaced
from fairlead.records import Message, Problem, Prompt


class Hints(BaseModel):
    """How the answer is given away, and which replies betray that they were told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    template: str = " (Hint: the answer is {answer}.)"
    """What is added to the last user turn; `{answer}` is the right answer."""
    phrases: tuple[str, ...] = ("hint", "given answer", "was told", "as stated")
    """Words that a reply must not hold, in any case: it would speak of what is not in the prompt
    that it is trained on."""

    @field_validator("template")
    @classmethod
    def _names_the_answer(cls, value: str) -> str:
        if "{answer}" not in value:
            raise ValueError("the template must hold {answer}")
        return value

    def text(self, problem: Problem) -> str:
        """The hint to a problem."""
        return self.template.replace("{answer}", problem.answer)

    def prompt(self, problem: Problem) -> Prompt:
        """The problem's prompt with the hint behind its last turn."""
        *before, last = problem.prompt.messages
        hinted = Message(role=last.role, content=last.content + self.text(problem))
        return problem.prompt.model_copy(update={"messages": (*before, hinted)})

    def quoted(self, problem: Problem, response: str) -> bool:
        """Whether a reply speaks of the hint: in its words, or by one of the phrases.

        The last of several lines may be like the hint: it is where the answer is due.
        """
        lowered = response.lower()
        if any(phrase.lower() in lowered for phrase in self.phrases):
            return True
        lines = response.strip().split("\n")
        body = "\n".join(lines[:-1] if len(lines) > 1 else lines)
        return spaced(self.text(problem)) in spaced(body)
