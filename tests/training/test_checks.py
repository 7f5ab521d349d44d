"""Each self-check fires for its own reason and stays silent otherwise."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fairlead.core.errors import TrainingError
from fairlead.core.metrics import Mean
from fairlead.core.seeds import Seed
from fairlead.data.batches import (
    mismatches,
    pack,
    preference_batch,
    sequence_batch,
    unpaired_batch,
)
from fairlead.data.chat import Item
from fairlead.models.loading import Lora
from fairlead.models.policy import Policy
from fairlead.models.reference import reference_logps, sequence_logps
from fairlead.objectives.base import Need
from fairlead.objectives.batch import RolloutBatch, Totals
from fairlead.objectives.bradley_terry import BradleyTerry
from fairlead.objectives.dpo import DPO
from fairlead.objectives.sft import SFT
from fairlead.training import checks
from fairlead.training.checkpoints import complete_checkpoints, read_checkpoint
from fairlead.training.config import TrainConfig
from fairlead.training.loop import RunResult, train
from fairlead.training.source import DatasetSource, Ranks, Step
from small_world import (
    LENGTH,
    comparisons,
    demonstrations,
    items_of,
    metrics_of,
    tiny_policy,
    tokenizer,
)

CONFIG = TrainConfig(learning_rate=1e-3, checkpoint_every=2, schedule="constant", warmup=0)


def endless(items: Sequence[Item]) -> list[Item]:
    """The same replies without their EOS."""
    return [replace(item, responses=tuple(r[:-1] for r in item.responses)) for item in items]


def imitate(items: Sequence[Item], folder: Path, **changes: Any) -> RunResult:
    source = DatasetSource(items, sequence_batch, 4, 4, 512, Seed(0))
    config = changes.pop("config", CONFIG)
    return train(tiny_policy(), SFT(), source, config, seed=Seed(0), run_dir=folder, **changes)


def prefer(policy: Policy, reference: Policy, folder: Path, **changes: Any) -> RunResult:
    items = items_of(comparisons(8))
    known = reference_logps(reference, items, tokens=512, cache=folder / "reference")
    scores = {item.record: own for item, own in zip(items, known, strict=True)}

    def collate(group: Sequence[Item]) -> Any:
        return preference_batch(group, reference=lambda item: scores[item.record])

    source = DatasetSource(items, collate, 4, 1, 512, Seed(0))
    return train(policy, DPO(), source, CONFIG, seed=Seed(0), run_dir=folder, **changes)


def perturbed(policy: Policy) -> Policy:
    for name, parameter in policy.named_parameters():
        if "lora_B" in name:
            parameter.data += 1e-3
    return policy


@pytest.mark.parametrize(
    ("objective", "totals"),
    [
        (SFT(), Totals(sequences=3, tokens=50)),
        (DPO(), Totals(sequences=2, rows=9, tokens=50)),
        (BradleyTerry(), Totals(sequences=2, rows=9, tokens=50)),
    ],
)
def test_empty_masks(objective: Any, totals: Totals) -> None:
    with pytest.raises(TrainingError, match="every mask is empty") as caught:
        checks.check_counts(totals, objective)
    assert "max_length" in caught.value.remedy
    checks.check_counts(replace(totals, rows=1, groups=1.0), objective)


def test_no_reply_ends(tmp_path: Path) -> None:
    items = endless(items_of(demonstrations(8)))
    with pytest.raises(TrainingError, match="no reply in the first step ends with EOS") as caught:
        imitate(items, tmp_path / "refused")
    assert caught.value.expected == f"token {tokenizer().eos_token_id} at the end of replies"
    assert "max_new_tokens" in caught.value.remedy and "require_eos: false" in caught.value.remedy
    assert metrics_of(tmp_path / "refused") == []
    assert imitate(items, tmp_path / "allowed", require_eos=False).steps == 8


def test_an_end_in_another_process_is_enough() -> None:
    items = items_of(demonstrations(2))
    step = Step([sequence_batch(endless(items))])
    eos = items[0].responses[0][-1]
    with pytest.raises(TrainingError, match="EOS"):
        checks.check_ends(step, eos, Ranks(0, 2))
    checks.check_ends(step, eos, Ranks(0, 2, add=lambda own: own + 1))


def test_policy_is_not_its_reference(tmp_path: Path) -> None:
    policy = perturbed(tiny_policy(lora=Lora(rank=2)))
    with pytest.raises(TrainingError, match="the policy is not its reference") as caught:
        prefer(policy, policy, tmp_path)
    assert caught.value.expected == "a log-ratio of exactly 0 on every token"
    assert float(caught.value.got.split()[0]) > 0 and "adapters must start at zero" in str(
        caught.value
    )


def test_fresh_adapters_are_their_reference(tmp_path: Path) -> None:
    policy = tiny_policy(lora=Lora(rank=2))
    prefer(policy, policy, tmp_path)
    first = metrics_of(tmp_path)[0]
    assert first["loss/dpo"] == pytest.approx(math.log(2), abs=1e-6)
    assert first["policy/log_ratio_abs"] < 1e-4  # packs differ, so sums round differently


def test_scores_of_another_reference(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="cached reference log-prob") as caught:
        prefer(tiny_policy(), tiny_policy(seed=1), tmp_path / "refused")
    assert "remove the reference cache" in caught.value.remedy and float(caught.value.got) > 0.1
    result = prefer(
        tiny_policy(), tiny_policy(seed=1), tmp_path / "named", starts_at_reference=False
    )
    assert result.steps == 2


@pytest.mark.parametrize("part", ["reference", "mismatched_reference"])
def test_scores_of_another_reference_on_single_replies(part: str) -> None:
    policy, items = tiny_policy(), items_of(demonstrations(4))
    swapped = mismatches(items, Seed(0), max_length=LENGTH)
    known, other = (sequence_logps(policy, own, tokens=512) for own in (items, swapped))
    batch = unpaired_batch(
        items,
        desirable=lambda item: item.record % 2 == 0,
        reference=lambda item: known[item.record][0],
        mismatched=lambda item: swapped[item.record],
        mismatched_reference=lambda item: other[item.record][0],
    )
    checks.check_reference(policy, batch, is_start=True)
    wrong = replace(batch, **{part: getattr(batch, part) - 3.0})
    with pytest.raises(TrainingError, match="cached reference log-prob"):
        checks.check_reference(policy, wrong, is_start=True)
    checks.check_reference(policy, wrong, is_start=False)


@pytest.mark.parametrize("damage", [0.1, math.nan])
def test_stale_reference_cache(tmp_path: Path, damage: float) -> None:
    policy, items = tiny_policy(), items_of(comparisons(8))
    reference_logps(policy, items, tokens=512, cache=tmp_path / "reference")
    (file,) = (tmp_path / "reference").rglob("logps.npy")
    np.save(file, np.load(file) + np.float32(damage * 20))
    with pytest.raises(TrainingError, match="do not belong to this model and data"):
        prefer(policy, policy, tmp_path)


def test_processes_with_different_weights() -> None:
    policy = tiny_policy()

    def other(change: float) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda own: own + torch.stack([own[0] * 0, own[0] + change])

    checks.check_weights_agree(Ranks(0, 2, add=other(0.0)), policy)
    with pytest.raises(TrainingError, match="the processes hold different weights") as caught:
        checks.check_weights_agree(Ranks(0, 2, add=other(1e-6)), policy)
    assert "the same model files" in caught.value.remedy


@dataclass(frozen=True)
class Poisoned(DatasetSource):
    """Spoils the policy just before a step."""

    policy: Policy | None = None
    at: int = 0

    def step(self, index: int, ranks: Ranks) -> Step:
        if index == self.at:
            assert self.policy is not None
            self.policy.model.lm_head.weight.data[0, 0] = math.nan
        return super().step(index, ranks)


def test_nan_names_step_and_metric_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    policy = tiny_policy()
    items = items_of(demonstrations(16))
    source = Poisoned(items, sequence_batch, 4, 2, 512, Seed(0), policy=policy, at=5)
    with pytest.raises(TrainingError, match=r"loss/total is nan at step 6") as caught:
        train(policy, SFT(), source, CONFIG, seed=Seed(0), run_dir=tmp_path)
    assert caught.value.where == "step 6" and "loss/nll=nan" in caught.value.got
    assert "learning_rate" in caught.value.remedy
    assert "kept: ['step-00000004']" in caught.value.remedy
    good = tiny_policy(seed=1)
    (kept,) = complete_checkpoints(tmp_path)
    assert read_checkpoint(kept, good, torch.optim.AdamW(good.parameters())).step == 4
    assert all(bool(torch.isfinite(p).all()) for p in good.parameters())
    assert metrics_of(tmp_path)[-1]["loss/total"] is None  # JSON has no NaN


def test_learning_rate_beyond_reason(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(TrainingError, match=r"is nan at step 2|is inf at step 2") as caught:
        imitate(items_of(demonstrations(16)), tmp_path, config=config)
    assert "no checkpoint yet" in caught.value.remedy


def test_no_step_is_taken_with_a_gradient_that_is_not_finite(tmp_path: Path) -> None:
    policy = tiny_policy()
    source = Poisoned(
        items_of(demonstrations(8)), sequence_batch, 4, 1, 512, Seed(0), policy=policy, at=0
    )
    before = policy.model.model.norm.weight.detach().clone()
    with pytest.raises(TrainingError, match="nan at step 1"):
        train(policy, SFT(), source, CONFIG, seed=Seed(0), run_dir=tmp_path)
    assert torch.equal(policy.model.model.norm.weight, before)


@pytest.mark.parametrize("kl", [5.1, math.nan, math.inf])
def test_exploding_kl(kl: float) -> None:
    metrics = {"loss/total": 0.1, "train/gradient_norm": 1.0, "policy/kl_k1": kl}
    with pytest.raises(TrainingError, match=r"policy/kl_k1 is .* at step 9") as caught:
        checks.check_sane(9, metrics, max_kl=5.0, kept="kept: x")
    assert caught.value.expected == "at most max_kl = 5.0 nats per reply"
    assert "KL coefficient" in caught.value.remedy and "kept: x" in caught.value.remedy


@pytest.mark.parametrize("kl", [{}, {"policy/kl_k1": 5.0}, {"policy/kl_k1": -0.3}])
def test_sane_numbers_pass(kl: dict[str, float]) -> None:
    metrics = {"loss/total": 0.1, "train/gradient_norm": 1.0, **kl}
    checks.check_sane(9, metrics, max_kl=5.0, kept="")


def test_first_replies_must_come_from_the_reference_itself():
    checks.check_first_kl({"policy/kl_k3": Mean(0.0, 4)}, is_start=True)
    checks.check_first_kl({"policy/kl_k3": Mean(1e-11, 4)}, is_start=True)
    checks.check_first_kl({"policy/kl_k3": Mean(0.1, 4)}, is_start=False)
    with pytest.raises(TrainingError, match="not its reference") as failure:
        checks.check_first_kl({"policy/kl_k3": Mean(1e-5, 4)}, is_start=True)
    assert "at most 1e-06" in failure.value.expected


@pytest.mark.parametrize(
    ("dtype", "gap", "passes"),
    [
        (torch.float32, 0.0005, True),
        (torch.float32, 0.1, False),
        (torch.bfloat16, 0.1, True),
        (torch.bfloat16, 0.5, False),
    ],
)
def test_ratios_may_be_off_by_what_the_precision_allows(
    dtype: torch.dtype, gap: float, passes: bool
) -> None:
    policy = tiny_policy()
    policy.model.to(dtype)
    packed = pack(items_of(demonstrations(3)))
    with torch.no_grad():
        logps = policy(packed, frozenset({Need.LOGPS})).logps
    nothing = torch.zeros_like(logps)
    batch = RolloutBatch(
        packed=packed,
        old_logps=logps + gap,
        advantages=nothing,
        returns=nothing,
        old_values=nothing,
        pretraining=nothing.bool(),
    )
    if passes:
        checks.check_ratio(policy, batch)
        return
    with pytest.raises(TrainingError, match="ratio of new to old"):
        checks.check_ratio(policy, batch)
