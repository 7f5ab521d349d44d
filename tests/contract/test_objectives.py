"""What must hold for every objective, whoever writes it: nothing here names one."""

import inspect
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from math import isnan
from typing import Any

import pytest
import torch
from examples import CREDIT, Example, batch_of, examples, scores_of, tensors_in, totals_of
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from fairlead.core.metrics import merge
from fairlead.objectives import OBJECTIVES, Objective, RolloutBatch, Scores, Totals

every_objective = pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
every_rollout_objective = pytest.mark.parametrize(
    "objective", [o for o in OBJECTIVES.values() if o.batch is RolloutBatch]
)


def with_gradients(chosen: Sequence[Example]) -> list[Example]:
    """Copies of examples whose scores are leaves."""
    return [
        replace(one, scores={n: x.clone().requires_grad_() for n, x in one.scores.items()})
        for one in chosen
    ]


def step(
    objective: type[Objective], chosen: Sequence[Example], groups: Sequence[Sequence[int]]
) -> tuple[Tensor, list[dict[str, Tensor | None]], dict[str, float]]:
    """Loss, gradient by example and metrics of one step, computed group by group."""
    leaves = with_gradients(chosen)
    parts = [[leaves[i] for i in group] for group in groups]
    batches = [batch_of(objective, part) for part in parts]
    totals = totals_of(objective, parts)
    losses = [
        objective()(scores_of(part), batch, totals)
        for part, batch in zip(parts, batches, strict=True)
    ]
    value = torch.stack([loss.value for loss in losses]).sum()
    value.backward()
    metrics = {name: mean.value for name, mean in merge(x.metrics for x in losses).items()}
    return value.detach(), [{n: x.grad for n, x in e.scores.items()} for e in leaves], metrics


def assert_same_step(one: Any, other: Any) -> None:
    """Equal but for the order in which floats were added."""
    torch.testing.assert_close(one[0], other[0], rtol=1e-10, atol=1e-12)
    for mine, yours in zip(one[1], other[1], strict=True):
        for name in mine:
            torch.testing.assert_close(mine[name], yours[name], rtol=1e-10, atol=1e-12)
    assert one[2].keys() == other[2].keys()
    for name, value in one[2].items():
        same = value == pytest.approx(other[2][name], rel=1e-10, abs=1e-12)
        assert same or (isnan(value) and isnan(other[2][name])), name


def whole_batch(
    objective: type[Objective], seed: int, count: int = 5
) -> tuple[Scores, Any, Totals]:
    chosen = examples(objective, seed, count)
    return scores_of(chosen), batch_of(objective, chosen), totals_of(objective, [chosen])


@every_objective
@given(seed=st.integers(0, 10**6), labels=st.lists(st.integers(0, 3), min_size=1, max_size=7))
def test_any_split_into_microbatches_is_the_same_step(
    objective: type[Objective], seed: int, labels: list[int]
) -> None:
    chosen = examples(objective, seed, len(labels))
    everything = [list(range(len(labels)))]
    split = [[i for i, at in enumerate(labels) if at == group] for group in sorted(set(labels))]
    assert_same_step(step(objective, chosen, everything), step(objective, chosen, split))


@every_objective
@given(seed=st.integers(0, 10**6), order=st.permutations(range(5)))
def test_order_of_examples_does_not_matter(
    objective: type[Objective], seed: int, order: list[int]
) -> None:
    chosen = examples(objective, seed, 5)
    one = step(objective, chosen, [range(5)])
    value, gradients, metrics = step(objective, [chosen[i] for i in order], [range(5)])
    back = [gradients[order.index(i)] for i in range(5)]
    assert_same_step(one, (value, back, metrics))


@every_objective
def test_doubled_data_give_the_same_loss(objective: type[Objective]) -> None:
    chosen = examples(objective, 3, 4)
    once, twice = step(objective, chosen, [range(4)]), step(objective, chosen * 2, [range(8)])
    torch.testing.assert_close(once[0], twice[0], rtol=1e-10, atol=1e-12)


@every_objective
@pytest.mark.parametrize("seed", range(4))
def test_gradient_agrees_with_finite_differences(objective: type[Objective], seed: int) -> None:
    scores, batch, totals = whole_batch(objective, seed, 3)
    given = tensors_in(scores)

    def loss(*values: Tensor) -> Tensor:
        return objective()(Scores(**dict(zip(given, values, strict=True))), batch, totals).value

    leaves = tuple(x.clone().requires_grad_() for x in given.values())
    assert torch.autograd.gradcheck(loss, leaves, eps=1e-6, atol=1e-7)


@every_objective
@pytest.mark.parametrize("size", [50.0, -50.0])
def test_finite_where_the_policy_has_moved_far(objective: type[Objective], size: float) -> None:
    scores, batch, totals = whole_batch(objective, 1)
    moved = {name: (x + size).float().requires_grad_() for name, x in tensors_in(scores).items()}
    assert_finite(objective, moved, batch, totals)


