"""The stages that compare ways to decode and fit a value model, with tiny random models."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from tests.small_world import prompts, tiny_policy, tiny_reward_model, world

from fairlead.core.results import StageResult
from fairlead.core.seeds import Seed
from fairlead.decoding.speaking import Speaker
from fairlead.generation.sampling import Sampling
from fairlead.models.loading import load_policy, load_reward_model, save_policy, save_reward_model
from fairlead.pipeline.decoding import Curve, Outcome
from fairlead.pipeline.stage import Context
from fairlead.pipeline.stages.decode import DecodeStage
from fairlead.pipeline.stages.prefix_value import PrefixValueStage, explained
from fairlead.records.files import write_records
from fairlead.rewards.model import ModelReward
from fairlead.stats.best_of_n import expected_best_of_n
from fairlead.training.config import TrainConfig

SHORT = Sampling(max_new_tokens=10)
ASKED = 12


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a policy, a reward model and prompts."""
    folder = tmp_path_factory.mktemp("run")
    save_policy(tiny_policy(), folder / "stages" / "sft" / "model")
    save_reward_model(tiny_reward_model(1), folder / "stages" / "reward" / "model")
    (folder / "stages" / "world").mkdir()
    write_records(folder / "stages" / "world" / "test.jsonl", prompts(ASKED))
    return folder


def in_stage(made: Path, name: str) -> Context:
    folder = made / "stages" / name
    folder.mkdir(exist_ok=True)
    return Context(made, folder, Seed(0).child(name), False)


def stage(**settings: Any) -> DecodeStage:
    given: dict[str, Any] = {
        "name": "decode",
        "policy": "@sft",
        "data": "@world/test.jsonl",
        "reward": "@reward",
        "gold": "assistant",
        "samples": 6,
        "sampling": SHORT,
        "decoders": {
            "plain": {"kind": "sampling", "sampling": SHORT},
            "four": {"kind": "best_of_n", "n": 4, "sampling": SHORT},
            "args": {"kind": "args", "k": 3, "max_new_tokens": 10},
        },
    }
    return DecodeStage.model_validate(given | settings)


@pytest.fixture(scope="module")
def found(made: Path) -> StageResult:
    return stage().run(in_stage(made, "decode"))


def test_estimates_are_paired_by_prompt(made: Path, found: StageResult) -> None:
    policy = load_policy(made / "stages/sft/model").eval()
    reward = ModelReward(load_reward_model(made / "stages/reward/model").eval(), policy.tokenizer)
    seed = Seed(0).child("decode").child("decode")
    spoken = Speaker(policy).sample(prompts(ASKED), SHORT, n=6, seed=seed)
    proxy = np.array([reward.score(own.replies).values.numpy() for own in spoken], dtype=float)
    gold = np.array([[world().gold(r.prompt, r.text) for r in own.replies] for own in spoken])
    named = {e.name: e for e in found.estimates}
    for judge, worth in (("proxy", proxy), ("gold", gold)):
        gain = (worth[:, 0] - worth.mean(axis=1)).mean()
        assert named[f"{judge}_gain/plain"].value == pytest.approx(gain, abs=1e-6)
        best = worth[np.arange(ASKED), proxy[:, :4].argmax(axis=1)]
        gain = (best - worth.mean(axis=1)).mean()
        assert named[f"{judge}_gain/four"].value == pytest.approx(gain, abs=1e-5)
    assert named["proxy_gain/four"].value > 0
    assert named["proxy_gain/args"].n == len({p.first_user_turn for p in prompts(ASKED)})
    assert "cluster-robust" in named["proxy_gain/args"].method


def test_the_table_has_every_way_and_best_of_n(found: StageResult) -> None:
    table = found.tables[0]
    rows = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert set(rows) == {"plain", "four", "args", "best of 1", "best of 2", "best of 4"}
    tokens = [row["tokens"] for row in rows.values()]
    assert tokens == sorted(tokens)
    # The four samples drawn cost about what four samples of the six cost on average.
    assert rows["four"]["n at equal tokens"] == pytest.approx(4, abs=0.4)
    assert rows["plain"]["by reward models"] == 0 and rows["plain"]["n at equal tokens"] == 1
    assert rows["best of 4"]["by the policy"] + rows["best of 4"]["by reward models"] == (
        pytest.approx(rows["best of 4"]["tokens"])
    )
    figure = found.figures[0]
    line, *points = figure.series
    assert line.label == "best-of-n" and len(line.x) == 3 and line.y[0] == pytest.approx(0)
    assert [p.label for p in points] == ["plain", "four", "args"]
    assert points[0].x[0] == pytest.approx(np.log2(rows["plain"]["tokens"]))


