"""How a verifier is asked and understood, and the loop in which its verdicts are acted on."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, field_validator

from fairlead.core.seeds import Seed
from fairlead.generation.sampling import Sampling
from fairlead.models.policy import Policy
from fairlead.pipeline.measuring import Asked, answers, score
from fairlead.pipeline.sampling import sample_texts
from fairlead.pipeline.selection import spaced
from fairlead.records import Message, Problem, Prompt
from fairlead.rewards.base import Reply, RewardSource

_SLOT = re.compile(r"\{(question|attempt|solution|feedback)\}")


class VerdictFormat(BaseModel):
    """The prompts of a verifier and the words of its verdicts.

    Templates fill the last turn of the problem's prompt; `{question}` is that turn itself.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    student: str = (
        "{question}\n\nProposed solution:\n{attempt}\n\nIs it right? Say what is wrong with it, "
        "if anything, and end with the word right or wrong."
    )
    """What the verifier is asked: holds `{question}` and `{attempt}`."""
    teacher: str = (
        "{question}\n\nReference solution:\n{solution}\n\nProposed solution:\n{attempt}\n\nIs it "
        "right? Say what is wrong with it, if anything, without mentioning the reference, and end "
        "with the word right or wrong."
    )
    """The same with the `{solution}`."""
    revise: str | None = None
    """What the generator is asked after a rejection: may hold `{question}`, `{attempt}` and
    `{feedback}`; None asks the question again."""
    accept: str = Field(default="right", min_length=1)
    """The word of a verdict that the attempt is right."""
    reject: str = Field(default="wrong", min_length=1)
    """The word of a verdict that it is wrong; the last of the two words counts."""

    @field_validator("student")
    @classmethod
    def _is_blind(cls, value: str) -> str:
        if "{solution}" in value:
            raise ValueError("the student must not see the {solution}")
        return value

    def student_prompt(self, problem: Problem, attempt: str) -> Prompt:
        """Asks for a verdict without the solution."""
        return _filled(self.student, problem, attempt=attempt)

    def teacher_prompt(self, problem: Problem, attempt: str) -> Prompt:
        """Asks for a verdict with the solution at hand, or with the answer where there is none."""
        solution = problem.solution or problem.answer
        return _filled(self.teacher, problem, attempt=attempt, solution=solution)

    def revision_prompt(self, problem: Problem, attempt: str, feedback: str) -> Prompt:
        """Asks for another attempt."""
        if self.revise is None:
            return problem.prompt
        return _filled(self.revise, problem, attempt=attempt, feedback=feedback)

    def accepts(self, verdict: str) -> bool | None:
        """What a verdict says; None where it holds neither word."""
        words = rf"(?<!\w)({re.escape(self.accept)}|{re.escape(self.reject)})(?!\w)"
        found = re.findall(words, verdict, re.IGNORECASE)
        return found[-1].lower() == self.accept.lower() if found else None

    def gives_away(self, problem: Problem, attempt: str, verdict: str) -> bool:
        """Whether a verdict states the answer that the attempt does not hold."""
        answer = rf"(?<!\w){re.escape(problem.answer)}(?!\w)"
        return bool(re.search(answer, verdict)) and not re.search(answer, attempt)

    def reward(self, problem: Problem, attempt: str, right: bool, verdict: str) -> float:
        """1 for the true verdict, 0 for another, none, or one that gives the answer away."""
        true = self.accepts(verdict) is right
        return float(true and not self.gives_away(problem, attempt, verdict))


def _filled(template: str, problem: Problem, **parts: str) -> Prompt:
    *before, last = problem.prompt.messages
    parts = parts | {"question": last.content}
    text = _SLOT.sub(lambda slot: parts.get(slot[1], slot[0]), template)
    turn = Message(role=last.role, content=text)
    return problem.prompt.model_copy(update={"messages": (*before, turn)})


class Attempt(BaseModel):
    """One solution by the generator."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    place: int
    """Which of the problems it answers."""
    text: str
    right: bool


class Attempts(BaseModel):
    """Solutions of a generator, with the truth about them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    made: tuple[Attempt, ...]


@dataclass(frozen=True)
class Judge:
    """A verifier at work."""

    policy: Policy
    format: VerdictFormat
    sampling: Sampling
    seed: Seed

    def verdicts(self, problems: Sequence[Problem], attempts: Sequence[str]) -> list[str]:
        """The likeliest verdict on each attempt."""
        asked = [
            self.format.student_prompt(problem, attempt)
            for problem, attempt in zip(problems, attempts, strict=True)
        ]
        greedy = self.sampling.model_copy(update={"temperature": 0.0})
        texts = sample_texts(self.policy, asked, greedy, n=1, seed=self.seed) if asked else []
        return [own[0] for own in texts]


