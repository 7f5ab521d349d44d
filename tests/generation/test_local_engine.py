import math
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from scipy.stats import chisquare
from tiny_policies import CONTEXT, EOS, MAKERS, PROMPTS, SYMBOLS, huggingface_greedy, letters, llama
from transformers import AutoModelForCausalLM, AutoTokenizer

from fairlead.core.errors import ConfigError, DataError, TrainingError
from fairlead.core.seeds import Seed
from fairlead.data.batches import pack
from fairlead.data.chat import Item
from fairlead.generation import rows
from fairlead.generation.decoders import PackedDecoder
from fairlead.generation.local import LocalEngine, rows_for
from fairlead.generation.sampling import Rollout, Sampling
from fairlead.models.policy import Policy
from fairlead.objectives.base import Need

STORIES = Path(__file__).parents[2] / "../shared/models/stories260K"
FREE = Sampling(max_new_tokens=40)
SEED = Seed(11)


def replies(rollouts: list[Rollout]) -> list[tuple[int, ...]]:
    return [rollout.tokens for rollout in rollouts]


def recomputed(policy: Policy, rollouts: list[Rollout], temperature: float) -> torch.Tensor:
    """The trainer's log-probabilities of the sampled tokens, prompts shared."""
    groups: dict[int, list[Rollout]] = {}
    for rollout in rollouts:
        groups.setdefault(rollout.prompt_index, []).append(rollout)
    items = [Item(own[0].prompt, tuple(r.tokens for r in own)) for own in groups.values()]
    with torch.no_grad():
        scores = policy(pack(items, temperature=temperature), frozenset({Need.LOGPS}))
    return scores.logps


def assert_logps_agree(policy: Policy, rollouts: list[Rollout], temperature: float) -> None:
    sampled = torch.tensor([logp for rollout in rollouts for logp in rollout.logps])
    torch.testing.assert_close(
        sampled, recomputed(policy, rollouts, temperature), rtol=0, atol=1e-4
    )


def test_greedy_is_what_transformers_generates(policy: Policy) -> None:
    rollouts = LocalEngine(policy).sample(
        PROMPTS, Sampling(max_new_tokens=24, temperature=0), n=2, seed=SEED
    )
    assert [(r.prompt_index, r.sample) for r in rollouts] == [
        (i, k) for i in range(4) for k in (0, 1)
    ]
    for rollout in rollouts:
        assert rollout.prompt == PROMPTS[rollout.prompt_index]
        assert rollout.tokens == huggingface_greedy(policy, rollout.prompt, 24)
    assert_logps_agree(policy, rollouts, 1.0)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probabilities_are_the_trainers(policy: Policy, temperature: float) -> None:
    sampling = Sampling(max_new_tokens=30, temperature=temperature)
    rollouts = LocalEngine(policy).sample(PROMPTS, sampling, n=3, seed=SEED)
    assert len({len(r.tokens) for r in rollouts}) > 1
    assert_logps_agree(policy, rollouts, temperature)


def test_first_tokens_follow_the_softmax(packing: Policy) -> None:
    sampling = Sampling(max_new_tokens=1, temperature=1.3)
    rollouts = LocalEngine(packing, max_rows=4000).sample(PROMPTS[:1], sampling, n=4000, seed=SEED)
    twin = llama().eval()
    with torch.no_grad():
        logits = twin(torch.tensor([PROMPTS[0]])).logits[0, -1].double()
    expected = (logits / 1.3).softmax(-1).numpy() * len(rollouts)
    counts = np.bincount([r.tokens[0] for r in rollouts], minlength=len(SYMBOLS))
    assert expected.min() > 1
    assert chisquare(counts, expected).pvalue > 0.01


def test_truncated_samples_stay_in_the_nucleus(packing: Policy) -> None:
    sampling = Sampling(max_new_tokens=12, top_k=3, top_p=0.9)
    rollouts = LocalEngine(packing).sample(PROMPTS, sampling, n=4, seed=SEED)
    full = recomputed(packing, rollouts, 1.0)
    sampled = torch.tensor([logp for rollout in rollouts for logp in rollout.logps])
    # Renormalising over fewer tokens can only raise a token's share.
    assert bool((sampled >= full - 1e-5).all())
    assert float(sampled.exp().mean()) > float(full.exp().mean()) + 0.05
    top_one = LocalEngine(packing).sample(
        PROMPTS, Sampling(max_new_tokens=12, top_k=1), n=1, seed=SEED
    )
    greedy = LocalEngine(packing).sample(
        PROMPTS, Sampling(max_new_tokens=12, temperature=0), n=1, seed=SEED
    )
    assert replies(top_one) == replies(greedy)
    assert all(logp == 0 for rollout in top_one for logp in rollout.logps)


