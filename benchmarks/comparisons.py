"""What is measured: every piece of work, the processes that do it, and the rows it gives.

Rows of one piece of work come from the same turns. Where nothing else is said, a side is measured
as TRL ships it and once more with its allocator tuned; both only ever against Fairlead's turns in
between.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks import floors
from benchmarks.floors import Floor
from benchmarks.rates import Rates
from benchmarks.work import Size

Answer = dict[str, Any]
"""What a side says of a turn, see `turns`."""


@dataclass(frozen=True)
class Row:
    """A row of the results."""

    name: str
    unit: str
    """What the seconds are for."""
    seconds: Callable[[Answer], float]
    """Seconds per unit, of a turn."""
    tokens: Callable[[Size, Answer], float]
    """Tokens per unit, of a turn."""
    floor: Callable[[Size, Rates, Answer], Floor] | None
    """The least a unit can take; none where the sides do different work."""


@dataclass(frozen=True)
class Work:
    """A piece of work and the sides that do it."""

    rows: tuple[Row, ...]
    sides: Mapping[str, tuple[str, ...]]
    """By label ("ours", "peer", "peer_tuned"): the module in `works`, and its options."""
    tolerances: Mapping[str, tuple[float, float]] = field(
        default_factory=lambda: {"loss": (1e-4, 0.0), "gradient_norm": (0.0, 1e-3)}
    )
    """Largest difference between sides in what their steps gave: absolute, relative."""
    compared: int | None = None
    """Steps from the first on that must be equal; None for all."""
    skewed: bool = False
    """Whether many ids end a reply."""

    @property
    def name(self) -> str:
        """That of its first row."""
        return self.rows[0].name


def _against_trl(name: str, *options: str) -> dict[str, tuple[str, ...]]:
    return {
        "ours": (f"{name}_fairlead", *options),
        "peer": (f"{name}_trl", *options),
        "peer_tuned": (f"{name}_trl", *options, "tuned"),
    }


def _whole(answer: Answer) -> float:
    return answer["seconds"]


def _steps(answer: Answer) -> int:
    return max(len(answer["steps"]), 1)


def _per_step(answer: Answer) -> float:
    return answer["seconds"] / _steps(answer)


def _update(answer: Answer) -> float:
    return (answer["seconds"] - answer["parts"]["making"]) / _steps(answer)


def _sampled(answer: Answer) -> int:
    return sum(map(sum, answer["lengths"]))


def _rollout(answer: Answer) -> float:
    return 1000 * answer["parts"]["sampling"] / _sampled(answer)


def _of_steps(
    floor: Callable[[Size, Rates, Sequence[floors.Text]], Floor],
) -> Callable[[Size, Rates, Answer], Floor]:
    """The mean over the steps of a turn, given the lengths that each sampled."""

    def mean(size: Size, rates: Rates, answer: Answer) -> Floor:
        steps = answer["lengths"]
        each = [floor(size, rates, floors.sampled(size, lengths)) for lengths in steps]
        return sum(each, Floor(0.0, 0.0)) / len(steps)

    return mean


def _updating(size: Size, rates: Rates, texts: Sequence[floors.Text]) -> Floor:
    return floors.training(size, rates, texts, steps=1)


def _learning(size: Size, rates: Rates, texts: Sequence[floors.Text]) -> Floor:
    return floors.decoding(size, rates, texts) + _updating(size, rates, texts)


def _per_thousand(size: Size, rates: Rates, answer: Answer) -> Floor:
    step = _of_steps(floors.decoding)(size, rates, answer)
    return step / (_sampled(answer) / len(answer["lengths"]) / 1000)


def _sampled_per_step(_: Size, answer: Answer) -> float:
    return _sampled(answer) / len(answer["lengths"])


def _on_pairs(name: str, *, head: bool) -> Row:
    return Row(
        name,
        "epoch",
        _whole,
        lambda size, _: sum(text.length for text in floors.both(size)),
        lambda size, rates, _: floors.comparing(size, rates, head=head),
    )


SFT = Work(
    rows=(
        Row(
            "sft",
            "epoch",
            _whole,
            lambda size, _: sum(text.length for text in floors.chosen(size)),
            lambda size, rates, _: floors.sft(size, rates),
        ),
    ),
    sides=_against_trl("sft"),
)
REWARD = Work(rows=(_on_pairs("reward", head=False),), sides=_against_trl("reward"))
DPO = Work(rows=(_on_pairs("dpo", head=True),), sides=_against_trl("dpo", "precomputed"))
DPO_LIVE = Work(rows=(_on_pairs("dpo_live_reference", head=True),), sides=_against_trl("dpo"))
GRPO = Work(
    rows=(
        Row("grpo", "step", _per_step, _sampled_per_step, _of_steps(_learning)),
        Row("grpo_update", "step", _update, _sampled_per_step, _of_steps(_updating)),
        Row("rollout", "1000 tokens", _rollout, lambda *_: 1000, _per_thousand),
    ),
    sides=_against_trl("grpo"),
    compared=1,
    skewed=True,
)
PPO = Work(
    rows=(Row("ppo", "rollout batch", _whole, lambda size, _: _ppo_tokens(size), None),),
    sides={"ours": ("ppo_fairlead", "adapters"), "peer": ("ppo_fairlead", "full")},
    tolerances={"loss": (1e-4, 0.0)},
    compared=1,
)


def _ppo_tokens(size: Size) -> int:
    return sum(text.length for text in floors.chosen(size)[: 2 * size.batch])


def _decode(rows: int) -> Work:
    texts = floors.decoded(rows)
    row = Row(
        f"decode_b{rows}",
        "batch",
        _whole,
        lambda _, answer: _sampled(answer),
        lambda size, rates, _: floors.decoding(size, rates, texts),
    )
    return Work(
        rows=(row,),
        sides=_against_trl("decode", str(rows)),
        tolerances={"tokens": (0.5, 0.0), "logps": (1e-5, 0.0)},
    )


WORKS = (SFT, REWARD, DPO, DPO_LIVE, GRPO, *(_decode(rows) for rows in (1, 8, 32)), PPO)
ROWS = [row.name for work in WORKS for row in work.rows]
