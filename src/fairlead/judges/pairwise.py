"""Two replies compared under a question, in both orders, so that no place has an advantage.

The label is the mean of both orders: p(first reply better) = (p of the first place where it is
shown first + p of the second place where it is shown second) / 2 (Lee et al. 2023,
arXiv:2309.00267). Swapping the two replies gives exactly 1 minus the label.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import fmean
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveInt, model_validator

from fairlead.core.errors import ConfigError
from fairlead.core.seeds import Seed
from fairlead.judges.asking import Answer, Question, Respondent, State
from fairlead.judges.fences import Fences, texts_of
from fairlead.records import Message, Prompt

Ending = State | Literal["abstained"]
"""How a comparison ended: as its answers did, or `abstained`: they were read and decide nothing."""

BETTER = "Which reply serves the user better? Length, order and formatting do not matter."
THINK = "Weigh both replies in a few sentences. Do not name the better one yet."


class RationaleSettings(BaseModel):
    """A judge that writes its reasons before it decides (chain of thought)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_tokens: PositiveInt = 256
    """Longest rationale; one that is cut off decides nothing."""
    temperature: NonNegativeFloat = 0.0
    samples: PositiveInt = 1
    """Rationales in each order; their probabilities are averaged."""
    clamp: tuple[float, float] = (0.4, 0.6)
    """Probabilities are pulled into this range: behind a rationale they are next to 0 or 1, which
    says little about how sure the judgement is (Bai et al. 2022, arXiv:2212.08073, section 4.1)."""

    @model_validator(mode="after")
    def _even(self) -> Self:
        low, high = self.clamp
        if not 0 <= low < 0.5 or high != 1 - low:
            raise ValueError(f"clamp must be a range around one half, got {self.clamp}")
        if self.samples > 1 and self.temperature == 0:
            raise ValueError("several rationales at temperature 0 would all be the same one")
        return self


class PairwiseSettings(BaseModel):
    """How two replies are compared, and when the comparison decides nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    options: tuple[str, str] = ("A", "B")
    """Names of the reply shown first and of the one shown second."""
    rationale: RationaleSettings | None = None
    """None asks for the verdict at once."""
    least_margin: float = Field(default=0.0, ge=0, le=0.5)
    """Labels nearer to one half than this are abstentions."""
    least_mass: float = Field(default=0.0, ge=0, le=1)
    """Below this probability of all options together the judge meant to say something else, and
    abstains; 0 accepts all, and masses that are not known are accepted."""
    abstain_on_flip: bool = False
    """Abstain where the two orders name different winners."""
    quorum: PositiveInt = 1
    """Judges that must have decided for a label, where several are asked."""


@dataclass(frozen=True)
class Pair:
    """Two replies to compare."""

    prompt: Prompt
    first: str
    second: str
    question: str = BETTER
    """What makes a reply the better one, such as a principle's comparison question."""
    repeat: int = 0
    """Which of several independent judgements of the same pair this is."""

    @property
    def swapped(self) -> "Pair":
        """The same with the replies in each other's place."""
        return Pair(self.prompt, self.second, self.first, self.question, self.repeat)


@dataclass(frozen=True)
class Order:
    """What a judge said of the two replies in one order."""

    first_place: float | None
    """Probability that the reply shown first is better; None where it was not said."""
    state: State
    mass: float | None = None
    """Smallest probability of all options together, where known."""
    rationales: tuple[str, ...] = ()
    prompt_tokens: int = 0
    completion_tokens: int = 0
    detail: str = ""


@dataclass(frozen=True)
class Opinion:
    """One judge's view of a pair."""

    judge: str
    orders: tuple[Order, Order]
    """With the pair's first reply shown first, and with its second reply shown first."""
    label: float | None
    """Probability that the pair's first reply is better; None where the judge did not decide."""
    state: Ending
    detail: str = ""

    @property
    def places(self) -> tuple[float, float] | None:
        """Probability of the first place in both orders; None unless both are known."""
        one, other = (order.first_place for order in self.orders)
        return None if one is None or other is None else (one, other)

    @property
    def flips(self) -> bool:
        """Whether the two orders name different winners."""
        return self.places is not None and (self.places[0] - 0.5) * (self.places[1] - 0.5) > 0


