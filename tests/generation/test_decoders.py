from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny_policies import (
    PROMPTS,
    SYMBOLS,
    bloom,
    gemma2,
    gpt2,
    huggingface_greedy,
    letters,
    llama,
    mamba2,
    mistral,
    padded,
    qwen3,
)

from fairlead.core.errors import ConfigError
from fairlead.core.seeds import Seed
from fairlead.generation.cache import GroupedWave
from fairlead.generation.decoders import PackedDecoder, PaddedDecoder
from fairlead.generation.local import LocalEngine
from fairlead.generation.sampling import Sampling
from fairlead.models.policy import Policy

OWNERS = (0, 0, 1, 2, 2, 3)


@torch.no_grad()
@pytest.mark.parametrize("make", [llama, gpt2])
def test_packed_and_padded_decoding_give_the_same_logits(make: Callable[[], Any]) -> None:
    packs, pads = Policy(make(), letters()).eval(), padded(make()).eval()
    assert packs.trunk.packs
    fast, slow = PackedDecoder(packs), PaddedDecoder(pads)
    random = torch.Generator().manual_seed(1)
    left = fast.join(PROMPTS, OWNERS, 12)
    right = slow.join(PROMPTS, OWNERS, 12)
    for step in range(12):
        assert left.shape == (len(left), len(SYMBOLS))
        torch.testing.assert_close(left, right, rtol=0, atol=1e-5)
        if step in (3, 7):
            stay = torch.tensor([0, 2, 3] if step == 3 else [2])
            fast.keep(stay)
            slow.keep(stay)
            left = left[stay]
        tokens = torch.randint(len(SYMBOLS), (len(left),), generator=random)
        left, right = fast.step(tokens), slow.step(tokens)


@torch.no_grad()
@pytest.mark.parametrize("make", [llama, gpt2, qwen3])
def test_waves_give_the_logits_of_whole_sequences(make: Callable[[], Any]) -> None:
    """Rows that join and leave at different times, against one full forward per row."""
    decoder, twin = PackedDecoder(Policy(make(), letters()).eval()), make().eval()
    random = torch.Generator().manual_seed(2)
    said: list[list[int]] = []
    logits = torch.zeros(0, len(SYMBOLS))

    def join(*owners: int) -> None:
        nonlocal logits
        places = sorted(set(owners))
        first = decoder.join(
            [PROMPTS[place] for place in places], [places.index(o) for o in owners], 20
        )
        logits = torch.cat([logits, first])
        said.extend(list(PROMPTS[owner]) for owner in owners)

    def keep(*rows: int) -> None:
        nonlocal logits, said
        decoder.keep(torch.tensor(rows))
        logits, said = logits[list(rows)], [said[row] for row in rows]

    changes: dict[int, Callable[[], None]] = {
        0: lambda: join(0, 0, 1, 3),
        3: lambda: join(2, 2, 1),
        5: lambda: keep(0, 2, 4, 6),
        6: lambda: join(3),
        9: lambda: keep(0, 1, 4),  # nobody of the second wave
        12: lambda: keep(2),
    }
    for step in range(16):
        changes.get(step, lambda: None)()
        whole = torch.stack([twin(torch.tensor([ids])).logits[0, -1] for ids in said])
        torch.testing.assert_close(logits, whole, rtol=0, atol=1e-5)
        tokens = torch.randint(len(SYMBOLS), (len(said),), generator=random)
        for ids, token in zip(said, tokens.tolist(), strict=True):
            ids.append(token)
        logits = decoder.step(tokens)


@torch.no_grad()
def test_equal_lengths_need_no_mask_and_no_row_moves() -> None:
    fast = PackedDecoder(Policy(llama(), letters()).eval())
    fast.join([(1, 2, 3), (1, 4, 5)], (0, 1), 4)
    assert fast.cache is not None
    (first,) = fast.cache.waves
    assert first.valid is None
    assert first.keys[0].shape == (2, 2, 7, 8)
    memory = [keys.data_ptr() for keys in first.keys]
    fast.step(torch.tensor([6, 7]))
    fast.join([(1, 4), (1, 4, 5)], (0, 1), 4)
    fast.step(torch.tensor([6, 7, 8, 9]))
    assert [wave.valid is None for wave in fast.cache.waves] == [True, False]
    assert [wave.used for wave in fast.cache.waves] == [5, 4]
    assert [keys.data_ptr() for keys in first.keys] == memory
    fast.keep(torch.tensor([1, 2, 3]))
    assert first.keys[0].shape == (1, 2, 7, 8)
    fast.keep(torch.tensor([1]))
    assert [wave.rows for wave in fast.cache.waves] == [1]


@pytest.mark.filterwarnings("ignore:.*runs padded")
@pytest.mark.parametrize("make", [bloom, gemma2, mamba2])
def test_models_that_cannot_pack_sample_all_the_same(make: Callable[[], Any]) -> None:
    policy = Policy(make(), letters())
    assert not policy.trunk.packs
    engine = LocalEngine(policy)
    rollouts = engine.sample(PROMPTS, Sampling(max_new_tokens=16, temperature=0), n=1, seed=Seed(0))
    for rollout in rollouts:
        assert rollout.tokens == huggingface_greedy(policy, rollout.prompt, 16)


def test_a_window_bounds_packed_sequences() -> None:
    policy = Policy(mistral(sliding_window=24), letters())
    assert policy.trunk.packs
    engine = LocalEngine(policy)
    greedy = Sampling(max_new_tokens=20, temperature=0)
    (rollout,) = engine.sample(PROMPTS[:1], greedy, n=1, seed=Seed(0))
    assert rollout.tokens == huggingface_greedy(policy, PROMPTS[0], 20)
    with pytest.raises(ConfigError, match="at most 24 tokens"):
        engine.sample(PROMPTS, greedy, n=1, seed=Seed(0))


@torch.no_grad()
def test_rows_of_a_prompt_share_its_keys_until_nobody_continues_it() -> None:
    decoder = PackedDecoder(Policy(llama(), letters()).eval())
    decoder.join(PROMPTS[:3], (0, 2, 0, 1, 2, 2), 20)
    assert decoder.cache is not None
    (grouped,) = decoder.cache.waves
    assert isinstance(grouped, GroupedWave)
    longest = max(map(len, PROMPTS[:3]))
    assert grouped.prompts.keys[0].shape == (3, 2, longest, 8)
    assert grouped.keys[0].shape == (6, 2, 20, 8)
    assert (grouped.seats, grouped.seat.tolist()) == (3, [0, 6, 1, 3, 7, 8])
    decoder.step(torch.tensor([4, 5, 6, 7, 8, 9]))
    decoder.keep(torch.tensor([0, 2, 4]))
    assert grouped.prompts.keys[0].shape == (2, 2, longest, 8)
    assert (grouped.owners.tolist(), grouped.seat.tolist()) == ([0, 0, 1], [0, 1, 2])
    assert (grouped.rows, grouped.used, grouped.room) == (3, longest + 1, 19)
