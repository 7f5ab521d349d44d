import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fairlead.training.config import TrainConfig


def rates(steps: int, **settings: object) -> list[float]:
    config = TrainConfig.model_validate({"learning_rate": 1.0, **settings})
    return [config.rate(step, steps) for step in range(steps)]


def test_cosine_by_hand() -> None:
    got = rates(10, schedule="cosine", warmup=0.2, final_rate=0.1)
    assert got[:3] == [0.5, 1.0, 1.0]  # two steps up, then the cosine starts at its top
    assert got[6] == pytest.approx(0.1 + 0.9 * 0.5)  # half way
    assert got[4] == pytest.approx(0.1 + 0.9 * 0.5 * (1 + 2**-0.5))  # a quarter: cos 45 degrees
    assert got[9] == pytest.approx(0.1 + 0.9 * 0.5 * (1 - 0.92387953), rel=1e-6)  # 7/8


def test_linear_by_hand() -> None:
    got = rates(5, schedule="linear", warmup=0.2, final_rate=0.2)
    assert got == pytest.approx([1.0, 1.0, 0.8, 0.6, 0.4])


def test_linear_to_zero_without_warmup() -> None:
    assert rates(4, schedule="linear", warmup=0, final_rate=0) == [1.0, 0.75, 0.5, 0.25]


def test_constant_after_warmup() -> None:
    got = rates(8, schedule="constant", warmup=0.5)
    assert got == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0]


def test_part_of_a_step_of_warmup_is_a_whole_one() -> None:
    assert rates(10, schedule="constant", warmup=0.25)[:4] == pytest.approx([1 / 3, 2 / 3, 1, 1])


@given(
    steps=st.integers(1, 200),
    warmup=st.floats(0, 0.99),
    final=st.floats(0, 1),
    schedule=st.sampled_from(["constant", "linear", "cosine"]),
)
def test_rises_then_never_rises_again(
    steps: int, warmup: float, final: float, schedule: str
) -> None:
    got = rates(steps, warmup=warmup, final_rate=final, schedule=schedule)
    assert all(0 < rate <= 1 + 1e-12 for rate in got)
    top = got.index(max(got))
    assert got[: top + 1] == sorted(got[: top + 1])
    assert all(a >= b - 1e-12 for a, b in zip(got[top:], got[top + 1 :], strict=False))


@pytest.mark.parametrize(
    "bad",
    [
        {"learning_rate": 0},
        {"warmup": 1.0},
        {"batch_size": 0},
        {"microbatch_tokens": -1},
        {"schedule": "exponential"},
        {"learning_rat": 1e-5},
    ],
)
def test_bad_settings_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TrainConfig.model_validate(bad)
