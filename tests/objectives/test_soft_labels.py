"""A pair judged softly counts both ways; judgements of one source may count more than others."""

import math
from dataclasses import replace

import pytest
import torch
from batches import interleaved, pairs

from fairlead.data.batches import preference_batch
from fairlead.data.chat import Item
from fairlead.data.judgements import judged, judged_batch
from fairlead.objectives import OBJECTIVES, Need, Scores
from fairlead.objectives.bradley_terry import BradleyTerry
from fairlead.objectives.dpo import DPO
from fairlead.objectives.pairs import PairObjective
from fairlead.records import Comparison, Prompt, Provenance, Ranking

CHOSEN = torch.tensor([-2.0, -3.5, -1.0], dtype=torch.float64)
REJECTED = torch.tensor([-2.5, -3.0, -4.0], dtype=torch.float64)
REFERENCE = torch.tensor([-2.2, -2.4, -3.1, -3.3, -2.0, -2.0], dtype=torch.float64)

SOFT = [
    kind
    for kind, own in OBJECTIVES.items()
    if issubclass(own, PairObjective) and Need.ROLLOUTS not in own.needs
]


def value(objective, label: torch.Tensor | None, swap: bool = False) -> float:
    logps = interleaved(CHOSEN, REJECTED)
    batch = replace(pairs(3, REFERENCE), label=label)
    if swap:
        batch = replace(batch, better=batch.worse, worse=batch.better)
    return objective(Scores(logps=logps), batch, batch.totals()).value.item()


def test_dpo_by_hand():
    label = torch.tensor([0.8, 0.5, 1.0], dtype=torch.float64)
    margins = [(-2.0 + 2.2) - (-2.5 + 2.4), (-3.5 + 3.1) - (-3.0 + 3.3), (-1.0 + 2) - (-4.0 + 2)]
    losses = [
        p * math.log1p(math.exp(-0.5 * m)) + (1 - p) * math.log1p(math.exp(0.5 * m))
        for p, m in zip(label.tolist(), margins, strict=True)
    ]
    assert value(DPO(beta=0.5), label) == pytest.approx(sum(losses) / 3, rel=1e-12)


@pytest.mark.parametrize("kind", SOFT)
def test_a_sure_label_is_no_label_and_the_opposite_one_swaps_the_replies(kind: str):
    objective = OBJECTIVES[kind]()
    sure, never = torch.ones(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    assert value(objective, sure) == pytest.approx(value(objective, None), rel=1e-12)
    assert value(objective, never) == pytest.approx(value(objective, None, swap=True), rel=1e-12)


@pytest.mark.parametrize("kind", SOFT)
def test_swapping_the_replies_and_the_label_changes_nothing(kind: str):
    objective = OBJECTIVES[kind]()
    label = torch.tensor([0.9, 0.6, 0.3], dtype=torch.float64)
    swapped = value(objective, 1 - label, swap=True)
    assert value(objective, label) == pytest.approx(swapped, rel=1e-12)


PROMPT = Prompt.of("q")
PEOPLE = Provenance(source="s", feedback="human")
MODEL = Provenance(source="s", feedback="ai")


def test_weights_by_source():
    weights = {"human": 3.0, "ai": 0.5}
    own = Comparison(prompt=PROMPT, chosen="a", rejected="b", provenance=MODEL)
    asked = PROMPT.model_copy(update={"provenance": PEOPLE})
    of_prompt = Comparison(prompt=asked, chosen="a", rejected="b")
    ranked = Ranking(prompt=asked, responses=("a", "b"), ranks=(0, 1))
    plain = Comparison(prompt=PROMPT, chosen="a", rejected="b")
    both = Comparison(prompt=asked, chosen="a", rejected="b", provenance=MODEL)
    found = [
        judged(r, source_weights=weights).weight  # pyright: ignore
        for r in (own, of_prompt, ranked, plain, both)
    ]
    assert found == [0.5, 3.0, 3.0, 1.0, 0.5]
    assert judged(own).weight == 1.0


def item(record: int) -> Item:
    return Item((1, 2), ((3, 9), (4, 9)), (0, 1), record)


def test_a_doubled_weight_counts_as_two_records():
    scores = torch.tensor([1.0, 0.2, -0.3, 0.4], dtype=torch.float64)
    weighted = preference_batch([item(0), item(1)], weight=lambda i: 1.0 + i.record)
    repeated = preference_batch([item(0), item(1), item(1)])
    thrice = torch.cat([scores, scores[2:]])
    ours, theirs = (
        BradleyTerry()(Scores(rewards=given), batch, batch.totals())
        for given, batch in ((scores, weighted), (thrice, repeated))
    )
    assert ours.value.item() == pytest.approx(theirs.value.item(), rel=1e-12)
    for name in ("reward/accuracy", "reward/margin"):
        assert ours.metrics[name].value == pytest.approx(theirs.metrics[name].value, rel=1e-12)


def test_a_batch_takes_labels_and_weights_from_records():
    records = [
        Comparison(prompt=PROMPT, chosen="a", rejected="b", preference=0.7, provenance=MODEL),
        Comparison(prompt=PROMPT, chosen="a", rejected="b"),
    ]
    known = [judged(r, source_weights={"ai": 2.0}) for r in records]
    batch = judged_batch([item(0), item(1)], known)
    assert batch.label is not None
    torch.testing.assert_close(batch.label, torch.tensor([0.7, 1.0]))
    torch.testing.assert_close(batch.weight, torch.tensor([2.0, 1.0]))
    assert batch.totals().groups == 3.0
