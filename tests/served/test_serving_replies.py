"""Replies through the real client equal those of the local engine."""

import asyncio

import openai
import pytest
from serving_world import (
    NAME,
    Running,
    alone,
    asked,
    byte_tokenizer,
    joined,
    spelling,
    text_of,
    turns,
    words,
)

from fairlead.generation.sampling import Sampling
from fairlead.records import Message, Prompt

ENDS = {"eos": "stop", "stop": "stop", "length": "length"}
PROMPTS = asked(6)


def test_greedy_replies_are_the_engines(running):
    for prompt in PROMPTS[:4]:
        own = alone(running.policy, prompt, Sampling(max_new_tokens=20, temperature=0))[0]
        answer = running.chat(prompt, temperature=0, max_tokens=20)
        assert answer.choices[0].message.content == text_of(running.policy, own)
        assert answer.choices[0].finish_reason == ENDS[own.finish]
        assert answer.usage.prompt_tokens == len(own.prompt)
        assert answer.usage.completion_tokens == len(own.tokens)
        assert answer.usage.total_tokens == len(own.prompt) + len(own.tokens)
        assert answer.model == NAME


@pytest.mark.parametrize("packs", [True, False])
def test_seeded_samples_are_the_engines(packs):
    policy = words(packs=packs)
    how = Sampling(max_new_tokens=24, temperature=0.9, top_p=0.8, top_k=40)
    with Running(policy) as server:
        for prompt in PROMPTS[:3]:
            own = alone(policy, prompt, how, seed=7, n=3)
            answer = server.chat(
                prompt,
                temperature=0.9,
                top_p=0.8,
                extra_body={"top_k": 40},
                max_completion_tokens=24,
                seed=7,
                n=3,
            )
            assert [c.message.content for c in answer.choices] == [text_of(policy, r) for r in own]
            assert [c.finish_reason for c in answer.choices] == [ENDS[r.finish] for r in own]
            assert answer.usage.completion_tokens == sum(len(r.tokens) for r in own)


def test_streams_join_to_the_whole_replies(running):
    settings = {"seed": 3, "n": 2, "max_tokens": 30, "temperature": 1.0}
    whole = running.chat(PROMPTS[0], **settings)
    stream = running.chat(
        PROMPTS[0], **settings, stream=True, stream_options={"include_usage": True}
    )
    texts, ends, chunks = joined(stream)
    assert texts == {c.index: c.message.content for c in whole.choices}
    assert ends == {c.index: c.finish_reason for c in whole.choices}
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices == [] and chunks[-1].usage == whole.usage
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert len({chunk.id for chunk in chunks}) == 1
    # Token by token, not in one piece at the end.
    assert sum(bool(c.delta.content) for chunk in chunks for c in chunk.choices) > 20


def test_without_a_seed_every_request_draws_anew_and_servers_of_one_seed_alike():
    def drawn():
        with Running(seed=5) as server:
            return [server.chat(PROMPTS[0], max_tokens=12).choices[0].message.content for _ in "ab"]

    first, second = drawn()
    assert first != second
    assert drawn() == [first, second]


def test_requests_of_all_settings_share_a_batch_and_keep_their_replies(running):
    settings = [
        {"temperature": 0, "max_tokens": 40},
        {"temperature": 0.7, "max_tokens": 25, "seed": 1},
        {"temperature": 1.0, "top_p": 0.5, "max_tokens": 33, "seed": 2},
        {"temperature": 1.3, "top_p": 0.9, "max_tokens": 7, "seed": 3},
    ]
    wanted = [running.chat(p, **s).choices[0].message.content for p in PROMPTS for s in settings]

    async def together():
        async with running.many() as client:
            calls = [
                client.chat.completions.create(model=NAME, messages=turns(p), **s)
                for p in PROMPTS
                for s in settings
            ]
            return [answer.choices[0].message.content for answer in await asyncio.gather(*calls)]

    assert asyncio.run(together()) == wanted


def test_log_probabilities_are_the_models(running):
    how = Sampling(max_new_tokens=10, temperature=1.0)
    own = alone(running.policy, PROMPTS[1], how, seed=4)[0]
    given = {"logprobs": True, "top_logprobs": 3, "max_tokens": 10, "seed": 4, "temperature": 1.0}
    answer = running.chat(PROMPTS[1], **given)
    told = answer.choices[0].logprobs.content
    said = [t for t in own.tokens if t != running.policy.tokenizer.eos_token_id]
    assert [one.token for one in told] == [running.policy.tokenizer.decode([t]) for t in said]
    assert [one.logprob for one in told] == pytest.approx(list(own.logps)[: len(said)], abs=1e-5)
    for one in told:
        best = [other.logprob for other in one.top_logprobs]
        assert len(best) == 3 and best == sorted(best, reverse=True) and one.logprob <= best[0]
        assert bytes(one.bytes).decode() == one.token
    streamed = running.chat(PROMPTS[1], **given, stream=True)
    parts = [c.logprobs.content for chunk in streamed for c in chunk.choices if c.logprobs]
    assert [one for part in parts for one in part] == told


