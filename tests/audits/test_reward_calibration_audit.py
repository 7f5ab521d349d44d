import numpy as np
import pytest

from fairlead.audits.planted import world
from fairlead.audits.reward_calibration import RewardCalibration
from fairlead.core.estimates import NamedEstimate
from fairlead.core.results import Finding
from fairlead.core.seeds import Seed
from fairlead.records import Prompt
from fairlead.rewards.base import FunctionReward
from fairlead.rewards.judge import JudgeReward


def _number(prompt: Prompt, text: str) -> float:
    return float(text)


def _run(rows: list[dict], reward: object = None, **settings: object) -> Finding:
    with world.stored(data=rows) as places:
        subject = world.subject(Seed(0), proxy=reward or FunctionReward(_number))
        return RewardCalibration(data=places["data"], **settings).run(subject)


def _rows(n: int, scale: float = 1.0, *, soft: bool = False) -> list[dict]:
    """Pairs whose stated log-odds are `scale` times the true ones."""
    random = Seed(1).numpy()
    margins = random.normal(0, 1.5, n)
    rows = []
    for i, margin in enumerate(margins.tolist()):
        chance = 1 / (1 + np.exp(-margin))
        texts = (f"{scale * margin / 2}", f"{-scale * margin / 2}")
        if soft:
            rows.append(
                {"prompt": f"p{i}", "chosen": texts[0], "rejected": texts[1], "preference": chance}
            )
            continue
        first = random.random() < chance
        better, worse = texts if first else texts[::-1]
        rows.append({"prompt": f"p{i}", "chosen": better, "rejected": worse})
    return rows


def _named(found: Finding, name: str) -> NamedEstimate:
    return next(e for e in found.estimates if e.name.startswith(name))


def test_over_confidence_worked_by_hand() -> None:
    # Stated 3/4 for the reply scored higher, three times; it was taken twice.
    d = str(np.log(3))
    rows = [
        {"prompt": "a", "chosen": d, "rejected": "0"},
        {"prompt": "b", "chosen": d, "rejected": "0"},
        {"prompt": "c", "chosen": "0", "rejected": d},
    ]
    found = _run(rows)
    assert found.gates[0].change.value == pytest.approx(3 / 4 - 2 / 3)
    assert _named(found, "calibration error").value == pytest.approx(3 / 4 - 2 / 3)
    assert _named(found, "Brier score").value == pytest.approx((2 / 16 + 9 / 16) / 3)


def test_who_is_chosen_does_not_make_the_label() -> None:
    """Every row has its preferred reply first; that must not look like certainty."""
    found = _run(_rows(3000))
    assert all(gate.verdict == "pass" for gate in found.gates)
    slope = _named(found, "calibration slope")
    assert slope.low < 1 < slope.high
    assert _named(found, "calibration intercept").low < 0 < _named(found, "calibration inter").high


def test_a_temperature_mends_a_reward_that_is_too_sure() -> None:
    found = _run(_rows(4000, scale=3.0))
    assert [gate.verdict for gate in found.gates] == ["fail", "fail"]
    assert _named(found, "temperature").value == pytest.approx(3.0, rel=0.1)
    cooled = _named(found, "calibration error, other half, at that temperature")
    assert cooled.value < cooled.high
    assert _named(found, "calibration error, other half").value > 0.1
    assert all(g.verdict == "pass" for g in _run(_rows(4000, scale=3.0), temperature=3.0).gates)


def test_soft_labels_have_a_floor() -> None:
    found = _run(_rows(1000, soft=True))
    assert _named(found, "surprise").value == pytest.approx(_named(found, "least surprise").value)
    assert _named(found, "Brier").value == pytest.approx(_named(found, "least Brier").value)
    assert found.gates[0].change.value == pytest.approx(0.0, abs=1e-9)


def test_pairs_without_scores_count_as_wholly_too_sure() -> None:
    class Unsure:
        def judge(self, prompt: Prompt, replies: list[str]) -> list[float | None]:
            last = int(prompt.first_user_turn[1:]) % 10 == 0
            return [None if last else float(reply) for reply in replies]

    gate = _run(_rows(1000), JudgeReward(Unsure())).gates[0]
    assert gate.unscored == {"unparsed": 100}
    assert gate.change.value == pytest.approx(0.9 * gate.observed.value + 0.1)
    assert gate.verdict != "pass"
