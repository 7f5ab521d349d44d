import json

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from fairlead.data.chat import ChatFormat, Item
from fairlead.models.reward_model import RewardModel
from fairlead.objectives.base import Need
from fairlead.records import Prompt
from fairlead.rewards.base import FunctionReward, Reply
from fairlead.rewards.model import ModelReward, same_vocabulary, score_items
from small_world import LENGTH, comparisons, items_of, tiny_reward_model, tokenizer, world


def made(text_of: int = 12) -> list[Reply]:
    """Replies of all lengths as a sampler hands them over, ended by EOS."""
    chat = ChatFormat(tokenizer())
    replies: list[Reply] = []
    for record in comparisons(text_of):
        for text in (record.chosen, record.rejected):
            prompt, response = chat.response_ids(record.prompt, text)
            replies.append(Reply(record.prompt, prompt, response, chat.text(response)))
    return replies


def cut(reply: Reply) -> Reply:
    """The same reply where the sampler had no room for its EOS."""
    return Reply(reply.prompt, reply.prompt_ids, reply.response_ids[:-1], reply.text)


def renumbered() -> PreTrainedTokenizerBase:
    """The same words under other numbers, as another model family would have them."""
    backend = json.loads(tokenizer().backend_tokenizer.to_str())  # pyright: ignore
    words = list(backend["model"]["vocab"])
    backend["model"]["vocab"] = {w: len(words) - 1 - i for i, w in enumerate(words)}
    backend["added_tokens"] = []
    from tokenizers import Tokenizer

    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(backend)),
        **{f"{n}_token": f"<{n}>" for n in ("pad", "bos", "eos", "unk")},
        additional_special_tokens=["<system>", "<user>", "<assistant>"],
        chat_template=tokenizer().chat_template,
    )


def by_hand(model: RewardModel, reply: Reply) -> float:
    """Score at the last token of one unpadded sequence by the transformers model's own forward."""
    ids = torch.tensor([[*reply.prompt_ids, *reply.response_ids]])
    twin = tiny_reward_model().model
    twin.set_attn_implementation("eager")
    with torch.no_grad():
        hidden = twin(input_ids=ids).last_hidden_state[0, -1]
        return (model.head(hidden)[0] - model.offset).item()


def test_scores_are_those_of_the_last_token() -> None:
    model = tiny_reward_model()
    model.offset.fill_(0.25)
    replies = made(6)
    got = ModelReward(model, tokenizer()).score(replies).values
    assert got.tolist() == pytest.approx([by_hand(model, reply) for reply in replies], abs=1e-5)


@pytest.mark.parametrize("tokens", [1, 100, 10_000])
def test_order_is_kept_whatever_the_packs(tokens: int) -> None:
    model, replies = tiny_reward_model(), made()
    whole = ModelReward(model, tokenizer(), microbatch_tokens=tokens).score(replies).values
    singly = torch.cat([ModelReward(model, tokenizer()).score([reply]).values for reply in replies])
    torch.testing.assert_close(whole, singly, rtol=1e-5, atol=1e-5)
    turned = ModelReward(model, tokenizer(), microbatch_tokens=tokens).score(replies[::-1]).values
    torch.testing.assert_close(turned.flip(0), whole, rtol=1e-5, atol=1e-5)
    assert len(set(whole.tolist())) > 10 and whole.dtype == torch.float32


def test_a_cut_reply_is_scored_with_its_end() -> None:
    source = ModelReward(tiny_reward_model(), tokenizer())
    replies = made()
    assert torch.equal(source.score([cut(r) for r in replies]).values, source.score(replies).values)


def test_an_empty_reply_is_its_end_alone() -> None:
    model, reply = tiny_reward_model(), made()[0]
    eos = ChatFormat(tokenizer()).eos
    empty = Reply(reply.prompt, reply.prompt_ids, (), "")
    only_end = Reply(reply.prompt, reply.prompt_ids, (eos,), "")
    got = ModelReward(model, tokenizer()).score([empty]).values
    assert got.item() == pytest.approx(by_hand(model, only_end), abs=1e-5)


def test_another_numbering_of_the_same_words_is_tokenised_anew() -> None:
    model, replies = tiny_reward_model(), made()
    other = renumbered()
    chat = ChatFormat(other)
    assert not same_vocabulary(other, tokenizer())
    theirs: list[Reply] = []
    for reply in replies:
        prompt, response = chat.response_ids(reply.prompt, reply.text)
        assert response != reply.response_ids
        theirs.append(Reply(reply.prompt, prompt, response, reply.text))
    own = ModelReward(model, tokenizer()).score(replies).values
    anew = ModelReward(model, other).score(theirs).values
    torch.testing.assert_close(anew, own, rtol=1e-5, atol=1e-5)


def test_equal_vocabularies_are_recognised() -> None:
    assert same_vocabulary(tokenizer(), tokenizer())
    assert same_vocabulary(world().tokenizer(), tokenizer())
    other = world().tokenizer()
    other.chat_template = "{{ bos_token }}"
    assert not same_vocabulary(other, tokenizer())


def test_a_long_prompt_loses_its_beginning_not_the_reply() -> None:
    model, reply = tiny_reward_model(), made()[0]
    long = Reply(reply.prompt, reply.prompt_ids * 20, reply.response_ids, reply.text)
    room = LENGTH - len(reply.response_ids)
    short = Reply(reply.prompt, long.prompt_ids[-room:], reply.response_ids, reply.text)
    source = ModelReward(model, tokenizer())
    assert torch.equal(source.score([long]).values, source.score([short]).values)


def test_items_keep_their_replies_together_and_the_mode_is_left_alone() -> None:
    model = tiny_reward_model().train()
    items = items_of(comparisons(9))
    scores = score_items(model, items, tokens=80)
    assert model.training and [len(s) for s in scores] == [2] * 9
    for item, own in zip(items, scores, strict=True):
        alone = [score_items(model, [Item(item.prompt, (r,))], tokens=80) for r in item.responses]
        expected = torch.cat([part[0] for part in alone])
        torch.testing.assert_close(own, expected, rtol=1e-5, atol=1e-5)
    assert not any(s.requires_grad for s in scores)


def test_scoring_is_what_training_sees() -> None:
    """The score of a packed, prompt-sharing batch is that of the reward source."""
    from fairlead.data.batches import preference_batch

    model, records = tiny_reward_model(), comparisons(5)
    batch = preference_batch(items_of(records))
    with torch.no_grad():
        trained: Tensor = model(batch.packed, frozenset({Need.REWARDS})).rewards
    scored = ModelReward(model, tokenizer()).score(made(5)).values
    torch.testing.assert_close(trained, scored, rtol=1e-5, atol=1e-5)


def test_a_function_gets_prompt_and_text() -> None:
    replies = made(3)
    reward = FunctionReward(lambda prompt, text: len(text) - len(prompt.first_user_turn), "longer")
    got = reward.score(replies).values
    assert got.tolist() == [len(r.text) - len(r.prompt.first_user_turn) for r in replies]
    assert got.dtype == torch.float32 and reward.name == "longer"


def test_gold_is_a_function() -> None:
    def gold(prompt: Prompt, text: str) -> float:
        return world().gold(prompt, text)

    records = comparisons(10)
    scores = FunctionReward(gold).score(made(10)).values.reshape(10, 2)
    assert bool((scores[:, 0] >= scores[:, 1]).all())  # chosen replies are the ideal speaker's
    assert scores[0, 0].item() == world().gold(records[0].prompt, records[0].chosen)
