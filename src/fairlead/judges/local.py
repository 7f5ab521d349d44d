"""A model in this process as a judge or critic: it writes, or options are scored as its next words.

Scores are sums over an option's tokens, never means: only sums are log-probabilities of the words.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import logsumexp, softmax

from fairlead.core.errors import ConfigError
from fairlead.core.seeds import Seed
from fairlead.data.chat import ChatFormat, Ids, Item
from fairlead.generation.local import LocalEngine, evaluating, room_of
from fairlead.generation.sampling import Rollout, Sampling
from fairlead.judges.asking import Answer, Question
from fairlead.models.policy import Policy
from fairlead.models.reference import sequence_logps
from fairlead.records import Message, Prompt


class LocalRespondent:
    """Answers with a policy's present weights. An answer depends on its question alone.

    Args:
        policy: what is asked.
        microbatch_tokens: tokens scored at once, the memory knob.
        seed: of answers drawn at a temperature; each has a stream named by what its question says.
        name: what reports call it.
        max_rows: answers written together; None leaves it to the engine.
    """

    def __init__(
        self,
        policy: Policy,
        microbatch_tokens: int = 8192,
        *,
        seed: Seed,
        name: str = "local",
        max_rows: int | None = None,
    ) -> None:
        self.policy = policy
        self.microbatch_tokens = microbatch_tokens
        self.seed = seed
        self._name = name
        self._chat = ChatFormat(policy.tokenizer)
        self._engine = LocalEngine(policy, max_rows=max_rows)

    @property
    def name(self) -> str:
        """What records and reports call it."""
        return self._name

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        """One answer to each question, in their order; equal questions are computed once.

        A question that does not fit into the model's context ends as `error`.

        Raises:
            ConfigError: the tokenizer does not tell the options of a question apart.
        """
        different = list(dict.fromkeys(questions))
        known = self._choices([q for q in different if q.options])
        known |= self._texts([q for q in different if not q.options])
        return [known[question] for question in questions]

    # Options

    def _choices(self, questions: Sequence[Question]) -> dict[Question, Answer]:
        items = {question: self._option_item(question) for question in questions}
        room = room_of(self.policy)
        known = {
            question: _too_long(longest, room)
            for question, item in items.items()
            if (longest := len(item.prompt) + max(map(len, item.responses))) > room
        }
        asked = {question: item for question, item in items.items() if question not in known}
        with evaluating(self.policy.model):
            sums = sequence_logps(self.policy, list(asked.values()), tokens=self.microbatch_tokens)
        for (question, item), logps in zip(asked.items(), sums, strict=True):
            known[question] = Answer(
                probabilities=tuple(softmax(logps).tolist()),
                mass=min(math.exp(float(logsumexp(logps))), 1.0),
                prompt_tokens=len(item.prompt),
                completion_tokens=sum(map(len, item.responses)),
            )
        return known

    def _option_item(self, question: Question) -> Item:
        """The prompt and its options as tokens, without an end of turn: more may follow."""
        invited = self._chat.prompt_ids(question.prompt)
        begun = [self._chat.prompt_ids(_begun(question.prompt, o)) for o in question.options]
        border = min(_shared(invited, ids) for ids in begun)
        options = tuple(ids[border:] for ids in begun)
        _check_apart(question.options, options)
        return Item(invited[:border], options)

    # Texts

    def _texts(self, questions: Sequence[Question]) -> dict[Question, Answer]:
        known: dict[Question, Answer] = {}
        alike: dict[Sampling, list[tuple[Question, Ids]]] = defaultdict(list)
        room = room_of(self.policy)
        for question in questions:
            ids = self._chat.prompt_ids(question.prompt)
            longest = len(ids) + question.max_tokens
            if longest > room:
                known[question] = _too_long(longest, room)
            else:
                how = Sampling(max_new_tokens=question.max_tokens, temperature=question.temperature)
                alike[how].append((question, ids))
        for sampling, asked in alike.items():
            known |= self._written(asked, sampling)
        return known

    def _written(
        self, asked: Sequence[tuple[Question, Ids]], sampling: Sampling
    ) -> dict[Question, Answer]:
        streams = tuple(self.seed.child(q.sample, *_said(q.prompt)) for q, _ in asked)
        seed = _Streams(self.seed.root, self.seed.path, streams)
        rollouts = self._engine.sample([ids for _, ids in asked], sampling, n=1, seed=seed)
        pairs = zip(asked, rollouts, strict=True)
        return {question: self._answer(rollout) for (question, _), rollout in pairs}

    def _answer(self, rollout: Rollout) -> Answer:
        ended = rollout.finish == "eos"
        cut = "" if ended else f"cut off after {len(rollout.tokens)} tokens"
        return Answer(
            state="scored" if ended else "truncated",
            text=self._chat.text(rollout.tokens[:-1] if ended else rollout.tokens),
            prompt_tokens=len(rollout.prompt),
            completion_tokens=len(rollout.tokens),
            detail=cut,
        )


@dataclass(frozen=True)
class _Streams(Seed):
    """A seed whose children are given: a prompt's stream must not follow from its place."""

    streams: tuple[Seed, ...] = ()

    def child(self, *names: str | int) -> Seed:
        """The stream of a prompt."""
        return self.streams[int(names[0])]


def _said(prompt: Prompt) -> list[str]:
    return [part for message in prompt.messages for part in (message.role, message.content)]


def _begun(prompt: Prompt, option: str) -> Prompt:
    """The prompt with an option as the beginning of the reply."""
    if prompt.continues:
        *before, last = prompt.messages
        turns = (*before, Message(role="assistant", content=last.content + option))
    else:
        turns = (*prompt.messages, Message(role="assistant", content=option))
    return Prompt(messages=turns)


def _shared(first: Ids, second: Ids) -> int:
    """Tokens that two texts begin with alike."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(first), len(second)))


def _check_apart(options: Sequence[str], tokens: Sequence[Ids]) -> None:
    """Refuses options of which one begins with another: their probabilities would overlap."""
    for one, own in zip(options, tokens, strict=True):
        for other, longer in zip(options, tokens, strict=True):
            if one != other and longer[: len(own)] == own:
                raise ConfigError(
                    "the tokenizer does not tell the options apart",
                    expected="options of which none begins with the tokens of another",
                    got=f"{one!r} and {other!r}",
                    remedy="choose other options, such as single letters or the digits 1 to 9",
                )


def _too_long(tokens: int, room: int) -> Answer:
    detail = f"question and answer take {tokens} tokens, the model has room for {room}"
    return Answer(state="error", detail=detail)
