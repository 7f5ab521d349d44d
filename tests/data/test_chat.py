import json
import string
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from fairlead.core.errors import ConfigError, DataError
from fairlead.data.chat import ChatFormat, EncodingReport, Item, encode, encode_prompts
from fairlead.records import Comparison, Demonstration, Message, Prompt, Ranking, Rating

SPECIAL = ["<eos>", "<bos>", "<user>", "<assistant>", "<system>"]
VOCABULARY = {symbol: i for i, symbol in enumerate([*SPECIAL, *string.printable, ": "])}
EOS, BOS = 0, 1
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
MODEL = Path(__file__).parents[3] / "shared" / "models" / "stories260K"


def tokenizer(
    *, template: str | None = None, wrap: str = "<bos> $A", eos: str | None = "<eos>"
) -> PreTrainedTokenizerFast:
    """One token per character, but one for a colon with the space behind it."""
    inner = Tokenizer(models.BPE(VOCABULARY, [(":", " ")]))
    inner.add_special_tokens([AddedToken(name, special=True) for name in SPECIAL])
    inner.decoder = decoders.Fuse()
    inner.post_processor = TemplateProcessing(
        single=wrap, special_tokens=[("<bos>", BOS), ("<eos>", EOS)]
    )
    made = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<bos>", eos_token=eos)
    made.chat_template = template
    return made


FORMATS = {
    "plain": ChatFormat(tokenizer()),
    "plain, tokenizer adds EOS": ChatFormat(tokenizer(wrap="<bos> $A <eos>")),
    "template": ChatFormat(tokenizer(template=TEMPLATE)),
    "template, newline behind EOS": ChatFormat(
        tokenizer(template=TEMPLATE.replace("{{ eos_token }}", "{{ eos_token }}\n"))
    ),
    "template, turns without EOS": ChatFormat(
        tokenizer(template=TEMPLATE.replace("{{ eos_token }}", "\n"))
    ),
}
every_format = pytest.mark.parametrize("chat", FORMATS.values(), ids=FORMATS)
plain, template = FORMATS["plain"], FORMATS["template"]
texts = st.text(st.sampled_from(string.ascii_letters + " .,:"), max_size=12)


def spelled(ids: Sequence[int]) -> str:
    """Token ids as text, special tokens included."""
    names = {i: symbol for symbol, i in VOCABULARY.items()}
    return "".join(names[i] for i in ids)


def test_template_worked_by_hand() -> None:
    messages = (
        Message(role="system", content="Be brief."),
        Message(role="user", content="Hi"),
        Message(role="assistant", content="Yes?"),
        Message(role="user", content="2+2"),
    )
    prompt, response = template.response_ids(Prompt(messages=messages), "4")
    history = "<bos><system>Be brief.<eos><user>Hi<eos><assistant>Yes?<eos><user>2+2<eos>"
    assert spelled(prompt) == history + "<assistant>"
    assert spelled(response) == "4<eos>"


def test_plain_format_worked_by_hand() -> None:
    messages = (Message(role="system", content="Be brief."), Message(role="user", content=" Hi "))
    assert spelled(plain.prompt_ids(Prompt(messages=messages))) == (
        "<bos>System: Be brief.\n\nHuman: Hi\n\nAssistant:"
    )


def test_border_lies_where_the_tokens_part() -> None:
    # ": " is one token before a reply, ":" another at the end of an invitation.
    prompt, response = plain.response_ids(Prompt.of("Hi"), "Yes")
    assert spelled(prompt) == "<bos>Human: Hi\n\nAssistant"
    assert spelled(response) == ": Yes<eos>" and response[0] == VOCABULARY[": "]


@every_format
@given(question=texts, answer=texts)
def test_replies_end_in_exactly_one_eos_and_prompts_begin_with_one_bos(
    chat: ChatFormat, question: str, answer: str
) -> None:
    prompt, response = chat.response_ids(Prompt.of(question), answer)
    assert response.count(EOS) == 1 and response[-1] == EOS
    assert (*prompt, *response).count(BOS) == 1 and prompt[0] == BOS
    invited = chat.prompt_ids(Prompt.of(question))
    assert invited[: len(prompt)] == prompt


@every_format
def test_prompts_do_not_end(chat: ChatFormat) -> None:
    assert chat.prompt_ids(Prompt.of("Hi"))[-1] != EOS


