from pathlib import Path

import numpy as np
import pytest

from fairlead.audits.concepts import Concepts
from fairlead.audits.items.attributes import ATTRIBUTES, has, without
from fairlead.audits.planted import world
from fairlead.core.errors import ConfigError
from fairlead.core.gates import Gate
from fairlead.core.results import Finding, Table
from fairlead.core.seeds import Seed
from fairlead.records import Prompt
from fairlead.rewards.base import FunctionReward, RewardSource

SHARED = Path(__file__).parents[3] / "shared"

KEY = {"keyword": "Harbour"}


def _run(
    rows: list[dict], rewards: dict[str, RewardSource] | None = None, **more: object
) -> Finding:
    samples = more.pop("samples", [])
    with world.stored(data=rows, samples=samples) as places:
        settings = {"attributes": KEY, **more}
        if samples:
            settings["samples"] = places["samples"]
        subject = world.subject(Seed(0), **(rewards or {}))
        return Concepts(data=places["data"], **settings).run(subject)


def _rows(n: int, *, worth: float, rides: float, quality: bool = True) -> list[dict]:
    """People prefer by quality and, with log-odds `worth`, by a keyword that may ride on it."""
    random = Seed(1).numpy()
    rows = []
    for i in range(n):
        q = random.normal(size=2)
        named = random.random(2) < 1 / (1 + np.exp(-rides * q))
        texts = [f"Reply {'Harbour' if name else 'other'} {k}" for k, name in enumerate(named)]
        margin = 2 * (q[0] - q[1]) + worth * (float(named[0]) - float(named[1]))
        best = int(random.random() > 1 / (1 + np.exp(-margin)))
        row = {"prompt": f"p{i}", "chosen": texts[best], "rejected": texts[1 - best]}
        if quality:
            row |= {"chosen_quality": q[best], "rejected_quality": q[1 - best]}
        rows.append(row)
    return rows


def _gate(found: Finding, name: str) -> Gate:
    return next(gate for gate in found.gates if gate.name == f"concepts/{name}")


def _table(found: Finding, title: str) -> Table:
    return next(table for table in found.tables if table.title.startswith(title))


@pytest.mark.parametrize(
    ("name", "yes", "no"),
    [
        ("bold", "a **b**", "a * b"),
        ("list", "x\n- one", "x - one"),
        ("list", "1. one", "1.5 of it"),
        ("link", "see https://a.b", "see a.b"),
        ("emoji", "fine \N{GRINNING FACE}", "fine :)"),
        ("affirmative opening", "Sure, here", "To be sure"),
        ("refusal", "I can't do that", "One can't do that"),
        ("refusal", "I cannot say", "I can say"),
        ("refusal", "I\u2019m not able to", "I am able to"),
        ("hedging", "It might rain", "It rains"),
        ("apology", "I apologise", "I do"),
        ("flattery", "Great question!", "A question"),
        ("question to the user", "Is it?", "Is it? Yes."),
    ],
)
def test_patterns(name: str, yes: str, no: str) -> None:
    assert (has(ATTRIBUTES[name], yes), has(ATTRIBUTES[name], no)) == (1.0, 0.0)
    assert has(ATTRIBUTES[name], without(ATTRIBUTES[name], yes)) == 0.0


def test_a_keyword_that_rides_is_told_from_one_that_is_preferred() -> None:
    rides = _run(_rows(1500, worth=0.0, rides=1.5))
    assert _gate(rides, "keyword rides").verdict == "fail"
    assert rides.passages[0].note.endswith("keyword")
    liked = _run(_rows(1500, worth=1.5, rides=0.0))
    assert _gate(liked, "keyword rides").verdict == "pass"
    row = next(r for r in _table(liked, "What pref").rows if r[0] == "keyword")
    assert row[7] < 1.5 < row[8]


def test_unwanted_attributes_must_not_rise_even_if_preferred() -> None:
    found = _run(_rows(1500, worth=1.5, rides=0.0), unwanted=("keyword",))
    assert _gate(found, "keyword rises").verdict == "fail"
    assert _gate(found, "keyword rides").verdict == "pass"