@dataclass(frozen=True)
class Generator:
    """A solver at work, and who knows whether it is right."""

    policy: Policy
    sampling: Sampling
    reward: RewardSource
    threshold: float

    def solve(self, problems: Sequence[Problem], n: int, seed: Seed) -> list[list[Attempt]]:
        """`n` attempts at each problem."""
        asked = [Asked(problem.prompt, problem) for problem in problems]
        replies = answers(self.policy, asked, self.sampling, n=n, seed=seed)
        right = score(self.reward, replies) >= self.threshold
        return [
            [Attempt(place=i, text=r.text, right=bool(ok)) for r, ok in zip(own, oks, strict=True)]
            for i, (own, oks) in enumerate(zip(replies, right, strict=True))
        ]

    def again(
        self, problems: Sequence[Problem], asked: Sequence[Prompt], seed: Seed
    ) -> list[Attempt]:
        """One attempt at each problem, asked in other words."""
        wanted = [Asked(p, problem) for p, problem in zip(asked, problems, strict=True)]
        replies = [own[0] for own in answers(self.policy, wanted, self.sampling, n=1, seed=seed)]
        # The truth is about the problem's own words, not about the request to revise.
        plain = [
            Reply(p.prompt, r.prompt_ids, r.response_ids, r.text, p, r.finish)
            for p, r in zip(problems, replies, strict=True)
        ]
        right = score(self.reward, [[reply] for reply in plain])[:, 0] >= self.threshold
        return [
            Attempt(place=i, text=reply.text, right=bool(ok))
            for i, (reply, ok) in enumerate(zip(plain, right, strict=True))
        ]


class Loop(BaseModel):
    """Attempts that a verifier accepts or sends back; one row per round, one entry per problem."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    right: tuple[tuple[bool, ...], ...]
    """Whether the attempt at hand is right, before any verdict and after each round."""
    accepted: tuple[tuple[bool, ...], ...]
    """Whether the verifier has accepted the attempt at hand by the end of each round."""


def verify_and_revise(
    generator: Generator,
    judge: Judge,
    problems: Sequence[Problem],
    *,
    rounds: int,
    seed: Seed,
) -> Loop:
    """Attempt, verdict, and another attempt where the verdict is a rejection.

    A verdict without either word counts as a rejection. A rejection that states the answer is
    passed on without its words.

    Args:
        generator: who attempts.
        judge: who accepts or rejects.
        problems: what to solve.
        rounds: verdicts at most.
        seed: of the attempts; equal seeds give equal first attempts.
    """
    at_hand = [own[0] for own in generator.solve(problems, 1, seed.child(0))]
    accepted = [False] * len(problems)
    right = [tuple(attempt.right for attempt in at_hand)]
    accepts: list[tuple[bool, ...]] = []
    for number in range(1, rounds + 1):
        left = [i for i, done in enumerate(accepted) if not done]
        own = [problems[i] for i in left]
        said = judge.verdicts(own, [at_hand[i].text for i in left])
        for i, verdict in zip(left, said, strict=True):
            accepted[i] = judge.format.accepts(verdict) is True
        sent_back = [(i, v) for i, v in zip(left, said, strict=True) if not accepted[i]]
        again = _revised(generator, judge.format, problems, at_hand, sent_back, seed.child(number))
        for (i, _), attempt in zip(sent_back, again, strict=True):
            at_hand[i] = attempt
        right.append(tuple(attempt.right for attempt in at_hand))
        accepts.append(tuple(accepted))
    return Loop(right=tuple(right), accepted=tuple(accepts))


def _revised(
    generator: Generator,
    wording: VerdictFormat,
    problems: Sequence[Problem],
    at_hand: Sequence[Attempt],
    sent_back: Sequence[tuple[int, str]],
    seed: Seed,
) -> list[Attempt]:
    """New attempts in place of those that were sent back."""
    if not sent_back:
        return []
    asked: list[Prompt] = []
    for i, verdict in sent_back:
        leaks = wording.gives_away(problems[i], at_hand[i].text, verdict)
        feedback = wording.reject if leaks else spaced(verdict)
        asked.append(wording.revision_prompt(problems[i], at_hand[i].text, feedback))
    return generator.again([problems[i] for i, _ in sent_back], asked, seed)