def test_text_of_a_reply_has_no_special_tokens() -> None:
    _, response = template.response_ids(Prompt.of("Hi"), " Yes, certainly. ")
    assert template.text(response) == "Yes, certainly."
    assert template.text((EOS,)) == ""


def test_tokenizer_without_eos_is_refused() -> None:
    with pytest.raises(ConfigError, match="no EOS token") as refused:
        ChatFormat(tokenizer(eos=None))
    assert "eos_token" in refused.value.remedy


def pair(question: str, chosen: str, rejected: str, *, tie: bool = False) -> Comparison:
    return Comparison(prompt=Prompt.of(question), chosen=chosen, rejected=rejected, tie=tie)


def test_replies_of_a_pair_share_one_prompt() -> None:
    (item,), report = encode([pair("Hi", "Yes", "No, never")], template, max_length=99)
    assert spelled(item.prompt) == "<bos><user>Hi<eos><assistant>"
    assert [spelled(r) for r in item.responses] == ["Yes<eos>", "No, never<eos>"]
    assert item.ranks == (0, 1) and report == EncodingReport(kept=1)


def test_pairs_whose_tokens_part_early_still_share_one_prompt() -> None:
    # The empty reply leaves the colon alone; the other merges it with its space.
    (item,), _ = encode([pair("Hi", "Yes", "")], plain, max_length=99)
    assert spelled(item.prompt) == "<bos>Human: Hi\n\nAssistant"
    assert [spelled(r) for r in item.responses] == [": Yes<eos>", ": <eos>"]


def test_rankings_keep_their_ranks_and_records_their_index() -> None:
    ranking = Ranking(prompt=Prompt.of("Hi"), responses=("a", "b", "c"), ranks=(2, 0, 2))
    demonstration = Demonstration(prompt=Prompt.of("Hi"), response="d")
    items, _ = encode([demonstration, ranking], template, max_length=99)
    assert [(i.ranks, i.record) for i in items] == [((0,), 0), ((2, 0, 2), 1)]


def test_long_prompts_lose_their_beginning_and_replies_stay_whole() -> None:
    question = string.ascii_letters  # 52 letters, 55 tokens with what is around them
    (item,), report = encode([pair(question, "Yes", "Certainly")], template, max_length=40)
    assert [spelled(r) for r in item.responses] == ["Yes<eos>", "Certainly<eos>"]
    # 40 - 10 = 30 tokens are left: BOS, 27 letters, EOS and the invitation.
    assert spelled(item.prompt) == f"<bos>{question[-27:]}<eos><assistant>"
    assert len(item.prompt) + max(map(len, item.responses)) == 40
    assert report == EncodingReport(kept=1, prompts_cut=1)
    assert str(report).startswith("1 examples; 1 prompts cut at the front; 0 dropped")


def test_a_prompt_without_bos_is_cut_to_its_end() -> None:
    chat = ChatFormat(tokenizer(template=TEMPLATE.replace("{{ bos_token }}", "")))
    (item,), _ = encode([pair(string.ascii_letters, "Yes", "No")], chat, max_length=24)
    assert spelled(item.prompt) == string.ascii_letters[-18:] + "<eos><assistant>"


@pytest.mark.parametrize(
    ("length", "kept"),
    [(84, True), (85, False)],  # with its EOS it leaves 100 - 85 = 15 tokens, then 14
)
def test_pairs_that_leave_no_room_for_the_prompt_are_dropped_and_counted(
    length: int, kept: bool
) -> None:
    long = pair(string.ascii_letters, "a", "b" * (length - 1))
    items, report = encode([pair("Hi", "a", "b"), long], template, max_length=100)
    assert [i.record for i in items] == ([0, 1] if kept else [0])
    assert report.dropped_too_long == ([] if kept else [1])
    assert report.prompts_cut == int(kept) and report.kept == len(items)


def test_ties_are_left_out_and_counted() -> None:
    tied = Ranking(prompt=Prompt.of("Hi"), responses=("a", "b"), ranks=(1, 1))
    records = [pair("Hi", "a", "b", tie=True), pair("Hi", "c", "d"), tied]
    items, report = encode(records, template, max_length=99)
    assert [i.record for i in items] == [1]
    assert report.ties == 2 and str(report).endswith("2 ties left out")


def test_nothing_left_is_an_error() -> None:
    with pytest.raises(DataError, match="no example is left") as refused:
        encode([pair("Hi", "a" * 50, "b")], template, max_length=20)
    assert "1 dropped because the reply alone fills the window" in refused.value.got