def test_a_sample_does_not_depend_on_its_companions(policy: Policy) -> None:
    together = LocalEngine(policy).sample(PROMPTS, FREE, n=3, seed=SEED)
    for max_rows in (1, 2, 5):
        apart = LocalEngine(policy, max_rows=max_rows).sample(PROMPTS, FREE, n=3, seed=SEED)
        assert replies(apart) == replies(together)
        torch.testing.assert_close(
            torch.tensor([x for r in apart for x in r.logps]),
            torch.tensor([x for r in together for x in r.logps]),
            rtol=0,
            atol=1e-5,
        )
    fewer = LocalEngine(policy).sample(PROMPTS[:2], FREE, n=2, seed=SEED)
    assert replies(fewer) == [r.tokens for r in together if r.prompt_index < 2 and r.sample < 2]


def test_both_paths_draw_the_same_samples() -> None:
    packed = LocalEngine(MAKERS["llama"]()).sample(PROMPTS, FREE, n=4, seed=SEED)
    padded = LocalEngine(MAKERS["padded llama"]()).sample(PROMPTS, FREE, n=4, seed=SEED)
    assert replies(packed) == replies(padded)


def test_rows_enter_as_others_leave(packing: Policy) -> None:
    """Replies do not depend on how many rows there are for them, nor does their order."""
    sampling = Sampling(max_new_tokens=60, stop=("e",))
    results = [
        LocalEngine(packing, max_rows=rows).sample(PROMPTS, sampling, n=24, seed=SEED)
        for rows in (96, 64, 8, 3)
    ]
    assert len({len(r.tokens) for r in results[0]}) > 10
    assert {r.finish for r in results[0]} == {"eos", "stop", "length"}
    for rollouts in results:
        assert [(r.prompt_index, r.sample) for r in rollouts] == [
            (i, k) for i in range(4) for k in range(24)
        ]
        assert [(r.tokens, r.finish) for r in rollouts] == [
            (r.tokens, r.finish) for r in results[0]
        ]
    assert_logps_agree(packing, results[-1], 1.0)


