"""The one loop. Objectives and sources differ; this does not.

Order, fixed: count, forward, objective, backward, clip, step, reduce metrics, watch, log,
checkpoint.
"""

# torch and accelerate leave much untyped; everything else is strict.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false, reportMissingTypeStubs=false

import math
import shutil
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs

from fairlead.core.clock import Part, section
from fairlead.core.errors import CheckpointError
from fairlead.core.metrics import Mean, merge
from fairlead.core.seeds import Seed
from fairlead.data.chat import ChatFormat
from fairlead.models.loading import restore, save
from fairlead.models.policy import Policy, RewardModel
from fairlead.models.processes import WITHOUT_DEVICE, naming_dead_workers, processes
from fairlead.objectives.base import Need, Objective
from fairlead.objectives.batch import PreferenceBatch, RolloutBatch, Totals, UnpairedBatch
from fairlead.training import checks
from fairlead.training.checkpoints import (
    Progress,
    complete_checkpoints,
    cut_metrics,
    read_checkpoint,
    write_checkpoint,
)
from fairlead.training.config import TrainConfig
from fairlead.training.logger import Logger
from fairlead.training.source import ENDLESS, Ranks, Source, Step, totals_over
from fairlead.training.tracing import traced_steps

KEPT = "kept"
"""Folder of the weights that a watch may go back to, while the run lasts."""


class Watcher(Protocol):
    """Looks at the policy now and then; may end the run and go back to an earlier policy."""

    def look(self, done: int, ranks: Ranks, *, last: bool = False) -> dict[str, float]:
        """What it saw after so many steps; nothing where no look was due."""
        ...

    @property
    def finished(self) -> bool:
        """Whether the run ends here, with the policy of step `best`."""
        ...

    @property
    def best(self) -> int:
        """Steps done at the best look so far."""
        ...

    @property
    def keeps(self) -> bool:
        """Whether weights are to be kept for going back."""
        ...

    def state(self) -> dict[str, Any]:
        """What a later process needs to go on as if never stopped (JSON)."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Puts a state back."""
        ...


@dataclass(frozen=True)
class RunResult:
    """What a finished run leaves."""

    folder: Path
    """The trained model, as `from_pretrained` loads it."""
    steps: int
    metrics: dict[str, float]
    """Metrics of the last logged step."""
    seconds: float


def train(
    policy: Policy | RewardModel,
    objective: Objective,
    source: Source,
    config: TrainConfig,
    *,
    seed: Seed,
    run_dir: Path,
    resume: bool = False,
    require_eos: bool = True,
    starts_at_reference: bool = True,
    watcher: Watcher | None = None,
) -> RunResult:
    """Trains a policy or reward model and saves it under `run_dir/model`.

    Args:
        policy: what to train; parameters that do not require gradients stay frozen.
        objective: turns scores into a loss.
        source: where steps come from.
        config: settings of the loop.
        seed: of this stage.
        run_dir: gets metrics, checkpoints and the model.
        resume: go on from the newest checkpoint, bit for bit.
        require_eos: stop when no reply of the first step ends with EOS.
        starts_at_reference: the reference is the policy before the first step.
        watcher: looks at the policy before the first step, now and then, and after the last.

    Raises:
        TrainingError: a self-check failed, a number is not finite, the KL exploded, or another
            process died.
        CheckpointError: a checkpoint cannot be written or read.
    """
    with naming_dead_workers():
        run = _Run(policy, objective, source, config, seed, run_dir, watcher)
        done = run.resume() if resume else run.fresh()
        started = time.monotonic()
        metrics: dict[str, float] = {}
        with run.logger(done) as logger, traced_steps(source, done) as begins:
            for index in range(done, source.steps):
                if run.ended(index):
                    break
                begins(index)
                with section(Part.DATA):
                    step = source.step(index, run.ranks)
                if index == 0:
                    run.check_start(step, require_eos, starts_at_reference)
                    run.look(0, logger)
                metrics = run.step(index, step)
                source.observe(metrics)
                seen = run.look(index + 1)
                run.report(index + 1, step, metrics | seen, logger, looked=bool(seen))
        run.wait()
        run.go_back()
        if run.accelerator.is_main_process:
            with section(Part.CHECKPOINT):
                save(policy, run_dir / "model")
                shutil.rmtree(run_dir / KEPT, ignore_errors=True)
        run.wait()
    return RunResult(run_dir / "model", source.steps, metrics, time.monotonic() - started)