def test_prompts_longer_than_their_room_are_named() -> None:
    prompts = [Prompt.of("Hi"), Prompt.of("H" * 30), Prompt.of("Ho")]
    kept, too_long = encode_prompts(prompts, template, max_length=10)
    assert [(index, spelled(ids)) for index, ids in kept] == [
        (0, "<bos><user>Hi<eos><assistant>"),
        (2, "<bos><user>Ho<eos><assistant>"),
    ]
    assert too_long == [1]
    with pytest.raises(DataError, match="every prompt is longer"):
        encode_prompts(prompts[1:2], template, max_length=10)


def test_tokens_of_an_item_count_its_prompt_once() -> None:
    assert Item((1, 2, 3), ((4, 5), (6,))).tokens == 6


@pytest.mark.skipif(not MODEL.is_dir(), reason="../shared/models is not beside this checkout")
def test_a_real_tokenizer_begins_and_ends_once() -> None:
    real = AutoTokenizer.from_pretrained(str(MODEL))
    config = json.loads((MODEL / "tokenizer_config.json").read_text())
    assert real.eos_token == config["eos_token"]
    chat = ChatFormat(real)
    prompt, response = chat.response_ids(Prompt.of("Tell a story"), "Once upon a time.")
    assert (*prompt, *response).count(real.bos_token_id) == 1
    assert response.count(chat.eos) == 1 and response[-1] == chat.eos
    assert chat.text(response).endswith("Once upon a time.")


def begun(question: str, *so_far: str) -> Prompt:
    """A prompt whose answer has begun."""
    asked, answer = Message(role="user", content=question), "\n".join(so_far)
    return Prompt(messages=(asked, Message(role="assistant", content=answer)))


def test_a_begun_turn_is_continued_without_end_of_turn() -> None:
    prompt, response = template.response_ids(begun("2+2-1", "2+2=4"), "\n4-1=3")
    assert spelled(prompt) == "<bos><user>2+2-1<eos><assistant>2+2=4"
    assert spelled(response) == "\n4-1=3"
    prompt, response = plain.response_ids(begun("2+2-1", "2+2=4"), "\n4-1=3")
    assert spelled(prompt) == "<bos>Human: 2+2-1\n\nAssistant: 2+2=4"
    assert spelled(response) == "\n4-1=3"


def test_a_turn_begun_with_nothing_is_its_invitation() -> None:
    prompt, response = template.response_ids(begun("2+2", ""), "4")
    assert prompt == template.prompt_ids(Prompt.of("2+2"))
    assert spelled(response) == "4"
    assert spelled(plain.response_ids(begun("2+2", ""), "4")[1]) == ": 4"  # as in any reply


@every_format
@given(question=texts, done=texts, step=texts.filter(str.strip))
def test_a_continuation_is_the_beginning_of_the_whole_reply(
    chat: ChatFormat, question: str, done: str, step: str
) -> None:
    done, step = f"A{done.strip()}", f"\n{step.strip()}"  # what templates trim is not asked about
    prompt, response = chat.response_ids(begun(question, done), step)
    whole = [*chat.response_ids(Prompt.of(question), done + step)]
    joined = (*whole[0], *whole[1])
    assert joined[: len(prompt) + len(response)] == (*prompt, *response)
    assert EOS not in response and prompt == chat.prompt_ids(begun(question, done))


def test_pairs_of_steps_share_the_steps_before_them() -> None:
    record = Comparison(prompt=begun("Hi", "Yes."), chosen="\nHow?", rejected="\nNo")
    (item,), _ = encode([record], template, max_length=99)
    assert spelled(item.prompt) == "<bos><user>Hi<eos><assistant>Yes."
    assert [spelled(r) for r in item.responses] == ["\nHow?", "\nNo"]


@every_format
def test_a_continuation_must_add_something(chat: ChatFormat) -> None:
    with pytest.raises(DataError, match="adds nothing"):
        chat.response_ids(begun("Hi", "Yes."), "")


def test_ratings_are_single_replies() -> None:
    (item,), _ = encode(
        [Rating(prompt=Prompt.of("Hi"), response="Yes", value=0)], template, max_length=99
    )
    assert [spelled(r) for r in item.responses] == ["Yes<eos>"] and item.ranks == (0,)