@every_objective
def test_finite_at_huge_margins(objective: type[Objective]) -> None:
    scores, batch, totals = whole_batch(objective, 2)
    sign = 1.0 - 2.0 * (torch.arange(1000) % 2)
    huge = {
        name: (1e4 * sign[: len(x)] if name in ("rewards", "values") else x * 30)
        for name, x in tensors_in(scores).items()
    }
    assert_finite(
        objective, {n: x.float().requires_grad_() for n, x in huge.items()}, batch, totals
    )


def assert_finite(
    objective: type[Objective], leaves: dict[str, Tensor], batch: Any, totals: Totals
) -> None:
    loss = objective()(Scores(**leaves), batch, totals)
    loss.value.backward()
    assert torch.isfinite(loss.value)
    for name, x in leaves.items():
        assert x.grad is None or torch.isfinite(x.grad).all(), name
    for name, mean in loss.metrics.items():
        assert torch.isfinite(torch.as_tensor(mean.value)) or mean.count == 0, name


@every_objective
def test_inputs_are_left_as_they_were(objective: type[Objective]) -> None:
    scores, batch, totals = whole_batch(objective, 5)
    inputs = tensors_in(scores) | tensors_in(batch)
    before = {name: x.clone() for name, x in inputs.items()}
    objective()(scores, batch, totals)
    for name, x in inputs.items():
        assert torch.equal(x, before[name]), name


@every_objective
def test_metrics_carry_no_gradient_and_name_their_area(objective: type[Objective]) -> None:
    leaves = with_gradients(examples(objective, 5, 4))
    batch = batch_of(objective, leaves)
    loss = objective()(scores_of(leaves), batch, totals_of(objective, [leaves]))
    assert loss.value.requires_grad and loss.value.shape == ()
    for name, mean in loss.metrics.items():
        assert re.fullmatch(r"(loss|reward|policy|value)/[a-z0-9_]+", name)
        assert not torch.as_tensor(mean.total).requires_grad, name


@every_rollout_objective
@given(seed=st.integers(0, 10**6))
def test_credit_on_pretraining_rows_changes_nothing(objective: type[Objective], seed: int) -> None:
    chosen = examples(objective, seed, 4)
    chosen[1] = replace(chosen[1], pretraining=True)
    spoiled = [
        replace(e, credit={n: x + 1e3 for n, x in e.credit.items()}) if e.pretraining else e
        for e in chosen
    ]
    assert_same_step(step(objective, chosen, [range(4)]), step(objective, spoiled, [range(4)]))
    assert set(chosen[1].credit) == set(CREDIT)


@every_rollout_objective
def test_pretraining_rows_get_a_likelihood_gradient_and_no_other(
    objective: type[Objective],
) -> None:
    chosen = [replace(e, pretraining=i == 1) for i, e in enumerate(examples(objective, 9, 3))]
    _, gradients, _ = step(objective, chosen, [range(3)])
    likelihood = gradients[1]["logps"]
    assert likelihood is not None and len(likelihood.unique()) == 1 and likelihood[0] < 0
    for name, gradient in gradients[1].items():
        if name != "logps" and gradient is not None:
            assert torch.count_nonzero(gradient) == 0, name


@every_objective
def test_settings_survive_the_way_through_a_recipe(objective: type[Objective]) -> None:
    value = objective()
    assert objective.model_validate(value.model_dump()) == value
    assert objective.model_validate_json(value.model_dump_json()) == value


@every_objective
def test_unknown_settings_and_changes_are_refused(objective: type[Objective]) -> None:
    with pytest.raises(ValidationError, match="extra_forbidden"):
        objective.model_validate({"no_such_setting": 1})
    with pytest.raises(ValidationError, match="frozen"):
        objective().kind = "other"  # pyright: ignore


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_registered_under_its_own_kind(kind: str) -> None:
    value: Any = OBJECTIVES[kind]()
    assert value.kind == kind
    assert OBJECTIVES[kind].__module__ == f"fairlead.objectives.{kind}"


@every_objective
def test_names_its_source(objective: type[Objective]) -> None:
    assert re.search(r"arXiv:\d{4}\.\d{4,5}|[A-Z]\w+ (et al\. )?(19|20)\d\d", objective.source)
    assert len(objective.title) > 5
    assert "arXiv" in (sys.modules[objective.__module__].__doc__ or "")
    assert len(objective.equation) > 10
    assert objective.choose.endswith(".")


@every_objective
def test_nothing_in_an_objective_waits_draws_or_writes(objective: type[Objective]) -> None:
    source = inspect.getsource(sys.modules[objective.__module__])
    for forbidden in (
        r"\.item\(",
        r"\.tolist\(",
        r"\.cpu\(",
        r"\.cuda\(",
        r"\brand",
        "distributed",
    ):
        assert not re.search(forbidden, source), forbidden
    assert not re.search(r"\.(add|sub|mul|div|clamp|exp|copy|fill)_\(", source)