@dataclass(frozen=True)
class Outcome:
    """What all judges together make of a pair."""

    label: float | None
    """Probability that the pair's first reply is better; None where nothing was decided."""
    state: Ending
    opinions: tuple[Opinion, ...] = ()
    """Of every judge; empty where there was nothing to ask."""
    detail: str = ""

    @property
    def places(self) -> tuple[float, float] | None:
        """Probability of the first place in both orders, a mean over judges who answered both."""
        known = [opinion.places for opinion in self.opinions if opinion.places is not None]
        return (fmean(p[0] for p in known), fmean(p[1] for p in known)) if known else None

    @property
    def first_place(self) -> float | None:
        """Mean preference for the place shown first; one half for a judge who does not mind."""
        return None if self.places is None else fmean(self.places)

    @property
    def disagreement(self) -> float | None:
        """Largest distance between the labels of two judges; None unless two decided."""
        labels = [opinion.label for opinion in self.opinions if opinion.label is not None]
        return max(labels) - min(labels) if len(labels) > 1 else None

    @property
    def prompt_tokens(self) -> int:
        """Read by all judges."""
        return sum(order.prompt_tokens for own in self.opinions for order in own.orders)

    @property
    def completion_tokens(self) -> int:
        """Written by all judges."""
        return sum(order.completion_tokens for own in self.opinions for order in own.orders)


class PairwiseJudge:
    """Compares replies by asking one or several respondents.

    Args:
        judges: who is asked, with names that differ.
        settings: how.
        seed: of the fences around texts, so it should not be known to who wrote them.

    Raises:
        ConfigError: no judge, two of one name, or fewer than the quorum.
    """

    def __init__(
        self,
        judges: Sequence[Respondent],
        settings: PairwiseSettings | None = None,
        *,
        seed: Seed,
    ) -> None:
        self.settings = settings or PairwiseSettings()
        names = [judge.name for judge in judges]
        if len(names) < self.settings.quorum or len(set(names)) < len(names):
            raise ConfigError(
                "these judges cannot compare replies together",
                expected=f"at least {self.settings.quorum}, with different names",
                got=", ".join(names) or "none",
            )
        self.judges = tuple(judges)
        self._seed = seed.child("pairwise")

    @property
    def name(self) -> str:
        """Names of all judges."""
        return " + ".join(judge.name for judge in self.judges)

    def compare(self, pairs: Sequence[Pair]) -> list[Outcome]:
        """An outcome for each pair, in order; an empty reply is nothing to judge."""
        shown = [p for p in pairs if p.first.strip() and p.second.strip()]
        opinions = iter(zip(*(self._opinions(judge, shown) for judge in self.judges), strict=True))
        return [
            self._outcome(next(opinions))
            if pair.first.strip() and pair.second.strip()
            else Outcome(None, "target_refused", detail="a reply is empty")
            for pair in pairs
        ]

    def _opinions(self, judge: Respondent, pairs: Sequence[Pair]) -> list[Opinion]:
        cases = [case for pair in pairs for case in (pair, pair.swapped)]
        orders = self._orders(judge, cases)
        both = zip(orders[::2], orders[1::2], strict=True)
        return [self._opinion(judge.name, one, other) for one, other in both]

    # Asking

    def _orders(self, judge: Respondent, cases: Sequence[Pair]) -> list[Order]:
        """What the judge says of each case, its first reply shown first."""
        if self.settings.rationale is None:
            answers = judge.ask([self._verdict(self._shown(case), case.repeat) for case in cases])
            return [_order([answer], self.settings) for answer in answers]
        return self._reasoned(judge, cases, self.settings.rationale)

    def _reasoned(
        self, judge: Respondent, cases: Sequence[Pair], settings: RationaleSettings
    ) -> list[Order]:
        """The same with rationales first and the verdict behind them."""
        each = range(settings.samples)
        asked = [self._thinking(case, settings, k) for case in cases for k in each]
        thoughts = judge.ask(asked)
        written = [i for i, thought in enumerate(thoughts) if thought.state == "scored"]
        verdicts = dict(
            zip(
                written,
                judge.ask([self._concluding(asked[i], thoughts[i]) for i in written]),
                strict=True,
            )
        )
        ended = iter(_joined(thoughts[i], verdicts.get(i)) for i in range(len(asked)))
        return [_order(list(islice(ended, settings.samples)), self.settings) for _ in cases]

    def _shown(self, case: Pair) -> str:
        texts = (*texts_of(case.prompt), case.first, case.second)
        return shown(case, self.settings.options, Fences.around(texts, self._seed))

    def _verdict(self, text: str, repeat: int) -> Question:
        options = self.settings.options
        asked = Prompt.of(f"{text}\n\n{demand(options)}")
        return Question(prompt=asked, options=options, sample=repeat)

    def _thinking(self, case: Pair, settings: RationaleSettings, sample: int) -> Question:
        return Question(
            prompt=Prompt.of(f"{self._shown(case)}\n\n{THINK}"),
            max_tokens=settings.max_tokens,
            temperature=settings.temperature,
            sample=case.repeat * settings.samples + sample,
        )

    def _concluding(self, thinking: Question, thought: Answer) -> Question:
        options = self.settings.options
        turns = (
            *thinking.prompt.messages,
            Message(role="assistant", content=thought.text),
            Message(role="user", content=demand(options)),
        )
        return Question(prompt=Prompt(messages=turns), options=options, sample=thinking.sample)

    # Deciding

    def _opinion(self, name: str, one: Order, other: Order) -> Opinion:
        unscored = next((order for order in (one, other) if order.state != "scored"), None)
        if unscored is not None:
            return Opinion(name, (one, other), None, unscored.state, unscored.detail)
        assert one.first_place is not None and other.first_place is not None
        label = around_half((one.first_place - other.first_place) / 2)
        undecided = Opinion(name, (one, other), label, "scored")
        if why := self._undecided(undecided, label):
            return Opinion(name, (one, other), None, "abstained", why)
        return undecided

    def _undecided(self, opinion: Opinion, label: float) -> str:
        """Why a label says nothing; empty where it says something."""
        masses = [order.mass for order in opinion.orders if order.mass is not None]
        if masses and min(masses) < self.settings.least_mass:
            return f"mass: options have {min(masses):.3g} of the probability"
        if self.settings.abstain_on_flip and opinion.flips:
            return "order: the two orders name different winners"
        if abs(label - 0.5) < self.settings.least_margin:
            return f"margin: {label:.3g} is close to one half"
        return ""

    def _outcome(self, opinions: tuple[Opinion, ...]) -> Outcome:
        labels = [opinion.label for opinion in opinions if opinion.label is not None]
        if len(labels) < self.settings.quorum:
            missing = next(opinion for opinion in opinions if opinion.label is None)
            return Outcome(None, missing.state, opinions, missing.detail)
        return Outcome(around_half(fmean(label - 0.5 for label in labels)), "scored", opinions)


