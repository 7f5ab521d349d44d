import numpy as np
import pytest
from scipy.stats import norm

from fairlead.audits.items.preferences import read_preferences
from fairlead.audits.planted import world
from fairlead.audits.reward_accuracy import RewardAccuracy, accuracy
from fairlead.audits.scoring import Scores
from fairlead.core.errors import ConfigError, DataError
from fairlead.core.results import Finding
from fairlead.core.seeds import Seed
from fairlead.data.chat import ChatFormat
from fairlead.records import Comparison, Prompt
from fairlead.records.files import write_records
from fairlead.rewards.base import FunctionReward, Reply, Scored
from fairlead.rewards.judge import JudgeReward
from fairlead.rewards.model import ModelReward
from small_world import tiny_reward_model, tokenizer

ROWS = [
    {"prompt": "a", "chosen": "3", "rejected": "1"},
    {"prompt": "b", "chosen": "1", "rejected": "2"},
    {"prompt": "c", "chosen": "2", "rejected": "2.0"},
    {"prompt": "d", "chosen": "9", "rejected": "4"},
]


def _number(prompt: Prompt, text: str) -> float:
    return float(text)


def _finding(rows: list[dict], reward: object = None, **settings: object) -> Finding:
    with world.stored(data=rows) as places:
        subject = world.subject(Seed(0), proxy=reward or FunctionReward(_number))
        return RewardAccuracy(data=places["data"], **settings).run(subject)


def test_ties_count_half_and_the_harm_is_the_distance_to_the_ceiling() -> None:
    found = _finding(ROWS, ceiling=0.8, alone=0)
    (gate,) = found.gates
    assert gate.candidate.value == pytest.approx(2.5 / 4)
    assert gate.change.value == pytest.approx(0.8 - 2.5 / 4)
    assert "0.8 was stated" in found.notes[0]


def test_soft_labels_give_their_own_ceiling() -> None:
    rows = [{**row, "preference": p} for row, p in zip(ROWS, (0.9, 0.8, 0.7, 0.6), strict=True)]
    found = _finding(rows, alone=0)
    ceiling = next(e for e in found.estimates if e.name == "ceiling")
    assert ceiling.value == pytest.approx(0.75)
    # It sides with most, with fewest, with a coin, and with most.
    credits = (0.9, 0.2, 0.5, 0.6)
    assert found.gates[0].change.value == pytest.approx(0.75 - np.mean(credits))


def test_a_minority_choice_is_the_worse_reply() -> None:
    with world.stored(data=[{**ROWS[0], "preference": 0.3}]) as places:
        (item,) = read_preferences(places["data"]).items
    assert item.ranks == (1, 0)
    assert item.chosen == 0.3


def test_without_a_ceiling_hard_labels_are_held_against_one() -> None:
    found = _finding(ROWS, alone=0)
    assert found.gates[0].change.value == pytest.approx(1 - 2.5 / 4)
    assert "held against 1" in found.notes[0]


def test_accuracy_is_that_of_the_closed_form() -> None:
    """Linear truth plus noise: right with chance of a normal deviate below the difference."""
    random = Seed(1).numpy()
    gap, spread = random.exponential(size=3000), 0.7
    rows = [{"prompt": f"p{i}", "chosen": f"{g}", "rejected": "0"} for i, g in enumerate(gap)]

    def score(prompt: Prompt, text: str) -> float:
        return float(text) + spread * world.noise(Seed(2), prompt.first_user_turn, text)

    noisy = FunctionReward(score)
    found = _finding(rows, noisy, ceiling=1.0, alone=0).gates[0].candidate
    expected = norm.cdf(gap / (spread * np.sqrt(2))).mean()
    assert found.low < expected < found.high
    assert found.value == pytest.approx(expected, abs=0.02)


def test_interval_covers_the_accuracy_under_clusters() -> None:
    """Prompts with four pairs each, whose chances of being right differ by prompt."""
    random = Seed(3).numpy()
    inside = 0
    with world.stored(data=[{**ROWS[0], "cluster": f"c{i // 4}"} for i in range(400)]) as places:
        items = read_preferences(places["data"]).items
    for _ in range(500):
        chances = np.repeat(random.beta(7, 3, 100), 4)
        found = accuracy((random.random(400) < chances).astype(float), items)
        inside += found.low <= 0.7 <= found.high
    assert 0.90 <= inside / 500 <= 0.97


