"""Where metrics go: JSONL, TensorBoard and the terminal."""

# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false

import json
import math
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from tensorboard.compat.proto import summary_pb2
from torch.utils.tensorboard import SummaryWriter

from fairlead.core.errors import DataError
from fairlead.core.files import cannot_write

SHOWN = ("loss/total", "reward/score", "reward/accuracy", "policy/kl_k1", "time/tokens_per_second")
"""What the progress display shows, where a run has it."""

QUIET_SECONDS = 15.0
"""Between two lines where output is not a terminal."""


_summary: Any = getattr(summary_pb2, "Summary")  # noqa: B009  (made at run time, untyped)


class Logger:
    """Writes a line per logged step; only the first process has one.

    Args:
        run_dir: gets `metrics.jsonl` and `tensorboard/`.
        title: what is being trained.
        steps: optimizer steps of the run; None where nobody can tell.
        done: steps done before (a resumed run).
    """

    def __init__(self, run_dir: Path, title: str, steps: int | None, done: int) -> None:
        run_dir.mkdir(parents=True, exist_ok=True)
        self.title = title
        self.file = open(run_dir / "metrics.jsonl", "a", encoding="utf-8")  # noqa: SIM115 - see `__exit__`
        self.board = SummaryWriter(str(run_dir / "tensorboard"), purge_step=done or None)
        self.console = Console(file=sys.stderr)
        self.live = self.console.is_terminal
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.live,
        )
        self.task = self.bar.add_task(title, total=steps, completed=done, numbers="")
        self.steps = steps
        self.last_line = time.monotonic()

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Writes the metrics of a step (steps done so far)."""
        finite = {k: (v if math.isfinite(v) else None) for k, v in metrics.items()}
        with self._writing():
            self.file.write(json.dumps({"step": step, **finite}) + "\n")
            self.file.flush()
            self._to_board(step, metrics)
        numbers = "  ".join(f"{n.split('/')[1]} {metrics[n]:.4g}" for n in SHOWN if n in metrics)
        self.bar.update(self.task, completed=step, numbers=numbers)
        if not self.live and self._due(step):
            of = "" if self.steps is None else f"/{self.steps}"
            self.console.print(f"{self.title} {step}{of}  {numbers}", highlight=False)

    def _to_board(self, step: int, metrics: dict[str, float]) -> None:
        """All scalars of a line as one event."""
        # With an event each, protobuf trims the heap every hundred steps, and the next step faults
        # all of its pages again.
        writer: Any = self.board.file_writer
        summary = _summary()
        for name, value in metrics.items():
            summary.value.add(tag=name, simple_value=value)
        writer.add_summary(summary, step)

    @contextmanager
    def _writing(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            raise cannot_write(Path(self.file.name), error) from error

    def _due(self, step: int) -> bool:
        now = time.monotonic()
        ends = self.steps is not None and step >= self.steps
        if not ends and now - self.last_line < QUIET_SECONDS:
            return False
        self.last_line = now
        return True

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.bar.stop()
        try:
            with self._writing():
                self.board.close()
                self.file.close()
        except DataError:
            if error is None:  # else it only says again what stopped the run
                raise
