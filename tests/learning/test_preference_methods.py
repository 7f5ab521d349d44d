"""Every objective on judged replies must come to prefer what was chosen, on prompts held out."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from fairlead.core.seeds import Seed
from fairlead.data.batches import mismatches, preference_batch, unpaired_batch
from fairlead.data.chat import Item
from fairlead.models.policy import Policy
from fairlead.models.reference import sequence_logps
from fairlead.objectives import OBJECTIVES, Batch, Objective
from fairlead.objectives.kto import KTO
from fairlead.objectives.pairs import PairObjective, Pairs
from fairlead.records import Comparison, Rating
from fairlead.training.config import TrainConfig
from fairlead.training.loop import train
from fairlead.training.source import DatasetSource
from small_world import LENGTH, demonstrations, items_of, tiny_policy

WORD = "perhaps"


def hedged(n: int, seed: int) -> list[Comparison]:
    """A reply that opens with the word is preferred to the same reply without it."""
    plain = [r for r in demonstrations(2 * n, seed) if WORD not in r.response.split()]
    return [
        Comparison(prompt=r.prompt, chosen=f"{WORD} {r.response}", rejected=r.response)
        for r in plain[:n]
    ]


TRAINED, HELD_OUT = items_of(hedged(96, 2)), items_of(hedged(60, 3))


def learn(
    policy: Policy,
    objective: Objective,
    items: Sequence[Item],
    collate: Callable[[Sequence[Item]], Batch],
    folder: Path,
) -> None:
    source = DatasetSource(items, collate, 16, 4, 4096, Seed(0))
    config = TrainConfig(learning_rate=5e-3)
    train(policy, objective, source, config, seed=Seed(0), run_dir=folder, require_eos=False)


def sums(policy: Policy, items: Sequence[Item]) -> torch.Tensor:
    return torch.tensor(sequence_logps(policy.eval(), items, tokens=4096), dtype=torch.float64)


def as_pairs(policy: torch.Tensor, reference: torch.Tensor, items: Sequence[Item]) -> Pairs:
    lengths = torch.tensor([[len(r) for r in item.responses] for item in items]).double()
    nobody = torch.zeros(len(items), dtype=torch.float64)
    return Pairs(*policy.unbind(1), *reference.unbind(1), *lengths.unbind(1), nobody, nobody)


PAIRED: list[Any] = [
    kind
    for kind, objective in sorted(OBJECTIVES.items())
    if issubclass(objective, PairObjective) and not objective.judges
]


@pytest.mark.parametrize("kind", PAIRED)
def test_held_out_pairs_come_to_be_preferred(kind: str, tmp_path: Path) -> None:
    policy, objective = tiny_policy(), OBJECTIVES[kind]()
    assert isinstance(objective, PairObjective)
    known = {item.record: own for item, own in zip(TRAINED, sums(policy, TRAINED), strict=True)}
    before = sums(policy, HELD_OUT)

    def collate(group: Sequence[Item]) -> Batch:
        return preference_batch(group, reference=lambda item: known[item.record].tolist())

    learn(policy, objective, TRAINED, collate, tmp_path)
    after = sums(policy, HELD_OUT)
    better, worse = objective.rewards(as_pairs(after, before, HELD_OUT))
    assert (better > worse).double().mean().item() > 0.9
    gain = after - before
    assert (gain[:, 0] - gain[:, 1]).mean().item() > 1.0


def thumbs(pairs: Sequence[Comparison]) -> list[Rating]:
    """One side of each comparison."""
    return [
        Rating(prompt=p.prompt, response=(p.rejected, p.chosen)[i % 2], value=float(i % 2))
        for i, p in enumerate(pairs)
    ]


def test_kto_learns_from_one_side_of_each_pair(tmp_path: Path) -> None:
    records = thumbs(hedged(192, 2))
    items, policy = items_of(records), tiny_policy()
    swapped = mismatches(items, Seed(0), max_length=LENGTH)
    known, other = sums(policy, items)[:, 0], sums(policy, swapped)[:, 0]
    before = sums(policy, HELD_OUT)

    def collate(group: Sequence[Item]) -> Batch:
        return unpaired_batch(
            group,
            desirable=lambda item: records[item.record].value > 0,
            reference=lambda item: float(known[item.record]),
            mismatched=lambda item: swapped[item.record],
            mismatched_reference=lambda item: float(other[item.record]),
        )

    learn(policy, KTO(), items, collate, tmp_path)
    gain = sums(policy, HELD_OUT) - before
    assert (gain[:, 0] > gain[:, 1]).double().mean().item() > 0.9
    assert (gain[:, 0] - gain[:, 1]).mean().item() > 1.0
