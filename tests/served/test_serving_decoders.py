"""Replies that a reward chooses, through the server."""

import openai
import pytest
from serving_world import NAME, Running, asked, joined, words

from fairlead.core.errors import ConfigError
from fairlead.core.seeds import Seed
from fairlead.decoding.args import ARGS
from fairlead.decoding.best_of_n import BestOfN
from fairlead.decoding.sampling import PlainSampling
from fairlead.generation.sampling import Sampling
from fairlead.rewards.model import ModelReward
from fairlead.serving.choosing import prepared
from fairlead.serving.settings import ServeSettings
from small_world import tiny_policy, tiny_reward_model

PROMPTS = asked(3)
BEST = BestOfN(n=4, sampling=Sampling(max_new_tokens=16, temperature=0.9))


@pytest.fixture(scope="module")
def served():
    policy = tiny_policy().eval()
    reward = ModelReward(tiny_reward_model().eval(), policy.tokenizer)
    with Running(policy, decoder=BEST, reward=reward) as server:
        yield server, reward


def test_replies_are_the_decoders_with_score_and_price(served):
    server, reward = served
    decoder = BEST.build(server.policy, reward)
    for seed, prompt in enumerate(PROMPTS):
        own = decoder.decode([prompt], seed=Seed(seed))[0]
        answer = server.chat(prompt, seed=seed)
        choice = answer.choices[0]
        assert choice.message.content == own.reply.text
        assert choice.score == pytest.approx(own.score, abs=1e-6)
        assert answer.usage.policy_tokens == own.spent.policy_tokens
        assert answer.usage.reward_tokens == own.spent.reward_tokens
        assert answer.usage.reward_calls == own.spent.reward_calls == 4
        assert answer.usage.completion_tokens == len(own.reply.response_ids)


def test_a_request_may_change_how_samples_are_drawn(served):
    server, reward = served
    how = Sampling(max_new_tokens=5, temperature=0.2)
    decoder = BEST.model_copy(update={"sampling": how}).build(server.policy, reward)
    own = decoder.decode([PROMPTS[0]] * 2, seed=Seed(1))
    answer = server.chat(PROMPTS[0], seed=1, n=2, max_tokens=5, temperature=0.2)
    assert [c.message.content for c in answer.choices] == [one.reply.text for one in own]


def test_a_finished_reply_is_streamed_word_by_word(served):
    server, _ = served
    whole = server.chat(PROMPTS[0], seed=1, n=2)
    texts, ends, chunks = joined(server.chat(PROMPTS[0], seed=1, n=2, stream=True))
    assert texts == {c.index: c.message.content for c in whole.choices}
    assert ends == {c.index: c.finish_reason for c in whole.choices}
    assert len(chunks) > sum(len(text.split()) for text in texts.values())


def test_stop_texts_are_cut_off(served):
    server, _ = served
    whole = server.chat(PROMPTS[0], seed=1).choices[0].message.content
    stop = whole.split()[2]
    cut = server.chat(PROMPTS[0], seed=1, stop=stop).choices[0].message.content
    assert stop not in cut


def test_what_a_decoder_cannot_do_is_refused(served):
    server, _ = served
    with pytest.raises(openai.BadRequestError, match="no log-probabilities"):
        server.chat(PROMPTS[0], logprobs=True)
    with server.client() as client, pytest.raises(openai.BadRequestError, match="conversations"):
        client.completions.create(model=NAME, prompt="w0")
    with server.client() as client:
        assert client.models.retrieve(NAME).decoder == "best_of_n"


def test_settings_that_a_decoder_does_not_have_are_refused_and_others_taken():
    policy = tiny_policy().eval()
    reward = ModelReward(tiny_reward_model().eval(), policy.tokenizer)
    with Running(policy, decoder=ARGS(max_new_tokens=8, k=3), reward=reward) as server:
        with pytest.raises(openai.BadRequestError, match="decoder has no top_p"):
            server.chat(PROMPTS[0], top_p=0.5)
        short = ARGS(max_new_tokens=4, k=3).build(policy, reward)
        own = short.decode([PROMPTS[0]], seed=Seed(0))[0]
        assert server.chat(PROMPTS[0], max_tokens=4).choices[0].message.content == own.reply.text


def test_a_decoder_without_its_reward_is_refused_at_once():
    with pytest.raises(ConfigError, match="chooses by a reward, and there is none"):
        prepared(words(), ServeSettings(name=NAME), BEST)


def test_a_limit_below_the_decoders_own_is_refused():
    with pytest.raises(ConfigError, match="longer than the server's limit"):
        prepared(words(), ServeSettings(name=NAME, max_tokens=8), PlainSampling())


def test_plain_sampling_sets_what_is_drawn_with():
    how = PlainSampling(sampling=Sampling(max_new_tokens=6, temperature=0))
    with Running(words(), decoder=how) as server, Running(words()) as plain:
        wanted = plain.chat(PROMPTS[0], temperature=0, max_tokens=6)
        assert server.chat(PROMPTS[0]).choices == wanted.choices
