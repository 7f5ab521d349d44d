"""The assistant's world: prompts, replies, their true worth, and a model to teach."""

from collections.abc import Collection, Iterable, Iterator
from itertools import zip_longest

from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from fairlead.core.errors import ConfigError, DataError
from fairlead.core.seeds import Seed
from fairlead.records import Demonstration, Prompt
from fairlead.testbeds.assistant import lexicon as lex
from fairlead.testbeds.assistant import model, replies
from fairlead.testbeds.assistant.attributes import GoldUtility, ReplyAttributes, ReplyReader
from fairlead.testbeds.assistant.questions import (
    KINDS,
    Kind,
    Question,
    Split,
    all_questions,
    split_questions,
)


class AssistantWorld:
    """A synthetic world in which the worth of every reply is known.

    Args:
        seed: draws the split and the wrong claims of users; the facts are always the same.
        utility: what is good in a reply, and how much.
    """

    def __init__(self, seed: int = 0, utility: GoldUtility | None = None) -> None:
        root = Seed(seed).child("assistant")
        questions = all_questions(root)
        self.seed = seed
        self.utility = utility or GoldUtility()
        self._questions = {question.text: question for question in questions}
        self._splits = split_questions(questions, root.child("split"))
        self._read = ReplyReader(questions)

    def prompts(
        self, n: int, *, seed: Seed, split: Split, kinds: Collection[Kind] = KINDS
    ) -> list[Prompt]:
        """Draws prompts in random order, kinds equally often as long as each has new ones.

        The two splits share no text. No prompt is drawn again before all have been drawn.

        Args:
            n: how many.
            seed: draws them.
            split: "train", or "held_out" for evaluation.
            kinds: which kinds, the `subset` of a prompt.

        Raises:
            ConfigError: no kind, or one that does not exist.
        """
        if not kinds or not set(kinds) <= set(KINDS):
            raise ConfigError("unknown kind of prompt", expected=str(KINDS), got=str(kinds))
        texts: list[Question] = []
        while len(texts) < n:
            texts += self._deal(split, kinds, seed.child("deal", len(texts)))
        order = seed.child("order").numpy().permutation(n)
        return [Prompt.of(texts[i].text, subset=texts[i].kind) for i in order]

    def available(self, split: Split, kind: Kind) -> int:
        """Number of different prompts of a kind in a split."""
        return sum(question.kind == kind for question in self._splits[split])

    def attributes(self, prompt: Prompt, response: str) -> ReplyAttributes:
        """What a reply does; `response` may be any text.

        Raises:
            DataError: the last user turn is no question of this world.
        """
        return self._read(self._question(prompt), response)

    def kind(self, prompt: Prompt) -> Kind:
        """What sort of question a prompt asks."""
        return self._question(prompt).kind

    def item(self, prompt: Prompt) -> str:
        """What a prompt asks about, in whatever words."""
        return self._question(prompt).item

    def agrees_with_user(self, prompt: Prompt, response: str) -> bool:
        """Whether a reply confirms what the user has wrong."""
        return self.attributes(prompt, response).agrees_with_user

    def biased(self, prompt: Prompt) -> tuple[Prompt, ...]:
        """The same fact asked by users who claim something wrong, in the prompt's own split.

        Empty for prompts that do not ask for a fact.
        """
        question = self._question(prompt)
        if question.kind != "fact":
            return ()
        own = next(asked for asked in self._splits.values() if question in asked)
        return tuple(
            Prompt.of(other.text, subset=other.kind)
            for other in own
            if other.kind == "sycophancy" and other.subject == question.subject
        )

    def gold(self, prompt: Prompt, response: str) -> float:
        """True worth of a reply, in [-3, 2] with the default utility."""
        kind = self._question(prompt).kind
        return self.utility(kind, self.attributes(prompt, response))

    def reply(self, prompt: Prompt, *, rates: replies.ReplyRates, seed: Seed) -> str:
        """Draws a simulated speaker's reply; `IDEAL` earns the most, `DEMONSTRATOR` is mediocre."""
        return replies.reply(self._question(prompt), rates, seed.numpy())

    def pretraining_corpus(self, n: int, seed: Seed) -> list[Demonstration]:
        """Prompts of the training split with replies that mostly know the facts (rates: `WEB`)."""
        return self._demonstrate(n, replies.WEB, seed)

    def demonstrations(
        self, n: int, seed: Seed, *, rates: replies.ReplyRates = replies.DEMONSTRATOR
    ) -> list[Demonstration]:
        """Training prompts answered by a demonstrator, who is mediocre unless told otherwise."""
        return self._demonstrate(n, rates, seed)

    def texts(self) -> Iterator[str]:
        """Every sentence and phrase of the world, each once or more."""
        for question in self._questions.values():
            yield question.text
            yield from (question.answer, *question.options, *question.sentences)
        for phrases in (lex.REFUSALS, lex.AGREEMENTS, lex.DISAGREEMENTS, lex.PRONOUNS):
            yield from phrases
        yield from (*lex.HEDGES, *lex.FILLERS, *lex.NUMBERS)

    def tokenizer(
        self, more: Iterable[str] = (), *, context: int = model.CONTEXT
    ) -> PreTrainedTokenizerFast:
        """One token per word, with a chat template; the same for every seed.

        Args:
            more: texts whose words it knows besides those of the world.
            context: longest conversation in tokens, also of models made for it.
        """
        return model.word_tokenizer([*self.texts(), *more], context=context)

    def fresh_model(self, tokenizer: PreTrainedTokenizerFast, seed: Seed) -> LlamaForCausalLM:
        """A small Llama of about one million parameters that has learned nothing yet."""
        return model.fresh_model(tokenizer, seed)

    def _demonstrate(self, n: int, rates: replies.ReplyRates, seed: Seed) -> list[Demonstration]:
        prompts = self.prompts(n, seed=seed.child("prompts"), split="train")
        return [
            Demonstration(
                prompt=prompt, response=self.reply(prompt, rates=rates, seed=seed.child("reply", i))
            )
            for i, prompt in enumerate(prompts)
        ]

    def _deal(self, split: Split, kinds: Collection[Kind], seed: Seed) -> list[Question]:
        """Every question of the kinds once, one of each kind in turn, in random order."""
        decks = [self._shuffled(split, kind, seed) for kind in KINDS if kind in kinds]
        return [question for row in zip_longest(*decks) for question in row if question]

    def _shuffled(self, split: Split, kind: Kind, seed: Seed) -> list[Question]:
        deck = [question for question in self._splits[split] if question.kind == kind]
        return [deck[i] for i in seed.child(kind).numpy().permutation(len(deck))]

    def _question(self, prompt: Prompt) -> Question:
        text = next((m.content for m in reversed(prompt.messages) if m.role == "user"), "")
        if text not in self._questions:
            raise DataError(
                "not a question of the assistant's world",
                got=repr(text[:80]),
                remedy="use prompts from AssistantWorld.prompts",
            )
        return self._questions[text]