def test_memory_is_bounded_and_places_are_refilled(
    packing: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most `max_rows` rows at any step, and fewer steps than chunk after chunk would take."""
    counts: list[int] = []
    step = PackedDecoder.step

    def counted(decoder: PackedDecoder, tokens: torch.Tensor) -> torch.Tensor:
        counts.append(len(tokens))
        return step(decoder, tokens)

    monkeypatch.setattr(PackedDecoder, "step", counted)
    rollouts = LocalEngine(packing, max_rows=8).sample(PROMPTS, FREE, n=24, seed=SEED)
    assert max(counts) == 8
    in_order = sorted(rollouts, key=lambda r: len(r.prompt))
    chunks = [in_order[start : start + 8] for start in range(0, 96, 8)]
    assert len(counts) < 0.9 * sum(max(len(r.tokens) for r in chunk) for chunk in chunks)


def test_a_shorter_limit_cuts_the_same_reply(packing: Policy) -> None:
    long = LocalEngine(packing).sample(PROMPTS, FREE, n=2, seed=SEED)
    short = LocalEngine(packing).sample(PROMPTS, Sampling(max_new_tokens=7), n=2, seed=SEED)
    assert replies(short) == [tokens[:7] for tokens in replies(long)]


def test_seeds_decide(packing: Policy) -> None:
    engine = LocalEngine(packing)
    first = engine.sample(PROMPTS, FREE, n=2, seed=SEED)
    assert first == engine.sample(PROMPTS, FREE, n=2, seed=SEED)
    assert replies(first) != replies(engine.sample(PROMPTS, FREE, n=2, seed=Seed(12)))
    # Equal prompts at different places are different samples.
    twins = replies(engine.sample([PROMPTS[0], PROMPTS[0]], FREE, n=8, seed=SEED))
    assert twins[:8] != twins[8:]


@pytest.mark.parametrize("leaving", [0.0, 0.6, 2.0])
def test_leaving_rows_change_nothing(
    policy: Policy, leaving: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = LocalEngine(policy).sample(PROMPTS, FREE, n=4, seed=SEED)
    assert len({len(r.tokens) for r in expected}) > 3
    monkeypatch.setattr(rows, "LEAVING", leaving)
    assert replies(LocalEngine(policy).sample(PROMPTS, FREE, n=4, seed=SEED)) == replies(expected)


def test_replies_end_at_eos_or_at_the_limit(policy: Policy) -> None:
    rollouts = LocalEngine(policy).sample(PROMPTS, FREE, n=8, seed=SEED)
    assert {r.finish for r in rollouts} == {"eos", "length"}
    for rollout in rollouts:
        assert len(rollout.logps) == len(rollout.tokens)
        assert EOS not in rollout.tokens[:-1]
        assert (rollout.tokens[-1] == EOS) == (rollout.finish == "eos")
        assert rollout.finish == "eos" or len(rollout.tokens) == 40


def test_every_eos_of_the_generation_config_ends_a_reply(packing: Policy) -> None:
    packing.model.generation_config.eos_token_id = [EOS, 5]
    free = LocalEngine(MAKERS["llama"]()).sample(PROMPTS, FREE, n=4, seed=SEED)
    ended = LocalEngine(packing).sample(PROMPTS, FREE, n=4, seed=SEED)
    expected = [t[: t.index(5) + 1] if 5 in t else t for t in replies(free)]
    assert replies(ended) == expected != replies(free)
    assert {r.tokens[-1] for r in ended if r.finish == "eos"} == {EOS, 5}


def text_of(tokens: tuple[int, ...]) -> str:
    return "".join(SYMBOLS[token] for token in tokens if token != EOS)


def test_stop_texts_end_a_reply_with_the_token_that_completes_them(policy: Policy) -> None:
    free = LocalEngine(policy).sample(PROMPTS, FREE, n=4, seed=SEED)
    longest, second = sorted(map(text_of, replies(free)), key=len)[-2:]
    stop = (longest[5:8], second[20:22], "never said")
    sampling = FREE.model_copy(update={"stop": stop})
    stopped = LocalEngine(policy).sample(PROMPTS, sampling, n=4, seed=SEED)
    for whole, rollout in zip(free, stopped, strict=True):
        text = text_of(whole.tokens)
        ends = [text.index(s) + len(s) for s in stop if s in text]
        assert rollout.tokens == whole.tokens[: min(ends, default=None)]
        assert rollout.finish == ("stop" if ends else whole.finish)
    assert {r.finish for r in stopped} >= {"stop", "eos"}


@pytest.mark.parametrize(
    ("prompt", "new", "error", "text"),
    [
        ((1,) * (CONTEXT - 1), 1, None, ""),
        ((1,) * CONTEXT, 1, DataError, "at most 95 tokens"),
        ((1,) * (CONTEXT - 1), 2, ConfigError, "max_new_tokens to at most 1"),
        ((), 1, DataError, "BOS"),
    ],
)
def test_the_context_bounds_prompt_and_reply(
    policy: Policy, prompt: tuple[int, ...], new: int, error: type[Exception] | None, text: str
) -> None:
    engine, sampling = LocalEngine(policy), Sampling(max_new_tokens=new)
    if error is None:
        (rollout,) = engine.sample([prompt], sampling, n=1, seed=SEED)
        assert len(rollout.tokens) == 1
    else:
        with pytest.raises(error, match=f"prompt 1(.|\n)*{text}"):
            engine.sample([(1, 2), prompt], sampling, n=1, seed=SEED)


def test_counts_below_one_are_refused(packing: Policy) -> None:
    with pytest.raises(ConfigError, match="n >= 1"):
        LocalEngine(packing).sample(PROMPTS, FREE, n=0, seed=SEED)
    with pytest.raises(ConfigError, match="max_rows >= 1"):
        LocalEngine(packing, max_rows=0)
    assert LocalEngine(packing).sample([], FREE, n=1, seed=SEED) == []


@pytest.mark.parametrize(
    ("changes", "slots", "rows"),
    [
        ({}, 60, 256),  # never more
        ({"hidden_size": 1024, "num_hidden_layers": 32}, 1024, 64),  # never fewer
        # 2 * 8 layers * 2 heads of 128 numbers of 4 bytes are 16 KiB a token.
        ({"num_hidden_layers": 8, "num_key_value_heads": 2, "head_dim": 128}, 128, 128),
    ],
)
def test_rows_decoded_together_follow_from_their_memory(
    packing: Policy, changes: dict[str, int], slots: int, rows: int
) -> None:
    for name, value in changes.items():
        setattr(packing.model.config, name, value)
    assert rows_for(packing, slots) == rows


def test_broken_weights_are_reported(packing: Policy) -> None:
    packing.model.model.norm.weight.data.fill_(math.nan)
    with pytest.raises(TrainingError, match=r"not finite(.|\n)*prompt 1, token 0"):
        LocalEngine(packing).sample(PROMPTS, FREE, n=1, seed=SEED)


def test_weights_that_break_for_one_token_are_reported(packing: Policy) -> None:
    (free,) = replies(LocalEngine(packing).sample([(1, 7)], FREE, n=1, seed=Seed(2)))
    new = next(i for i, t in enumerate(free[:-1]) if i and t not in (1, 7, *free[:i]))
    with torch.no_grad():
        packing.model.model.embed_tokens.weight[free[new]] = math.nan
    with pytest.raises(TrainingError, match=f"prompt 0, token {new + 1} of the reply"):
        LocalEngine(packing).sample([(1, 7)], FREE, n=1, seed=Seed(2))


def test_modes_and_gradients_are_left_as_they_were(packing: Policy) -> None:
    packing.train()
    packing.model.model.layers[0].eval()
    before = [module.training for module in packing.modules()]
    LocalEngine(packing).sample(PROMPTS, FREE, n=1, seed=SEED)
    assert [module.training for module in packing.modules()] == before
    assert all(p.grad is None and p.requires_grad for p in packing.parameters())


def test_present_weights_are_used(packing: Policy) -> None:
    engine = LocalEngine(packing)
    greedy = Sampling(max_new_tokens=8, temperature=0)
    before = engine.sample(PROMPTS, greedy, n=1, seed=SEED)
    with torch.no_grad():
        for parameter in packing.parameters():
            parameter.mul_(-1.1)
    after = engine.sample(PROMPTS, greedy, n=1, seed=SEED)
    assert replies(after) != replies(before)
    assert all(r.tokens == huggingface_greedy(packing, r.prompt, 8) for r in after)


def test_adapters_take_part() -> None:
    torch.manual_seed(4)
    lora = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    policy = Policy(get_peft_model(llama(), lora), letters())
    assert policy.trunk.packs
    engine = LocalEngine(policy)
    rollouts = engine.sample(PROMPTS, FREE, n=2, seed=SEED)
    assert_logps_agree(policy, rollouts, 1.0)
    plain = LocalEngine(MAKERS["llama"]()).sample(PROMPTS, FREE, n=2, seed=SEED)
    assert replies(rollouts) != replies(plain)
    with policy.as_reference():
        assert replies(engine.sample(PROMPTS, FREE, n=2, seed=SEED)) == replies(plain)


@pytest.mark.skipif(not STORIES.exists(), reason=f"no pretrained model at {STORIES}")
def test_a_real_model_tells_its_known_story() -> None:
    tokenizer = AutoTokenizer.from_pretrained(STORIES)
    policy = Policy(AutoModelForCausalLM.from_pretrained(STORIES), tokenizer)
    prompt = tuple(tokenizer("Once upon a time, there was a little dog named")["input_ids"])
    assert prompt[0] == tokenizer.bos_token_id
    sampling = Sampling(max_new_tokens=80, temperature=0, stop=("ground.",))
    (rollout,) = LocalEngine(policy).sample([prompt], sampling, n=1, seed=SEED)
    assert rollout.finish == "stop"
    assert tokenizer.decode(rollout.tokens) == (
        "Max. Max loved to play with his toys and run around. "
        "One day, Max saw a big box in the ground."
    )