def shown(pair: Pair, options: tuple[str, str], fences: Fences) -> str:
    """A pair as a judge reads it, up to what it is asked to write."""
    first, second = options
    return "\n\n".join(
        [
            "Compare two replies to the last request of a conversation.",
            fences.explanation,
            fences.conversation(pair.prompt),
            fences.hold(f"reply {first}", pair.first),
            fences.hold(f"reply {second}", pair.second),
            pair.question,
        ]
    )


def demand(options: tuple[str, str]) -> str:
    """What a judge is asked to write at last."""
    first, second = options
    return f"Answer with {first} or {second} alone."


def around_half(distance: float) -> float:
    """One half plus a distance, so that the opposite distance gives exactly 1 minus that."""
    return 0.5 + distance if distance >= 0 else 1 - (0.5 - distance)


def count_states(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """How many outcomes ended in each state, most frequent first."""
    return dict(Counter(outcome.state for outcome in outcomes).most_common())


def _order(answers: Sequence[Answer], settings: PairwiseSettings) -> Order:
    """The mean over answers that decided; the first trouble where none did."""
    decided = [answer for answer in answers if answer.state == "scored"]
    troubled = next((answer for answer in answers if answer.state != "scored"), None)
    masses = [answer.mass for answer in decided if answer.mass is not None]
    preferences = [_clamped(answer.probabilities[0], settings) for answer in decided]
    return Order(
        first_place=fmean(preferences) if preferences else None,
        state="scored" if decided else answers[0].state,
        mass=min(masses) if masses else None,
        rationales=tuple(answer.text for answer in answers if answer.text),
        prompt_tokens=sum(answer.prompt_tokens for answer in answers),
        completion_tokens=sum(answer.completion_tokens for answer in answers),
        detail=troubled.detail if troubled else "",
    )


def _clamped(probability: float, settings: PairwiseSettings) -> float:
    if settings.rationale is None:
        return probability
    low, high = settings.rationale.clamp
    return min(max(probability, low), high)


def _joined(thought: Answer, verdict: Answer | None) -> Answer:
    """A rationale and the verdict behind it as one answer."""
    if verdict is None:
        return thought
    return verdict.model_copy(
        update={
            "text": thought.text,
            "prompt_tokens": thought.prompt_tokens + verdict.prompt_tokens,
            "completion_tokens": thought.completion_tokens + verdict.completion_tokens,
        }
    )
