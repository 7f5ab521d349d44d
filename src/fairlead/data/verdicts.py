"""Comparisons put to a language model as a question with two one-token answers."""

from collections.abc import Sequence
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from fairlead.core.errors import ConfigError
from fairlead.data.chat import ChatFormat, Ids, Item, plain_text
from fairlead.records import Comparison, Prompt

TEMPLATE = """\
Below are a conversation and two replies to its last turn. Which reply is better?

{prompt}

Reply A: {first}

Reply B: {second}

Answer with A or B alone."""


class VerdictFormat(BaseModel):
    """How two replies are shown, and the words that name the better one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    template: str = TEMPLATE
    """The question; `{prompt}`, `{first}` and `{second}` stand for what is shown."""
    options: tuple[str, str] = ("A", "B")
    """Verdict for the first reply, and for the second: each one token more than the other."""

    @model_validator(mode="after")
    def _shows_everything(self) -> Self:
        missing = [n for n in ("{prompt}", "{first}", "{second}") if n not in self.template]
        if missing:
            raise ValueError(f"the template does not show {', '.join(missing)}")
        return self

    def question(self, prompt: Prompt, first: str, second: str) -> Prompt:
        """The question that shows both replies in this order."""
        turns = prompt.messages
        asked = turns[0].content if len(turns) == 1 else plain_text(turns, invite=False)
        shown = {"{prompt}": asked, "{first}": first.strip(), "{second}": second.strip()}
        text = self.template
        # In one pass, so that a reply which contains "{second}" stays as it is.
        parts: list[str] = []
        while text:
            found = [(text.find(name), name) for name in shown if name in text]
            if not found:
                break
            place, name = min(found)
            parts += [text[:place], shown[name]]
            text = text[place + len(name) :]
        whole = "".join([*parts, text])
        return Prompt.of(whole, subset=prompt.subset, provenance=prompt.provenance)

    def item(self, chat: ChatFormat, question: Prompt, *, record: int = 0) -> Item:
        """The question and its two verdicts, cut to the first token in which they differ.

        Raises:
            ConfigError: the tokenizer does not tell the options apart.
        """
        (prompt, first), (other, second) = (
            chat.response_ids(question, option) for option in self.options
        )
        wholes: tuple[Ids, Ids] = ((*prompt, *first), (*other, *second))
        shared = next((i for i, (a, b) in enumerate(zip(*wholes, strict=False)) if a != b), None)
        if shared is None or chat.eos in (wholes[0][shared], wholes[1][shared]):
            raise ConfigError(
                "the tokenizer does not tell the two verdicts apart",
                where="verdict.options",
                expected="two words that begin with different tokens",
                got=", ".join(map(repr, self.options)),
                remedy="choose other options, such as words of the model's vocabulary",
            )
        verdicts = ((wholes[0][shared],), (wholes[1][shared],))
        return Item(wholes[0][:shared], verdicts, (0, 1), record)


def verdict_items(
    records: Sequence[Comparison], chat: ChatFormat, form: VerdictFormat, *, max_length: int
) -> tuple[list[Item], int]:
    """Each comparison as two items, one for each order of its replies, and how many are too long.

    The right verdict comes first in rank; both orders of a comparison have its index as record.
    """
    items: list[Item] = []
    too_long = 0
    for index, record in enumerate(records):
        both = [
            form.item(chat, form.question(record.prompt, *order), record=index)
            for order in ((record.chosen, record.rejected), (record.rejected, record.chosen))
        ]
        if max(len(item.prompt) for item in both) >= max_length:
            too_long += 1
            continue
        first, second = both
        items += [first, Item(second.prompt, second.responses, (1, 0), index)]
    return items, too_long
