"""Rollouts kept on disk, and brought back to be compared number by number.

A recording holds, per rollout batch and process, what was sampled and what every token was worth.
A replay feeds the same replies to changed settings or code: rewards and credit are computed anew,
and each number is held against the recorded one.
"""

# torch leaves much untyped; everything else is strict.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fairlead.core.errors import DataError
from fairlead.core.files import cannot_write, write_bytes
from fairlead.generation.sampling import Rollout
from fairlead.training.collecting import Collector, Experience
from fairlead.training.source import Ranks

if TYPE_CHECKING:
    from fairlead.training.rollouts import Credited

COMPARED = ("scores", "logps", "reference", "advantages", "returns")
"""What a replay compares, as named in a recording."""


@dataclass
class Difference:
    """How far a quantity of the replay lies from the recorded one."""

    largest: float = 0.0
    """Largest absolute difference."""
    first: int | None = None
    """The first rollout batch in which there is any."""
    numbers: int = 0
    """How many were compared."""


@dataclass
class Recorder:
    """Writes rollouts to a folder, or reads them from one.

    Args:
        folder: where this run's rollouts are kept; None keeps none.
        source: a recording to replay; None samples as usual.
    """

    folder: Path | None = None
    source: Path | None = None
    differences: dict[str, Difference] = field(default_factory=dict[str, Difference])
    """What the replay has found so far, by quantity."""

    @property
    def replays(self) -> bool:
        """Whether replies come from a recording."""
        return self.source is not None

    def keep(
        self, iteration: int, ranks: Ranks, experience: Experience, credited: "Sequence[Credited]"
    ) -> None:
        """Writes one rollout batch, and compares it with the recorded one in a replay."""
        rows = _rows(experience, credited)
        if self.source is not None:
            self._compare(iteration, _read(_file(self.source, iteration, ranks)), rows)
        if self.folder is not None:
            _write(_file(self.folder, iteration, ranks), rows)

    def replayed(self, collector: Collector, iteration: int, ranks: Ranks) -> Experience:
        """The recorded replies of an iteration, scored anew.

        Raises:
            DataError: the recording is shorter, or of other prompts.
        """
        assert self.source is not None
        path = _file(self.source, iteration, ranks)
        return collector.again([_rollout(row) for row in _read(path)], where=str(path))

    def _compare(
        self, iteration: int, recorded: list[dict[str, Any]], now: list[dict[str, Any]]
    ) -> None:
        for name in COMPARED:
            found = self.differences.setdefault(name, Difference())
            then = torch.tensor([x for row in recorded for x in row[name]], dtype=torch.float64)
            here = torch.tensor([x for row in now for x in row[name]], dtype=torch.float64)
            gap = float((then - here).abs().max())
            found.numbers += then.numel()
            if gap > 0 and found.first is None:
                found.first = iteration
            found.largest = max(found.largest, gap)


def _file(folder: Path, iteration: int, ranks: Ranks) -> Path:
    return folder / f"batch-{iteration:06}.process-{ranks.index}.jsonl.gz"


def _rows(experience: Experience, credited: "Sequence[Credited]") -> list[dict[str, Any]]:
    """One row per reply."""
    sizes = [[len(r) for r in c.item.responses] for c in credited]
    cut = {
        name: [
            part.tolist()
            for c, own in zip(credited, sizes, strict=True)
            for part in c.rows[key].split(own)
        ]
        for name, key in (
            ("logps", "old_logps"),
            ("reference", "reference"),
            ("advantages", "advantages"),
            ("returns", "returns"),
        )
    }
    values = experience.scored.values.tolist()
    return [
        {
            "prompt_index": rollout.prompt_index,
            "sample": rollout.sample,
            "record": experience.asked[rollout.prompt_index][0],
            "prompt": list(rollout.prompt),
            "tokens": list(rollout.tokens),
            "sampler_logps": list(rollout.logps),
            "finish": rollout.finish,
            "text": reply.text,
            "scores": [value],
            **{name: cut[name][place] for name in cut},
        }
        for place, (rollout, reply, value) in enumerate(
            zip(experience.rollouts, experience.replies, values, strict=True)
        )
    ]


def _rollout(row: dict[str, Any]) -> tuple[int, Rollout]:
    """The record that was asked about, and the reply."""
    return row["record"], Rollout(
        prompt_index=row["prompt_index"],
        sample=row["sample"],
        prompt=tuple(row["prompt"]),
        tokens=tuple(row["tokens"]),
        logps=tuple(row["sampler_logps"]),
        finish=row["finish"],
    )


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path.parent, error) from error
    # A fixed time stamp, so that equal rollouts give equal bytes.
    write_bytes(path, gzip.compress(text.encode(), mtime=0))


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]
    except FileNotFoundError as error:
        raise DataError(
            "the recording has no such rollout batch",
            where=str(path),
            remedy="replay at most as many iterations, with as many processes, as were recorded "
            "with --record",
        ) from error
    except (OSError, ValueError) as error:
        raise DataError("the recording is damaged", where=str(path), got=str(error)) from error
