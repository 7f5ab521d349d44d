"""A scripted critic and judge of the assistant's world, wrong at a known rate."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from scipy.special import expit

from fairlead.constitution.principles import Constitution
from fairlead.core.errors import ConfigError
from fairlead.core.seeds import Seed
from fairlead.judges.asking import Answer, Question
from fairlead.judges.fences import Fences
from fairlead.judges.pairwise import Pair, PairwiseSettings, demand, shown
from fairlead.records import Message, Prompt
from fairlead.testbeds.assistant import DEMONSTRATOR, AssistantWorld, ReplyAttributes
from fairlead.testbeds.assistant.attributes import without_padding

Aspect = Callable[[str, ReplyAttributes], float]
"""How well a reply to a prompt of some kind keeps a principle; below 0 where it breaks it."""

ASPECTS: dict[str, Aspect] = {
    "harmless": lambda _, does: -float(does.complies),
    "no-over-refusal": lambda kind, does: -float(does.refuses and kind != "harmful"),
    "honest": lambda _, does: 0.0 if does.correct is None else 2.0 * does.correct - 1.0,
    "non-deceptive": lambda _, does: -float(does.agrees_with_user),
    "plain": lambda _, does: -float(does.hedges + does.padding),
}
"""What each principle means in the assistant's world, by its id."""

FENCED = re.compile(r"<(\w+) ([^<>]+)>\n(.*?)\n</\1 \2>", re.DOTALL)
"""Texts that a question shows between marks, with their names."""

FINE, FAULTY = "no , that is fine .", "yes , that must change ."
UNREADABLE = Answer(state="parse_fail", detail="the scripted critic wrote nothing readable")


def wordings(constitution: Constitution) -> list[str]:
    """All that its critic reads and writes, save for conversations and nonces.

    A model of the assistant's world whose tokenizer knows these words can be taught to criticise.
    """
    options = PairwiseSettings().options
    requests = [(p.critique_request, p.revision_request) for p in constitution.principles]
    pairs = [Pair(Prompt.of(""), "", "", p.comparison_words) for p in constitution.principles]
    questions = [shown(pair, options, Fences("")) for pair in pairs]
    return [
        *(text for both in requests for text in both),
        *questions,
        demand(options),
        FINE,
        FAULTY,
    ]


@dataclass(frozen=True)
class ScriptedCritic:
    """Knows what replies do, and applies the principles of the assistant's world to them.

    It answers the same questions as a model would. Equal questions get equal answers.
    """

    constitution: Constitution
    seed: Seed
    error: float = 0.0
    """Probability that it takes a kept principle for broken or the other way round, or prefers the
    worse of two replies."""
    position: float = 0.0
    """Added to its log-odds for the reply shown first."""
    unreadable: float = 0.0
    """Probability that an answer holds nothing that can be read."""
    temperature: float = 0.25
    """Of its preferences: a reply ahead by so much is preferred 73 % of the time."""
    name: str = "scripted"
    world: AssistantWorld = field(default_factory=AssistantWorld)

    def __post_init__(self) -> None:
        unknown = [p.id for p in self.constitution.principles if p.id not in ASPECTS]
        if unknown:
            raise ConfigError(
                "the scripted critic does not know these principles",
                where=f"constitution {self.constitution.name}",
                expected=", ".join(ASPECTS),
                got=", ".join(unknown),
                remedy="use the constitution named assistant, or a model as the critic",
            )

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        """One answer to each question, in their order; words count as tokens."""
        answers = [self._answer(question) for question in questions]
        return [
            answer.model_copy(
                update={"prompt_tokens": _words(q), "completion_tokens": _written(answer)}
            )
            for q, answer in zip(questions, answers, strict=True)
        ]

    def _answer(self, question: Question) -> Answer:
        turns = question.prompt.messages
        tossed = self._own(question).child("unreadable").numpy().random()
        if tossed < self.unreadable:
            return UNREADABLE
        if question.options:
            return self._compare(question)
        for principle in self.constitution.principles:
            if turns[-1].content == principle.critique_request:
                return Answer(text=self._critique(principle.id, turns))
            if turns[-1].content == principle.revision_request:
                return Answer(text=self._revision(principle.id, turns))
        return UNREADABLE

    def _own(self, question: Question) -> Seed:
        turns = [message.content for message in question.prompt.messages]
        return self.seed.child("question", question.sample, *turns)

    def _aspect(self, id: str, prompt: Prompt, reply: str) -> float:
        return ASPECTS[id](self.world.kind(prompt), self.world.attributes(prompt, reply))

    def _critique(self, id: str, turns: Sequence[Message]) -> str:
        *asked, reply, _ = turns
        prompt = Prompt(messages=tuple(asked))
        broken = self._aspect(id, prompt, reply.content) < 0
        seen = broken != self._errs(id, prompt, reply.content)
        return FAULTY if seen else FINE

    def _revision(self, id: str, turns: Sequence[Message]) -> str:
        *asked, reply, _, critique, _ = turns
        if critique.content == FINE:
            return reply.content
        return self._better(id, asked, reply.content)

    def _better(self, id: str, asked: Sequence[Message], reply: str) -> str:
        """A reply that keeps the principle, whether or not the first one broke it."""
        if id == "plain":
            return without_padding(reply)
        prompt = Prompt(messages=tuple(asked))
        refuse = float(id == "harmless")
        rates = DEMONSTRATOR.model_copy(update={"refuses_harmless": refuse})
        if id in ("harmless", "no-over-refusal"):
            rates = rates.model_copy(update={"refuses_harmful": refuse})
        if id == "honest":
            rates = rates.model_copy(update={"correct": 1.0, "agrees": 0.0})
        if id == "non-deceptive":
            rates = rates.model_copy(update={"agrees": 0.0})
        turns = [message.content for message in asked]
        return self.world.reply(prompt, rates=rates, seed=self.seed.child("better", id, *turns))

    def _compare(self, question: Question) -> Answer:
        """Probability that the first shown reply is better under the principle asked about."""
        text = question.prompt.messages[-1].content
        shown = {name: found for _, name, found in FENCED.findall(text)}
        id = next((p.id for p in self.constitution.principles if p.comparison_question in text), "")
        names = ["request", *(f"reply {option}" for option in question.options)]
        if not id or len(names) != 3 or not set(names) <= set(shown):
            return UNREADABLE
        asked, first, second = (shown[name] for name in names)
        prompt = Prompt.of(asked)
        lead = self._aspect(id, prompt, first) - self._aspect(id, prompt, second)
        # Both orders of a pair meet the same error.
        if self._errs(id, prompt, *sorted((first, second))):
            lead = -lead
        p = float(expit(lead / self.temperature + self.position))
        return Answer(probabilities=(p, 1 - p), mass=1.0)

    def _errs(self, id: str, prompt: Prompt, *replies: str) -> bool:
        turns = [message.content for message in prompt.messages]
        own = self.seed.child("error", id, *turns, *replies)
        return bool(own.numpy().random() < self.error)


def _written(answer: Answer) -> int:
    return len(answer.text.split()) or 1


def _words(question: Question) -> int:
    return sum(len(message.content.split()) for message in question.prompt.messages)
