"""Critique and revision: replies made better under principles, by a model's own words.

SL-CAI of Bai et al. 2022, arXiv:2212.08073, section 3. A critic sees the prompt and the latest
reply, never earlier critiques; the revision becomes the reply of the next round.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from fairlead.constitution.principles import Constitution, Principle
from fairlead.judges.asking import Answer, Question, Respondent
from fairlead.records import Critique, Demonstration, Message, Prompt, Provenance, Record

Fault = Literal["no_change", "empty", "runaway", "no_principle"]
"""Why a revision is not used, beside the states of an answer that was never given: the reply stayed
as it was; nothing was written; it ran away in length; no principle applies to the prompt."""


class RevisionRules(Record):
    """How replies are criticised and revised."""

    rounds: PositiveInt = 4
    """Critiques and revisions of every reply, each under a principle drawn anew."""
    max_tokens: PositiveInt = 256
    """Longest critique and longest revision."""
    temperature: NonNegativeFloat = 1.0
    """Of both; 0 takes the likeliest words."""
    longest_ratio: float = Field(default=3.0, gt=1)
    """A revision longer than this many times the reply, and by more than `longest_slack`
    characters, ran away."""
    longest_slack: NonNegativeInt = 200
    """See `longest_ratio`; short replies may grow by so many characters."""
    targets: Literal["all", "last"] = "all"
    """Which revisions are imitated: those of every round, as in the paper, or the last good one."""


@dataclass(frozen=True)
class Chain:
    """A reply and what became of it, round by round."""

    prompt: Prompt
    first: str
    steps: tuple[Critique, ...] = ()

    @property
    def last(self) -> str:
        """The reply as the last good revision left it."""
        return self.after(len(self.steps))

    def after(self, rounds: int) -> str:
        """The reply after so many rounds."""
        good = [s.revision for s in self.steps[:rounds] if s.fault is None and s.revision]
        return good[-1] if good else self.first


def revise(
    critic: Respondent,
    constitution: Constitution,
    prompts: Sequence[Prompt],
    replies: Sequence[str],
    rules: RevisionRules,
) -> list[Chain]:
    """Has every reply criticised and revised, round after round.

    A round that fails (no answer, nothing changed, text that ran away) is kept with its fault; the
    next round goes on from the last good reply.

    Args:
        critic: who criticises and revises, usually the model that wrote the replies.
        constitution: what is asked.
        prompts: what the replies answer.
        replies: one for each prompt.
        rules: how often, how long.

    Returns:
        One chain for each reply, in order.
    """
    chains = [Chain(p, r) for p, r in zip(prompts, replies, strict=True)]
    for number in range(1, rules.rounds + 1):
        drawn = [constitution.draw(c.prompt, c.first, number) for c in chains]
        steps = _round(critic, constitution, chains, drawn, rules, number)
        chains = [
            Chain(c.prompt, c.first, (*c.steps, step))
            for c, step in zip(chains, steps, strict=True)
        ]
    return chains


def _round(
    critic: Respondent,
    constitution: Constitution,
    chains: Sequence[Chain],
    drawn: Sequence[Principle | None],
    rules: RevisionRules,
    number: int,
) -> list[Critique]:
    """One critique and one revision of every chain's reply."""
    able = [(chain, principle) for chain, principle in zip(chains, drawn, strict=True) if principle]
    asked = [
        _question(_transcript(constitution, c, p, p.critique_request), rules, number)
        for c, p in able
    ]
    critiques = critic.ask(asked)
    criticised = [i for i, answer in enumerate(critiques) if answer.state == "scored"]
    wanted = [
        _question(
            (
                *asked[i].prompt.messages,
                Message(role="assistant", content=critiques[i].text),
                Message(role="user", content=able[i][1].revision_request),
            ),
            rules,
            number,
        )
        for i in criticised
    ]
    revisions = dict(zip(criticised, critic.ask(wanted), strict=True))
    made = iter(
        _step(c, p, constitution, critic.name, number, critiques[i], revisions.get(i), rules)
        for i, (c, p) in enumerate(able)
    )
    return [
        next(made) if p else _without_principle(c, number)
        for c, p in zip(chains, drawn, strict=True)
    ]


def _question(messages: Sequence[Message], rules: RevisionRules, number: int) -> Question:
    return Question(
        prompt=Prompt(messages=tuple(messages)),
        max_tokens=rules.max_tokens,
        temperature=rules.temperature,
        sample=number,
    )


def _transcript(
    constitution: Constitution, chain: Chain, principle: Principle, request: str
) -> tuple[Message, ...]:
    """What a critic reads: the examples, the prompt, the reply as it stands, and the request."""
    return (
        *(m for e in constitution.examples for m in _shown(e.model_dump(), principle)),
        *chain.prompt.messages,
        Message(role="assistant", content=chain.last),
        Message(role="user", content=request),
    )


def _shown(example: dict[str, str], principle: Principle) -> tuple[Message, ...]:
    turns = (
        ("user", example["prompt"]),
        ("assistant", example["reply"]),
        ("user", principle.critique_request),
        ("assistant", example["critique"]),
        ("user", principle.revision_request),
        ("assistant", example["revision"]),
    )
    return tuple(Message.model_validate({"role": role, "content": text}) for role, text in turns)


def _step(
    chain: Chain,
    principle: Principle,
    constitution: Constitution,
    critic: str,
    number: int,
    critique: Answer,
    revision: Answer | None,
    rules: RevisionRules,
) -> Critique:
    answer = revision or critique
    text = revision.text.strip() if revision else ""
    fault = answer.state if answer.state != "scored" else _fault(chain.last, text, rules)
    return Critique(
        prompt=chain.prompt,
        response=chain.last,
        critique=critique.text.strip(),
        revision=text or None,
        round=number,
        fault=fault,
        provenance=Provenance(
            source=f"constitution {constitution.name} {constitution.version}",
            annotator=critic,
            feedback="ai",
            principle=principle.id,
            wording=constitution.critique_hashes[principle.id],
        ),
    )


def _without_principle(chain: Chain, number: int) -> Critique:
    return Critique(
        prompt=chain.prompt, response=chain.last, critique="", round=number, fault="no_principle"
    )


def _fault(before: str, after: str, rules: RevisionRules) -> Fault | None:
    """What speaks against a revision."""
    if not after:
        return "empty"
    if after.split() == before.split():
        return "no_change"
    grown = len(after) > rules.longest_ratio * len(before)
    if grown and len(after) - len(before) > rules.longest_slack:
        return "runaway"
    return None


def imitable(chains: Sequence[Chain], targets: Literal["all", "last"]) -> list[Demonstration]:
    """Good revisions as replies worth imitating; no critique is among them.

    Equal revisions of one prompt are there once.
    """
    found: dict[tuple[tuple[Message, ...], str], Demonstration] = {}
    for chain in chains:
        good = [s.revision for s in chain.steps if s.fault is None and s.revision]
        for text in good if targets == "all" else good[-1:]:
            key = (chain.prompt.messages, text)
            found.setdefault(key, Demonstration(prompt=chain.prompt, response=text))
    return list(found.values())
