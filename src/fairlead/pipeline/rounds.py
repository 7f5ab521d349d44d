"""Rounds of a stage that trains several times, none of which is repeated after a stop.

Each round has a folder of its own. What it makes is kept in files, and what is there already is
read instead of made again; the runner empties the stage's folder where anything else changed.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict

from fairlead.core.files import read_json, write_json
from fairlead.core.seeds import Seed
from fairlead.data.batches import sequence_batch
from fairlead.data.chat import ChatFormat, encode
from fairlead.models.loading import Lora, load_policy
from fairlead.models.processes import from_first, is_first
from fairlead.objectives.sft import SFT
from fairlead.pipeline.stage import Context
from fairlead.records import Demonstration, Record
from fairlead.records.files import read_records, write_records
from fairlead.training.config import TrainConfig
from fairlead.training.loop import train
from fairlead.training.source import DatasetSource

R = TypeVar("R", bound=Record)
V = TypeVar("V", bound=BaseModel)


@dataclass(frozen=True)
class Round:
    """One round, from 1, and where it works; round 0 is the start, which trains nothing."""

    number: int
    folder: Path
    seed: Seed
    resume: bool

    @classmethod
    def of(cls, context: Context, number: int) -> "Round":
        """The round of that number in a stage's folder."""
        folder = context.folder / f"round-{number}"
        return cls(number, folder, context.seed.child("round", number), context.resume)

    @property
    def model(self) -> Path:
        """Where its policy is once it has been trained."""
        return self.folder / "model"


class Trained(BaseModel):
    """What is kept of a round's training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int
    """Optimizer steps."""
    note: str
    """What became of the examples."""


def kept_records(path: Path, kind: type[R], make: Callable[[], Sequence[R]]) -> list[R]:
    """The records of a file, which the first process makes and writes where it is not there."""

    def read_or_make() -> list[R]:
        if not path.exists():
            made = make()
            path.parent.mkdir(parents=True, exist_ok=True)
            write_records(path, made)
        return [record for record in read_records(path) if isinstance(record, kind)]

    return from_first(read_or_make)


def kept_value(path: Path, kind: type[V], make: Callable[[], V]) -> V:
    """The value of a JSON file, which the first process makes and writes where it is not there."""

    def read_or_make() -> V:
        if not path.exists():
            made = make()
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, made.model_dump(mode="json"))
        return kind.model_validate(read_json(path))

    return from_first(read_or_make)


def once(own: Round, work: Callable[[], Trained]) -> Trained:
    """Trains a round's policy unless it is trained already; every process takes part.

    Checkpoints are removed once the policy is whole: they serve no more.
    """
    done = own.folder / "round.json"
    if from_first(done.exists):
        return Trained.model_validate(read_json(done))
    trained = work()
    if is_first():
        write_json(done, trained.model_dump(mode="json"))
        shutil.rmtree(own.folder / "checkpoints", ignore_errors=True)
    from_first(lambda: None)  # nobody reads the folder before it is complete
    return trained


def imitate(
    own: Round,
    start: str | Path,
    records: Sequence[Demonstration],
    config: TrainConfig,
    *,
    max_length: int,
    lora: Lora | None = None,
) -> Trained:
    """Supervised fine-tuning of a round: from `start` to the round's model.

    Args:
        own: the round.
        start: the policy to start from.
        records: replies to imitate.
        config: settings of the loop.
        max_length: longest prompt plus reply, in tokens.
        lora: train adapters instead of all weights.
    """

    def work() -> Trained:
        policy = load_policy(start, lora=lora)
        length = min(max_length, policy.context)
        items, report = encode(records, ChatFormat(policy.tokenizer), max_length=length)
        source = DatasetSource.of(items, sequence_batch, config, own.seed.child("data"))
        result = train(
            policy, SFT(), source, config, seed=own.seed, run_dir=own.folder, resume=own.resume
        )
        return Trained(steps=result.steps, note=str(report))

    return once(own, work)


def publish(own: Round, context: Context) -> None:
    """Makes a round's policy the stage's own."""

    def copy() -> None:
        shutil.copytree(own.model, context.folder / "model", dirs_exist_ok=True)

    from_first(copy)


def mixed(
    records: Sequence[Demonstration], others: Sequence[Demonstration], share: float, seed: Seed
) -> list[Demonstration]:
    """Records with others mixed in, so that those are `share` of all.

    Others are drawn without repetition, until there are no more.
    """
    count = min(round(share * len(records) / (1 - share)), len(others))
    chosen = seed.numpy().permutation(len(others))[:count]
    return [*records, *(others[i] for i in chosen.tolist())]
