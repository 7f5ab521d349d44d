"""Online sources beyond plain PPO: what is drawn again, penalised, weighed, stopped, recorded."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from rollout_tools import NEW_TOKENS, column, make, replies, reported, rollouts, start
from torch import Tensor

from fairlead.core.errors import ConfigError, DataError
from fairlead.core.seeds import Seed
from fairlead.generation.mixture import MixtureEngine
from fairlead.models.policy import Policy
from fairlead.objectives.batch import PreferenceBatch
from fairlead.objectives.dpo import DPO
from fairlead.objectives.ppo import PPO
from fairlead.records import Prompt
from fairlead.rewards.base import FunctionReward, Reply, Scored
from fairlead.training.config import TrainConfig
from fairlead.training.loop import train
from fairlead.training.online_pairs import PairSource
from fairlead.training.recording import Recorder
from fairlead.training.rollouts import RolloutSource
from fairlead.training.source import Ranks
from small_world import metrics_of, tiny_policy

AS_SCORED = {"credit": {"kind": "as_scored"}, "kl": {"coefficient": 0.0}}
GROUP = {"credit": {"kind": "group"}, "kl": {"coefficient": 0.0}, "samples": 4}


def first_word_counts(prompt: Prompt, text: str) -> float:
    """1 for replies that are longer than four words, so that groups differ now and then."""
    return float(len(text.split()) > 4)


def test_prompts_that_teach_nothing_are_drawn_again(taught: dict[str, Tensor]) -> None:
    settings = {**GROUP, "dynamic_sampling": {"max_rounds": 20}, "missing_eos_penalty": 0.0}
    source = make(start(taught), reward=first_word_counts, **settings)
    step = source.step(0, Ranks())
    metrics = reported(step)
    assert metrics["rollout/filled_prompts"] == 0.0
    assert 0 < metrics["rollout/useful_prompts"] < 1
    advantages = [float(a[0]) for _, a in replies(step)]
    assert len(advantages) == 48 and all(a != 0 for a in advantages)


def test_what_is_missing_after_the_last_round_teaches_nothing(taught: dict[str, Tensor]) -> None:
    settings = {**GROUP, "dynamic_sampling": {"max_rounds": 2}}
    step = make(start(taught), reward=lambda *_: 1.0, missing_eos_penalty=0.0, **settings).step(
        0, Ranks()
    )
    assert reported(step)["rollout/filled_prompts"] == 1.0
    assert torch.count_nonzero(column(step, "advantages")) == 0
    assert len(replies(step)) == 48


def test_dynamic_sampling_needs_more_than_one_reply(taught: dict[str, Tensor]) -> None:
    with pytest.raises(ConfigError, match="a single reply cannot tell"):
        make(start(taught), dynamic_sampling={}, samples=1)


def test_overlong_replies_are_penalised_towards_the_limit(taught: dict[str, Tensor]) -> None:
    settings = {**AS_SCORED, "overlong": {"buffer": 4, "factor": 2.0}, "missing_eos_penalty": 0.0}
    step = make(start(taught), reward=lambda *_: 0.0, samples=6, **settings).step(0, Ranks())
    seen = set()
    for tokens, advantages in replies(step):
        over = max(len(tokens) - (NEW_TOKENS - 4), 0)
        assert float(advantages[0]) == pytest.approx(-2.0 * over / 4)
        seen.add(over)
    assert {0, 4} <= seen


def test_importance_weights_by_hand(taught: dict[str, Tensor]) -> None:
    """Sampled at temperature 1 by another model: weights are its ratio to the trainer, capped."""
    policy, other = start(taught), tiny_policy(seed=5)
    settings = {**AS_SCORED, "importance": {"cap": 1.5}, "missing_eos_penalty": 0.0}
    source = make(policy, engine=other, reward=lambda *_: 1.0, **settings)
    step = source.step(0, Ranks())
    for batch in rollouts(step):
        sampler = other(batch.packed, frozenset(PPO().needs & {"logps"})).logps
        expected = (batch.old_logps - sampler).exp().clamp(max=1.5)
        torch.testing.assert_close(batch.advantages, expected, rtol=1e-4, atol=1e-5)
    assert 0 < reported(step)["rollout/importance_capped"] < 1


def test_sequence_weights_are_equal_within_a_reply(taught: dict[str, Tensor]) -> None:
    settings = {**AS_SCORED, "importance": {"cap": 3.0, "level": "sequence"}}
    settings["missing_eos_penalty"] = 0.0
    source = make(start(taught), engine=tiny_policy(seed=5), reward=lambda *_: 1.0, **settings)
    found = [advantages for _, advantages in replies(source.step(0, Ranks()))]
    assert all(len(set(a.tolist())) == 1 for a in found)
    assert len({float(a[0]) for a in found}) > 3


def test_updates_stop_once_the_policy_has_moved_too_far(
    taught: dict[str, Tensor], tmp_path: Path
) -> None:
    source = make(start(taught), epochs=6, iterations=2, stop_update_kl=1e-4)
    config = TrainConfig(learning_rate=3e-3, schedule="constant", warmup=0)
    train(source.policy, PPO(), source, config, seed=Seed(0), run_dir=tmp_path)
    lines = metrics_of(tmp_path)
    skipped = [line["step"] for line in lines if "rollout/skipped_updates" in line]
    assert len(lines) == 12 and skipped
    # The first update of a batch is always made: the ratio is 1 before it.
    assert not {1, 7} & set(skipped)
    assert all("loss/total" not in line for line in lines if line["step"] in skipped)


def test_a_run_ends_at_its_kl_budget(taught: dict[str, Tensor], tmp_path: Path) -> None:
    source = make(start(taught), epochs=2, iterations=30, stop_kl=0.05)
    config = TrainConfig(learning_rate=3e-3, schedule="constant", warmup=0)
    train(source.policy, PPO(), source, config, seed=Seed(0), run_dir=tmp_path)
    lines = metrics_of(tmp_path)
    assert len(lines) < 60 and source.finished
    assert lines[-1]["policy/kl_k1"] > 0.05
    assert source.state()["finished"]


def test_a_budget_of_work_ends_the_run(taught: dict[str, Tensor], tmp_path: Path) -> None:
    source = make(start(taught), epochs=1, iterations=50)
    budget = 4000
    config = TrainConfig(max_token_passes=budget)
    train(source.policy, PPO(), source, config, seed=Seed(0), run_dir=tmp_path)
    spent = [line["train/token_passes"] for line in metrics_of(tmp_path)]
    assert spent[-1] >= budget and all(s < budget for s in spent[:-1])
    assert spent == sorted(spent)


def test_the_reference_moves_along_where_asked(taught: dict[str, Tensor], tmp_path: Path) -> None:
    source = make(start(taught), iterations=4, sync_reference=2)
    assert [source.between(i) for i in range(4)] == [True, False, True, False]
    config = TrainConfig(learning_rate=3e-3, schedule="constant", warmup=0)
    train(source.policy, PPO(), source, config, seed=Seed(0), run_dir=tmp_path)
    kl = [line["policy/kl_k3"] for line in metrics_of(tmp_path)]
    assert kl[0] == 0.0 and kl[2] == 0.0 and kl[1] > 0 and kl[3] > 0


class Costly:
    """A cost that rises with every other reply."""

    name = "cost"

    def __init__(self, value: float) -> None:
        self.value = value

    def score(self, replies: Sequence[Reply]) -> Scored:
        return Scored(torch.full((len(replies),), self.value))


def constrained(taught: dict[str, Tensor], cost: float, **settings: Any) -> RolloutSource:
    plain = start(taught)
    policy = Policy(plain.model, plain.tokenizer, value="shared", cost_values=True)
    credit = {"kind": "constrained_gae", "whiten": False, "lam": 1.0}
    limit = {"limit": 0.0, "initial": 1.0, "rate": 0.5, **settings}
    source = make(policy, credit=credit, kl={"coefficient": 0.0}, iterations=3)
    source.collector.cost = Costly(cost)
    source.collector.config = source.config.model_copy(
        update={"cost": type(source.config).model_validate({"cost": limit}).cost}
    )
    return RolloutSource(source.collector, needs=PPO().needs)


@pytest.mark.parametrize(("cost", "sign"), [(0.4, 1), (-0.4, -1)])
def test_the_multiplier_rises_where_the_cost_passes_its_limit(
    taught: dict[str, Tensor], cost: float, sign: int
) -> None:
    source = constrained(taught, cost)
    seen = [reported(source.step(i, Ranks()))["policy/multiplier"] for i in range(3)]
    expected, multiplier = [], 1.0
    for _ in range(3):
        multiplier *= torch.tensor(0.5 * cost * multiplier).exp().item()
        expected.append(multiplier)
    assert seen == pytest.approx(expected, rel=1e-6)
    assert (seen[2] - seen[0]) * sign > 0


def test_the_multiplier_is_part_of_the_state(taught: dict[str, Tensor]) -> None:
    source = constrained(taught, 0.4)
    source.step(0, Ranks())
    again = constrained(taught, 0.4)
    again.restore(source.state())
    assert again.multiplier == source.multiplier > 1.0
    assert again.state() == source.state()


def test_a_cost_and_its_limit_belong_together(taught: dict[str, Tensor]) -> None:
    with pytest.raises(ConfigError, match="belong together"):
        make(start(taught), cost={"limit": 0.0})


def pairs(taught: dict[str, Tensor], **settings: Any) -> PairSource:
    policy = start(taught, value="none")
    explores = settings.pop("explores", False)
    source = make(policy, samples=settings.pop("samples", 3), **settings)
    explorer = MixtureEngine(policy, source.collector.reference, 1.0) if explores else None
    return PairSource(source.collector, explorer=explorer)


def test_pairs_are_the_best_and_the_worst_reply(taught: dict[str, Tensor]) -> None:
    source = pairs(taught)
    step = source.step(0, Ranks())
    chat = source.collector.chat
    compared = 0
    for batch in step.microbatches:
        assert isinstance(batch, PreferenceBatch)
        texts = [
            chat.text(batch.packed.targets[batch.packed.row_sequence == i].tolist())
            for i in range(batch.packed.sequences)
        ]
        for better, worse in zip(batch.better.tolist(), batch.worse.tolist(), strict=True):
            assert len(texts[better].split()) > len(texts[worse].split())
            compared += 1
    assert compared == reported(step)["rollout/useful_prompts"] * 12


def test_pairs_at_the_start_have_a_loss_of_ln_2(taught: dict[str, Tensor]) -> None:
    source = pairs(taught)
    step = source.step(0, Ranks())
    totals = step.totals()
    losses = [
        DPO()(source.policy(b.packed, DPO().needs), b, totals).value for b in step.microbatches
    ]
    assert torch.stack(losses).sum().item() == pytest.approx(0.693147, abs=1e-4)


def test_equal_scores_make_no_pair(taught: dict[str, Tensor]) -> None:
    source = pairs(taught)
    source.collector.reward = FunctionReward(lambda *_: 1.0)
    step = source.step(0, Ranks())
    assert reported(step)["rollout/useful_prompts"] == 0.0
    assert step.totals().groups == 0.0


def test_one_side_of_each_pair_is_the_references(taught: dict[str, Tensor]) -> None:
    step = pairs(taught, samples=1, explores=True).step(0, Ranks())
    for batch in step.microbatches:
        assert isinstance(batch, PreferenceBatch) and batch.explored is not None
        counted = batch.weight > 0
        sides = torch.stack([batch.explored[batch.better], batch.explored[batch.worse]])
        assert bool((sides.sum(0)[counted] == 1).all())


def test_the_mixture_lies_between_its_ends(taught: dict[str, Tensor]) -> None:
    policy, other = start(taught, value="none"), tiny_policy(seed=5)
    source = make(policy)
    asked = [ids for _, ids in source.collector.prompts[:6]]
    sampling = source.config.sampling

    def tokens(share: float) -> list[tuple[int, ...]]:
        engine = MixtureEngine(policy, other, share)
        return [r.tokens for r in engine.sample(asked, sampling, n=1, seed=Seed(3))]

    own = [r.tokens for r in source.collector.engine.sample(asked, sampling, n=1, seed=Seed(3))]
    assert tokens(0.0) == own
    assert tokens(1.0) != own and tokens(0.5) not in (own, tokens(1.0))


def test_beating_oneself_is_even(taught: dict[str, Tensor]) -> None:
    """Against the mixture with itself, the chance to win is one half on average."""
    policy = start(taught)
    settings = {"credit": {"kind": "nash_md"}, "opponent": 0.5, "samples": 20}
    source = make(policy, **settings)
    source.collector.opponent = MixtureEngine(policy, source.collector.reference, 0.5)
    metrics = reported(source.step(0, Ranks()))
    assert metrics["reward/raw"] > 1  # words
    assert metrics["reward/score"] == pytest.approx(0.5, abs=0.15)


def test_a_replay_finds_nothing_changed(taught: dict[str, Tensor], tmp_path: Path) -> None:
    run(taught, Recorder(tmp_path), tmp_path / "first")
    recorder = Recorder(None, tmp_path)
    run(taught, recorder, tmp_path / "again")
    assert {d.largest for d in recorder.differences.values()} == {0.0}
    assert all(d.first is None and d.numbers >= 24 for d in recorder.differences.values())
    kept = [f.name for f in sorted(tmp_path.glob("*.gz"))]
    assert kept == [f"batch-{i:06}.process-0.jsonl.gz" for i in range(2)]


def test_a_replay_shows_where_settings_changed(taught: dict[str, Tensor], tmp_path: Path) -> None:
    run(taught, Recorder(tmp_path), tmp_path / "first")
    recorder = Recorder(None, tmp_path)
    run(taught, recorder, tmp_path / "again", learning_rate=1e-2)
    found = recorder.differences
    assert found["scores"].largest == 0.0  # the same replies, the same reward
    assert found["logps"].first == 1 and found["logps"].largest > 1e-4


def test_a_replay_of_other_prompts_is_refused(taught: dict[str, Tensor], tmp_path: Path) -> None:
    run(taught, Recorder(tmp_path), tmp_path / "first")
    source = make(start(taught), asked=3, prompts=3)
    source.recorder = Recorder(None, tmp_path)
    with pytest.raises(DataError, match="answer other prompts"):
        source.step(0, Ranks())


def test_a_replay_beyond_its_recording_is_refused(
    taught: dict[str, Tensor], tmp_path: Path
) -> None:
    source = make(start(taught))
    source.recorder = Recorder(None, tmp_path / "nothing")
    with pytest.raises(DataError, match="no such rollout batch"):
        source.step(0, Ranks())


def run(
    taught: dict[str, Tensor], recorder: Recorder, folder: Path, learning_rate: float = 3e-3
) -> None:
    source = make(start(taught), iterations=2, epochs=1)
    source.recorder = recorder
    config = TrainConfig(learning_rate=learning_rate, schedule="constant", warmup=0)
    train(source.policy, PPO(), source, config, seed=Seed(0), run_dir=folder)