class _Run:
    """The parts of a run that live from its first step to its last."""

    def __init__(
        self,
        policy: Policy | RewardModel,
        objective: Objective,
        source: Source,
        config: TrainConfig,
        seed: Seed,
        run_dir: Path,
        watcher: Watcher | None,
    ) -> None:
        processes()  # joins them, and has them part in order when the interpreter ends
        # accelerate divides the loss by gradient_accumulation_steps; totals are global already.
        unused = DistributedDataParallelKwargs(broadcast_buffers=False)
        self.accelerator = Accelerator(
            cpu=WITHOUT_DEVICE, gradient_accumulation_steps=1, kwargs_handlers=[unused]
        )
        self.policy = policy
        self.objective = objective
        self.source = source
        self.config = config
        self.seed = seed
        self.run_dir = run_dir
        self.watcher = watcher
        self.ranks = Ranks(
            self.accelerator.process_index, self.accelerator.num_processes, self._add
        )
        policy.to(self.accelerator.device)
        policy.train()
        self.trained = [p for p in policy.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(
            self.trained,
            lr=config.learning_rate,
            betas=config.betas,
            eps=config.epsilon,
            weight_decay=config.weight_decay,
            fused=True,
        )
        # Before DDP, which would copy the first process's weights over all others in silence.
        checks.check_weights_agree(self.ranks, policy)
        self.module, self.optimizer = self.accelerator.prepare(policy, optimizer)
        self.clock = time.monotonic()
        self.saved = 0
        self.spent = 0
        self.unlogged: dict[str, Mean] = {}
        """What sources reported since the last logged line: every report counts once."""

    def _add(self, x: torch.Tensor) -> torch.Tensor:
        if self.accelerator.num_processes == 1:
            return x
        with section(Part.WAITING):
            on_device = x.to(self.accelerator.device)
            added: Any = self.accelerator.reduce(on_device, reduction="sum")
            return added.to(x.device)

    def wait(self) -> None:
        """Until all processes are here."""
        with section(Part.WAITING):
            self.accelerator.wait_for_everyone()

    def fresh(self) -> int:
        """Starts at step 0; refuses to write over an earlier attempt."""
        if complete_checkpoints(self.run_dir):
            raise CheckpointError(
                "this folder already holds checkpoints of an earlier run",
                where=str(self.run_dir),
                remedy="add --resume to go on, or choose another folder",
            )
        if self.accelerator.is_main_process:
            (self.run_dir / "metrics.jsonl").unlink(missing_ok=True)
            shutil.rmtree(self.run_dir / KEPT, ignore_errors=True)
        return 0

    def resume(self) -> int:
        """Goes back to the newest checkpoint; step 0 where there is none yet."""
        found = complete_checkpoints(self.run_dir)
        done = 0
        if found:
            progress = read_checkpoint(found[-1], self.policy, self.optimizer.optimizer)
            self.source.restore(progress.source)
            if self.watcher is not None:
                self.watcher.restore(progress.watch)
            self.spent = progress.spent
            self.unlogged = {name: Mean(*pair) for name, pair in progress.unlogged.items()}
            done = self.saved = progress.step
        if self.accelerator.is_main_process:
            cut_metrics(self.run_dir / "metrics.jsonl", done)
        return done

    def logger(self, done: int) -> Any:
        """The log of the first process; nothing on the others."""
        if not self.accelerator.is_main_process:
            return nullcontext()
        endless = self.source.steps >= ENDLESS
        steps = None if endless else self.source.steps
        return Logger(self.run_dir, self.objective.title, steps, done)

    def check_start(self, step: Step, require_eos: bool, starts_at_reference: bool) -> None:
        """The checks of the first step."""
        totals = totals_over(self.ranks, step.totals())
        checks.check_counts(totals, self.objective)
        if not isinstance(self.policy, Policy):
            return
        if require_eos:
            checks.check_ends(step, ChatFormat(self.policy.tokenizer).eos, self.ranks)
        first: Any = step.microbatches[0].to(self.policy.device)
        compared = isinstance(first, PreferenceBatch | UnpairedBatch)
        if Need.REFERENCE in self.objective.needs and compared:
            checks.check_reference(self.policy, first, is_start=starts_at_reference)
        if isinstance(first, RolloutBatch):
            checks.check_ratio(self.policy, first)
            checks.check_first_kl(step.metrics, is_start=starts_at_reference)

    def step(self, index: int, step: Step) -> dict[str, float]:
        """One optimizer step; returns its metrics, reduced over all processes."""
        torch.manual_seed(self.seed.child("step", index).value)
        totals = totals_over(self.ranks, step.totals())
        prepared = int(self._add(torch.tensor(step.passes)))
        if not totals.tokens:
            self.spent += prepared
            return self._reduced(step.metrics)
        if self.objective.has_statistics:
            totals = replace(totals, statistics=self._statistics(step))
        parts = [step.metrics]
        last = len(step.microbatches) - 1
        for number, batch in enumerate(step.microbatches):
            holding = self.accelerator.no_sync(self.module) if number < last else nullcontext()
            with holding:
                parts.append(self._backward(batch, totals))
        rate = self._rate(index)
        norm = self._update(rate)
        metrics = self._reduced(merge(parts))
        metrics["train/gradient_norm"] = norm
        metrics["train/learning_rate"] = rate
        self.spent += prepared + 3 * int(totals.tokens)
        metrics["train/token_passes"] = self.spent
        return metrics | self._speed(totals)

    def look(self, done: int, logger: Logger | None = None) -> dict[str, float]:
        """What the watcher saw, logged at once where a logger is given; keeps the best weights."""
        if self.watcher is None:
            return {}
        seen = self.watcher.look(done, self.ranks, last=done > 0 and self.ended(done))
        if seen and self.watcher.keeps and self.watcher.best == done:
            with section(Part.CHECKPOINT):
                if self.accelerator.is_main_process:
                    save(self.policy, self._kept(done))
        if seen and logger is not None:
            logger.log(done, seen)
        return seen

    def go_back(self) -> None:
        """Takes the weights of the watcher's best look where it ended the run."""
        if self.watcher is not None and self.watcher.finished:
            restore(self.policy, self._kept(self.watcher.best))

    def _kept(self, done: int) -> Path:
        return self.run_dir / KEPT / f"step-{done:08d}"

    def ended(self, done: int) -> bool:
        """Whether no step follows."""
        stopped = self.watcher is not None and self.watcher.finished
        return done == self.source.steps or self.source.finished or self.exhausted or stopped

    def _update(self, rate: float) -> float:
        """Clips the gradients and takes the step; returns the norm they had."""
        with section(Part.OPTIMIZER):
            clipped: Any = self.accelerator.clip_grad_norm_(self.trained, self.config.max_grad_norm)
            norm = float(clipped)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            if math.isfinite(norm):
                self.optimizer.step()
            self.optimizer.zero_grad()
        return norm

    @property
    def exhausted(self) -> bool:
        """Whether the budget of work is spent."""
        budget = self.config.max_token_passes
        return budget is not None and self.spent >= budget

    def _rate(self, index: int) -> float:
        if self.config.max_token_passes is None:
            return self.config.rate(index, self.source.steps)
        return self.config.rate_after(self.spent)

    @torch.no_grad()
    def _statistics(self, step: Step) -> tuple[float, ...]:
        """Sums over the whole step that the objective needs before any loss."""
        total = torch.zeros((), dtype=torch.float64, device=self.accelerator.device)
        with section(Part.FORWARD):
            for batch in step.microbatches:
                batch = batch.to(self.accelerator.device)
                scores = self.policy(self.objective.preview(batch), self.objective.needs)
                total = total + self.objective.statistics(scores, batch).double()
        return tuple(self._add(total).tolist())

    def _backward(self, batch: Any, totals: Totals) -> dict[str, Mean]:
        with section(Part.FORWARD):
            batch = batch.to(self.accelerator.device)
            scores = self.module(batch.packed, self.objective.needs)
            loss = self.objective(scores, batch, totals)
        with section(Part.BACKWARD):
            # DDP averages gradients over processes; the loss is divided by global counts already.
            self.accelerator.backward(loss.value * self.ranks.count)
        # Every process adds its part of the loss once: the sum over all of them is the loss.
        share = Mean(loss.value.detach(), 0.0)
        return {**loss.metrics, "loss/total": share}

    def _reduced(self, metrics: dict[str, Mean]) -> dict[str, float]:
        with section(Part.LOGGING):
            names = sorted(metrics)
            flat = [x for n in names for x in (metrics[n].total, metrics[n].count)]
            sums: list[float] = self._add(self._numbers(flat)).tolist()
            pairs = dict(zip(names, zip(sums[::2], sums[1::2], strict=True), strict=True))
            values = {n: Mean(*pair).value for n, pair in pairs.items()}
        if "loss/total" in values:
            values["loss/total"] = pairs["loss/total"][0]
        return values

    def _numbers(self, values: Sequence[Any]) -> torch.Tensor:
        """Numbers and one-element tensors side by side, fetched from the device all at once."""
        device, wide = self.accelerator.device, torch.float64
        tensors = [x.detach().to(device, wide).reshape(()) for x in values if torch.is_tensor(x)]
        fetched = iter(torch.stack(tensors).tolist() if tensors else [])
        plain = [next(fetched) if torch.is_tensor(x) else x for x in values]
        return torch.tensor(plain, dtype=wide)

    def _speed(self, totals: Totals) -> dict[str, float]:
        now = time.monotonic()
        seconds, self.clock = now - self.clock, now
        return {"time/step_seconds": seconds, "time/tokens_per_second": totals.tokens / seconds}

    def report(
        self,
        done: int,
        step: Step,
        metrics: dict[str, float],
        logger: Logger | None,
        *,
        looked: bool,
    ) -> None:
        """Logs, checks the numbers, and writes a checkpoint where one is due."""
        once = {name: Mean(metrics[name], 1.0) for name in step.metrics}
        self.unlogged = merge([self.unlogged, once])
        if done % self.config.log_every == 0 or looked or self.ended(done):
            carried = {name: mean.value for name, mean in self.unlogged.items()}
            self.unlogged = {}
            if logger is not None:
                with section(Part.LOGGING):
                    logger.log(done, metrics | carried)
        kept = (
            f"kept: {[p.name for p in complete_checkpoints(self.run_dir)] or 'no checkpoint yet'}"
        )
        checks.check_sane(done, metrics, max_kl=self.config.max_kl, kept=kept)
        if not self._due(done):
            return
        self.saved = done
        if self.accelerator.is_main_process:
            with section(Part.CHECKPOINT):
                self._write_checkpoint(done)

    def _write_checkpoint(self, done: int) -> None:
        unlogged = {name: (mean.total, mean.count) for name, mean in self.unlogged.items()}
        watch = {} if self.watcher is None else self.watcher.state()
        write_checkpoint(
            self.run_dir,
            self.policy,
            self.optimizer.optimizer,
            Progress(done, self.source.state(), self.spent, unlogged, watch),
            keep=self.config.keep_checkpoints,
        )
        if self.watcher is not None:
            # Whoever goes on from this checkpoint needs the best look up to it, and no other.
            for folder in (self.run_dir / KEPT).glob("step-*"):
                if folder != self._kept(self.watcher.best):
                    shutil.rmtree(folder)

    def _due(self, done: int) -> bool:
        every = self.config.checkpoint_every or max(self._expected_steps(done) // 10, 1)
        return done < self.source.steps and done - self.saved >= every and self.source.between(done)

    def _expected_steps(self, done: int) -> int:
        """Steps of the whole run, as far as can be told."""
        budget = self.config.max_token_passes
        if budget is None or not self.spent:
            return self.source.steps
        return min(self.source.steps, done * budget // self.spent)