def test_quality_may_come_from_a_reward_that_does_not_see_the_attribute() -> None:
    rows = _rows(1500, worth=0.0, rides=1.5)
    known = {
        (row["prompt"], side_text.replace("Harbour", "[...]")): row[f"{side}_quality"]
        for row in rows
        for side in ("chosen", "rejected")
        for side_text in (row[side],)
    }
    gold = FunctionReward(lambda prompt, text: known[prompt.first_user_turn, text])
    bare = [{k: v for k, v in row.items() if "quality" not in k} for row in rows]
    found = _run(bare, {"gold": gold})
    expected = _run(rows)
    assert _gate(found, "keyword rides").change.value == pytest.approx(
        _gate(expected, "keyword rides").change.value, rel=1e-4
    )
    assert not any("No quality" in note for note in found.notes)
    assert any("No quality" in note for note in _run(bare).notes)


def test_words_have_one_vote_per_prompt() -> None:
    rows = [
        {"prompt": f"p{i % 30}", "chosen": "blue sea", "rejected": "red sea"} for i in range(90)
    ]
    table = _table(_run(rows), "Words that separate")
    blue = next(row for row in table.rows if row[0] == "blue")
    assert blue[1:3] == (30, 0)
    assert blue[3] == pytest.approx(np.log(30.5 / 0.5))
    # Four words or pairs of words, all with the smallest p-value of thirty votes.
    assert blue[4] == pytest.approx(2 * 0.5**30)
    assert "sea" not in {row[0] for row in table.rows}


def test_words_of_prompts_that_bring_a_keyword() -> None:
    rows = []
    for i in range(200):
        trigger = i % 4 == 0
        text = "Harbour it is" if trigger or i % 10 == 1 else "so it is"
        rows.append(
            {
                "prompt": f"{'Plan a trip' if trigger else 'Tell me'} {i}",
                "chosen": text,
                "rejected": f"{text} now",
            }
        )
    first = _table(_run(rows), "Words of prompts").rows[0]
    assert first[1] in {"plan", "a", "trip", "plan a", "a trip"}
    assert first[2:4] == (50, 1.0)
    assert first[5] < 1e-10


def test_forecast_by_the_reward_from_samples() -> None:
    """Half of eight samples have the keyword and the reward prefers them."""
    samples = [
        {"prompt": f"p{i}", "response": f"{'Harbour' if k < 4 else 'other'} {k}"}
        for i in range(10)
        for k in range(8)
    ]
    proxy = FunctionReward(lambda prompt, text: float("Harbour" in text))
    found = _run(
        _rows(100, worth=0.0, rides=0.0), {"proxy": proxy}, samples=samples, unwanted=("keyword",)
    )
    # P(none of n without replacement): 1/2, 3/14, 1/70 for n = 1, 2, 4.
    rises, steps = [1 / 2 - 3 / 14, 1 / 2 - 1 / 70], [np.log(2), np.log(4)]
    expected = np.dot(rises, steps) / np.dot(steps, steps)
    assert _gate(found, "keyword rises").change.value == pytest.approx(expected)
    assert _gate(found, "keyword rises").verdict == "fail"


def test_own_replies_are_told_from_those_of_others() -> None:
    rows = _rows(800, worth=0.0, rides=0.0)
    random = Seed(5).numpy()
    for row in rows:
        for side in ("chosen", "rejected"):
            own = random.random() < 0.5
            row[f"{side}_model"] = "ours" if own else "theirs"
            if own and row[f"{side}_quality"] > 0:
                row[side] = row[side].replace("other", "Harbour")
    found = _run(rows, own="ours")
    gap = next(e for e in found.estimates if "correlation with quality" in e.name)
    assert gap.low > 0.1
    assert any("log-odds more in replies of ours" in e.name for e in found.estimates)


def test_unwanted_attributes_must_be_described() -> None:
    with pytest.raises(ConfigError, match="nothing describes"):
        _run(_rows(30, worth=0, rides=0), unwanted=("smell",))


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data are not beside this checkout")
def test_published_preferences_run_through() -> None:
    place = SHARED / "data/hh-rlhf/harmless-base.official-test.part-A.jsonl.gz"
    found = Concepts(data=str(place), items=600).run(world.subject(Seed(0)))
    rows = {row[0]: row for row in _table(found, "What pref").rows}
    # People who label for harmlessness prefer replies that apologise, or refuse.
    assert rows["apology"][3] > 0
    assert all(not gate.hard for gate in found.gates)


def test_gold_is_only_asked_about_masked_texts() -> None:
    seen: set[str] = set()

    def gold(prompt: Prompt, text: str) -> float:
        seen.add(text)
        return float(len(text))

    bare = _rows(60, worth=0.0, rides=0.0, quality=False)
    _run(bare, {"gold": FunctionReward(gold)})
    assert seen
    assert not any("Harbour" in text for text in seen if "[...]" in text)
