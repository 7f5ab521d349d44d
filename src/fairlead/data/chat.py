"""From records to tokens: chat templates, where the reply begins, how it ends, what is cut.

The prompt and the reply are tokenised together and split where their tokens part, so that no
token straddles the border differently in training and in sampling.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from transformers import PreTrainedTokenizerBase

from fairlead.core.errors import ConfigError, DataError
from fairlead.records import Comparison, Demonstration, Message, Prompt, Ranking, Rating

Ids = tuple[int, ...]

Encodable = Demonstration | Comparison | Ranking | Rating
"""Records that hold replies to a prompt."""

PLAIN_ROLES = {"system": "System", "user": "Human", "assistant": "Assistant", "tool": "Tool"}
"""How turns are introduced where the tokenizer has no chat template."""

SHORTEST_PROMPT = 16
"""Tokens of prompt that must remain for an example to be worth keeping (all of a shorter one)."""


@dataclass(frozen=True)
class Item:
    """A prompt and its replies as tokens.

    Every reply ends in exactly one EOS, unless the prompt is an assistant's turn to be continued:
    then none does.
    """

    prompt: Ids
    responses: tuple[Ids, ...]
    ranks: tuple[int, ...] = (0,)
    """Rank of each reply, smaller is better; all 0 where nothing is compared."""
    record: int = 0
    """Index of the record it was made from."""

    @property
    def tokens(self) -> int:
        """Tokens it takes up in a pack, the prompt counted once."""
        return len(self.prompt) + sum(map(len, self.responses))


@dataclass
class EncodingReport:
    """What became of the records on their way to tokens."""

    kept: int = 0
    prompts_cut: int = 0
    """Prompts that lost their beginning to fit; the replies are whole."""
    dropped_too_long: list[int] = field(default_factory=list[int])
    """Records whose replies alone fill the window."""
    ties: int = 0
    """Comparisons and rankings left out because no reply is better than another."""

    def __str__(self) -> str:
        text = (
            f"{self.kept} examples; {self.prompts_cut} prompts cut at the front; "
            f"{len(self.dropped_too_long)} dropped because the reply alone fills the window"
        )
        return f"{text}; {self.ties} ties left out" if self.ties else text


class ChatFormat:
    """Turns conversations into tokens with the tokenizer's own template, or a plain one.

    Args:
        tokenizer: must have an EOS token.
        encoder: the tokenizer is an encoder's, whose separator ends a text where it has no EOS.

    Raises:
        ConfigError: the tokenizer has no EOS, so no reply could ever end.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, encoder: bool = False) -> None:
        end = tokenizer.eos_token_id
        if end is None and encoder:
            end = tokenizer.sep_token_id
        if end is None:
            raise ConfigError(
                "the tokenizer has no EOS token, so the model could not learn where replies end",
                where=str(tokenizer.name_or_path),
                expected="tokenizer.eos_token set",
                remedy="set eos_token in tokenizer_config.json to the token that ends a turn",
            )
        self.tokenizer = tokenizer
        self.eos = int(str(end))
        # Replies to one prompt come together, and each is split from it.
        self._invited = lru_cache(maxsize=1024)(lambda messages: self._ids(messages, "invite"))

    def prompt_ids(self, prompt: Prompt) -> Ids:
        """Tokens of a prompt, up to and including the marker that invites the reply.

        Where the prompt ends in an assistant's turn they end with its text, without end of turn.
        """
        return self._begun(prompt, "") if prompt.continues else self._invited(prompt.messages)

    def response_ids(self, prompt: Prompt, response: str) -> tuple[Ids, Ids]:
        """Tokens of the prompt and of the reply with its EOS, split where they part.

        Where the prompt ends in an assistant's turn, the reply is the text behind it and has no
        EOS: it may be one step of several.

        Raises:
            DataError: such a reply adds no token.
        """
        invited = self.prompt_ids(prompt)
        if prompt.continues:
            whole = self._begun(prompt, response)
            border = _common_prefix(invited, whole)
            _check_added(whole[border:], prompt)
            return whole[:border], whole[border:]
        reply = Message(role="assistant", content=response)
        whole = self._ids((*prompt.messages, reply), "end")
        border = _common_prefix(invited, whole)
        return whole[:border], self._ended(whole[border:])

    def text(self, ids: Sequence[int]) -> str:
        """The reply's text without special tokens."""
        decoded = self.tokenizer.decode(list(ids), skip_special_tokens=True)
        return str(decoded).strip()

    def _begun(self, prompt: Prompt, more: str) -> Ids:
        """Tokens up to the end of the assistant's turn that has begun, with more text behind it."""
        *before, begun = prompt.messages
        text = begun.content + more
        if not text:
            return self._ids(before, "invite")
        return self._ids((*before, Message(role="assistant", content=text)), "continue")

    def _ids(self, messages: Sequence[Message], then: Literal["invite", "continue", "end"]) -> Ids:
        """Tokens of the messages; `then` says what becomes of the last turn."""
        if self.tokenizer.chat_template:
            turns = [{"role": m.role, "content": m.content} for m in messages]
            ids = self.tokenizer.apply_chat_template(
                turns,
                add_generation_prompt=then == "invite",
                continue_final_message=then == "continue",
                tokenize=True,
                return_dict=False,
            )
            return tuple(map(int, ids))  # pyright: ignore[reportArgumentType]
        ids = self.tokenizer(plain_text(messages, invite=then == "invite"))["input_ids"]
        while ids and ids[-1] == self.eos:
            ids = ids[:-1]
        return tuple(ids)

    def _ended(self, response: Ids) -> Ids:
        """The reply up to its first EOS, or with one added."""
        if self.eos in response:
            return response[: response.index(self.eos) + 1]
        return (*response, self.eos)