def test_the_greedy_token_is_the_likeliest(running):
    answer = running.chat(PROMPTS[2], logprobs=True, top_logprobs=1, temperature=0, max_tokens=8)
    for one in answer.choices[0].logprobs.content:
        assert one.top_logprobs[0].token == one.token
        assert one.top_logprobs[0].logprob == one.logprob


@pytest.mark.parametrize("several", [True, False])
def test_a_stop_text_ends_the_reply_and_is_not_shown(running, several):
    greedy = {"temperature": 0, "max_tokens": 20}
    whole = running.chat(PROMPTS[3], **greedy).choices[0].message.content
    stop = " ".join(whole.split()[5:7])
    stops = ["never said", stop] if several else stop
    answer = running.chat(PROMPTS[3], **greedy, stop=stops)
    wanted = whole[: whole.index(stop)].strip()
    assert answer.choices[0].message.content == wanted
    assert answer.choices[0].finish_reason == "stop"
    texts, ends, _ = joined(running.chat(PROMPTS[3], **greedy, stop=stops, stream=True))
    assert texts == {0: wanted} and ends == {0: "stop"}


def test_broken_characters_are_streamed_whole_or_not_at_all():
    policy = spelling()
    prompt = Prompt.of("Grüße, 世界 \U0001f600")
    with Running(policy) as server:
        for seed in range(2):
            own = alone(policy, prompt, Sampling(max_new_tokens=120), seed=seed)[0]
            given = {"seed": seed, "max_tokens": 120, "temperature": 1.0}
            whole = server.chat(prompt, **given).choices[0].message.content
            assert whole == text_of(policy, own)
            texts, _, _ = joined(server.chat(prompt, **given, stream=True))
            assert texts == {0: whole}
            assert any(ord(c) > 0x7F for c in whole)


def test_a_turn_that_has_begun_is_continued(running):
    prompt = Prompt(
        messages=(*PROMPTS[0].messages, Message(role="assistant", content="the answer"))
    )
    own = alone(running.policy, prompt, Sampling(max_new_tokens=9, temperature=0))[0]
    answer = running.chat(prompt, temperature=0, max_tokens=9)
    assert answer.choices[0].message.content.strip() == text_of(running.policy, own)


def test_parts_of_text_and_developers_are_understood(running):
    parts = [{"type": "text", "text": PROMPTS[0].first_user_turn[:5]}]
    parts += [{"type": "text", "text": PROMPTS[0].first_user_turn[5:]}]
    with running.client() as client:
        split = client.chat.completions.create(
            model=NAME,
            messages=[
                {"role": "developer", "content": "be brief"},
                {"role": "user", "content": parts},
            ],
            temperature=0,
            max_tokens=10,
        )
    system = Message(role="system", content="be brief")
    prompt = Prompt(messages=(system, *PROMPTS[0].messages))
    own = alone(running.policy, prompt, Sampling(max_new_tokens=10, temperature=0))[0]
    assert split.choices[0].message.content == text_of(running.policy, own)
    assert split.usage.prompt_tokens == len(own.prompt)


def test_text_is_continued_as_it_is():
    policy = spelling()
    with Running(policy) as server, server.client() as client:
        given = {"model": NAME, "prompt": "abc ", "temperature": 0, "max_tokens": 12}
        answer = client.completions.create(**given, logprobs=2)
        ids = byte_tokenizer()("abc ")["input_ids"]
        assert answer.usage.prompt_tokens == len(ids) == 4
        choice = answer.choices[0]
        assert len(choice.logprobs.tokens) == 12
        assert all(logp <= 0 for logp in choice.logprobs.token_logprobs)
        texts, ends, _ = joined(client.completions.create(**given, stream=True))
        assert texts == {0: choice.text} and ends == {0: "length"}


def test_the_model_is_listed(running):
    with running.client() as client:
        assert [model.id for model in client.models.list()] == [NAME]
        assert client.models.retrieve(NAME).id == NAME
        with pytest.raises(openai.NotFoundError, match="there is no model other"):
            client.models.retrieve("other")