def test_tokens_are_matched_by_hand() -> None:
    curve = Curve(
        scores={"proxy": np.array([[0.0, 1.0, 2.0], [5.0, 3.0, 4.0]])},
        lengths=np.array([[2, 3, 4], [1, 1, 4]]),
        fixed=np.array([10.0, 20.0]),
        each=np.array([[12.0, 13.0, 14.0], [21.0, 21.0, 24.0]]),
        clusters=["a", "b"],
    )
    assert curve.tokens(2).tolist() == [10 + 2 * 13, 20 + 2 * 22]
    outcome = Outcome([], {}, np.array([30.0, 40.0]), np.array([5.0, 55.0]), np.zeros(2), {})
    # 65 tokens on average: 15 once and 17.5 for each sample.
    assert curve.matched(outcome) == pytest.approx(50 / 17.5)
    two, three = (
        [expected_best_of_n(own, own, n) for own in ([0, 1, 2], [5, 3, 4])] for n in (2, 3)
    )
    mixed = curve.best_of(2.25, "proxy")
    assert mixed.tolist() == pytest.approx(
        [0.75 * a + 0.25 * b for a, b in zip(two, three, strict=True)]
    )


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValidationError, match="no decoder is called"):
        stage(guided=("nobody",), value="@reward")
    with pytest.raises(ValidationError, match="need a value model"):
        stage(guided=("args",))
    with pytest.raises(ValidationError):
        stage(decoders={"x": {"kind": "unknown"}})
    with pytest.raises(ValidationError, match="name it otherwise"):
        stage(decoders={"best of 2": {"kind": "sampling"}})


def test_a_value_model_learns_and_guides(made: Path) -> None:
    context = in_stage(made, "value")
    value = PrefixValueStage(
        name="value",
        policy="@sft",
        model="@reward",
        data="@world/test.jsonl",
        test="@world/test.jsonl",
        reward="@reward",
        samples=8,
        sampling=SHORT,
        train=TrainConfig(batch_size=16, epochs=4, learning_rate=3e-3),
    )
    result = value.run(context)
    at = {e.name: e for e in result.estimates}
    assert at["value_explains/100%"].value > 0.3
    assert at["value_explains/100%"].value > at["value_explains/25%"].value
    assert result.tables[0].rows[-1] == ("100%", at["value_explains/100%"].value)
    assert load_reward_model(context.folder / "model").settings.kind == "scalar"
    guided = stage(value="@value", guided=("args",)).run(in_stage(made, "decode-guided"))
    plain = stage().run(in_stage(made, "decode-plain"))
    calls = [
        {row[0]: row[4] for row in result.tables[0].rows}["args"] for result in (guided, plain)
    ]
    assert calls[0] != calls[1]


def test_a_value_model_learns_from_its_own_next_values(made: Path) -> None:
    value = PrefixValueStage(
        name="bellman",
        policy="@sft",
        model="@reward",
        data="@world/test.jsonl",
        test="@world/test.jsonl",
        reward="@reward",
        target="next_value",
        samples=8,
        sampling=SHORT,
        train=TrainConfig(batch_size=16, epochs=16, learning_rate=3e-3),
    )
    at = {e.name: e for e in value.run(in_stage(made, "bellman")).estimates}
    # The reward reaches early tokens through later ones alone, in more steps.
    assert at["value_explains/100%"].value > 0.2


def test_what_is_explained() -> None:
    rewards = np.array([0.0, 2.0, 4.0])
    assert explained(rewards, rewards) == 1
    assert explained(np.full(3, 2.0), rewards) == 0
    assert explained(np.array([1.0, 2.0, 3.0]), rewards) == pytest.approx(0.75)