def _check_added(added: Ids, prompt: Prompt) -> None:
    if not added:
        raise DataError(
            "a reply adds nothing to the turn that it continues",
            where=prompt.messages[-1].content[-80:],
            expected="text behind the assistant's turn",
            remedy="leave such records out",
        )


def plain_text(messages: Sequence[Message], *, invite: bool) -> str:
    """The conversation as text for models without a chat template."""
    turns = [f"{PLAIN_ROLES[m.role]}: {m.content.strip()}" for m in messages]
    return "\n\n".join([*turns, "Assistant:"] if invite else turns)


def encode(
    records: Sequence[Encodable], chat: ChatFormat, *, max_length: int
) -> tuple[list[Item], EncodingReport]:
    """Tokenises records; what does not fit loses the front of its prompt, never part of a reply.

    Args:
        records: demonstrations, comparisons, rankings or ratings; ties are left out and counted.
        chat: the format of prompts and replies.
        max_length: longest prompt plus reply, in tokens.

    Raises:
        DataError: nothing is left.
    """
    items: list[Item] = []
    report = EncodingReport()
    for index, record in enumerate(records):
        if _is_tie(record):
            report.ties += 1
            continue
        item = _fitted(_item(record, chat, index), max_length, chat, report)
        if item is not None:
            items.append(item)
    report.kept = len(items)
    if not items:
        raise DataError(
            "no example is left after tokenising",
            expected=f"replies shorter than {max_length} tokens",
            got=f"{len(records)} records, {report}",
            remedy="raise max_length or shorten the replies",
        )
    return items, report


def encode_prompts(
    prompts: Iterable[Prompt], chat: ChatFormat, *, max_length: int
) -> tuple[list[tuple[int, Ids]], list[int]]:
    """Tokenises prompts for sampling: (index, tokens) of those that fit, and who does not."""
    kept: list[tuple[int, Ids]] = []
    too_long: list[int] = []
    for index, prompt in enumerate(prompts):
        ids = chat.prompt_ids(prompt)
        if len(ids) <= max_length:
            kept.append((index, ids))
        else:
            too_long.append(index)
    if not kept:
        raise DataError(
            "every prompt is longer than the room for it",
            expected=f"at most {max_length} tokens (context minus the reply's room)",
            got=f"{len(too_long)} prompts, all longer",
            remedy="use a model with a longer context, or lower max_new_tokens",
        )
    return kept, too_long


def _is_tie(record: Encodable) -> bool:
    match record:
        case Comparison():
            return record.tie
        case Ranking():
            return len(set(record.ranks)) == 1
        case Demonstration() | Rating():
            return False


def _item(record: Encodable, chat: ChatFormat, index: int) -> Item:
    match record:
        case Demonstration() | Rating():
            texts, ranks = (record.response,), (0,)
        case Comparison():
            texts, ranks = (record.chosen, record.rejected), (0, 1)
        case Ranking():
            texts, ranks = record.responses, record.ranks
    pairs = [chat.response_ids(record.prompt, text) for text in texts]
    border = min(len(prompt) for prompt, _ in pairs)
    prompt = pairs[0][0][:border]
    responses = tuple((*own[border:], *response) for own, response in pairs)
    return Item(prompt, responses, ranks, index)


def _fitted(item: Item, max_length: int, chat: ChatFormat, report: EncodingReport) -> Item | None:
    room = max_length - max(map(len, item.responses))
    if len(item.prompt) <= room:
        return item
    if room < SHORTEST_PROMPT:
        report.dropped_too_long.append(item.record)
        return None
    report.prompts_cut += 1
    has_bos = item.prompt[0] == chat.tokenizer.bos_token_id
    head = item.prompt[:1] if has_bos else ()
    cut = (*head, *item.prompt[len(item.prompt) - room + len(head) :])
    return Item(cut, item.responses, item.ranks, item.record)


def _common_prefix(a: Ids, b: Ids) -> int:
    for position, (left, right) in enumerate(zip(a, b, strict=False)):
        if left != right:
            return position
    return min(len(a), len(b))