def test_best_of_four_and_several_right_answers() -> None:
    tied = {"id": "tied:1", "prompt": "x", "responses": ["5", "4", "1"], "ranks": [0, 0, 1]}
    single = {"id": "ref:1", "prompt": "y", "responses": ["6", "2", "0"], "ranks": [0, 1, 1]}
    four = {"prompt": "z", "responses": ["1", "1", "0", "0"], "ranks": [0, 1, 1, 1]}
    found = _finding([tied, single, four], ceiling=1.0, alone=0)
    assert found.gates[0].candidate.value == pytest.approx((1 + 1 + 0.5) / 3)
    score = next(e for e in found.estimates if e.name.startswith("several right"))
    assert score.value == pytest.approx(1 + 0.01 * np.tanh(3 / 1 - 1))


def test_subsets_are_one_family() -> None:
    rows = [{**row, "subset": name} for name in ("one", "two") for row in ROWS]
    found = _finding(rows, ceiling=0.8, alone=0)
    assert [gate.name for gate in found.gates] == ["reward_accuracy/one", "reward_accuracy/two"]
    assert all(gate.adjusted_p is not None for gate in found.gates)
    assert [row[0] for row in found.tables[0].rows] == ["all", "one", "two"]


def test_what_is_not_scored_counts_as_wrong() -> None:
    class Unsure:
        def judge(self, prompt: Prompt, replies: list[str]) -> list[float | None]:
            return [None if reply == "9" else float(reply) for reply in replies]

    found = _finding(ROWS, JudgeReward(Unsure()), ceiling=0.8, alone=0)
    assert found.gates[0].candidate.value == pytest.approx(1.5 / 4)
    assert found.gates[0].unscored == {"unparsed": 1}


def test_worst_pairs_come_first() -> None:
    rows = [*ROWS, {"prompt": "e", "chosen": "0", "rejected": "7"}]
    first = _finding(rows, ceiling=0.8, alone=0).passages[0]
    assert (first.prompt, first.candidate) == ("e", "scored higher: 7")


def test_scores_that_depend_on_the_batch_are_found() -> None:
    class Centred:
        name = "centred"

        def score(self, replies: list[Reply]) -> Scored:
            plain = FunctionReward(_number).score(replies)
            return Scored(plain.values - plain.values.mean())

    gates = _finding(ROWS, Centred(), ceiling=0.8, alone=4).gates
    assert gates[-1].change.value == pytest.approx(7 / 8)
    assert gates[-1].verdict == "fail"
    assert _finding(ROWS, ceiling=0.8, alone=4).gates[-1].change.value == 0.0


def test_a_reward_model_scores_as_its_own_tokens_say() -> None:
    model = tiny_reward_model()
    source = ModelReward(model, tokenizer())
    prompt = Prompt.of("hello")
    texts = [(prompt, "yes"), (prompt, "no thanks")]
    found = Scores.by(world.subject(Seed(0), proxy=source)).of(texts)
    ids = [ChatFormat(tokenizer()).response_ids(*text) for text in texts]
    replies = [Reply(prompt, *own, text=t) for own, (_, t) in zip(ids, texts, strict=True)]
    assert found == pytest.approx(source.score(replies).values.numpy(), abs=1e-6)


def test_records_of_a_run_are_read(tmp_path) -> None:
    records = [
        Comparison(prompt=Prompt.of("a"), chosen="2", rejected="1"),
        Comparison(prompt=Prompt.of("b"), chosen="1", rejected="1", tie=True),
    ]
    write_records(tmp_path / "records.jsonl", records)
    read = read_preferences(str(tmp_path / "records.jsonl"))
    assert len(read.items) == 1
    assert read.notes[0].startswith("1 rows")


def test_data_without_preferences_are_refused() -> None:
    with pytest.raises(DataError, match="no row is an item"):
        _finding([{"prompt": "a", "response": "b"}])


def test_a_reward_is_needed() -> None:
    with pytest.raises(ConfigError, match="reward called proxy"):
        RewardAccuracy(data="x").check(world.subject(Seed(0)))
