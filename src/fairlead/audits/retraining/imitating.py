"""Supervised fine-tuning of a copy, as a user of the model might do it."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt

from fairlead.audits.retraining.watching import Look, Watched
from fairlead.core.seeds import Seed
from fairlead.data.batches import sequence_batch
from fairlead.data.chat import ChatFormat, EncodingReport, encode
from fairlead.models.loading import Lora
from fairlead.models.policy import Policy
from fairlead.objectives.sft import SFT
from fairlead.records import Demonstration
from fairlead.training.config import TrainConfig
from fairlead.training.loop import train
from fairlead.training.source import DatasetSource


class FineTuning(BaseModel):
    """How a copy is fine-tuned: short, as those do it who adapt a model to their field."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: PositiveInt = 100
    """Optimizer steps; the data begin anew until they are done."""
    batch_size: PositiveInt = 16
    """Examples per step."""
    learning_rate: PositiveFloat = 1e-4
    """Highest rate; adapters take ten times that of full training."""
    lora: Lora | None = Lora()
    """Train adapters; null trains all weights."""
    max_length: PositiveInt = 512
    """Longest prompt plus reply, in tokens."""
    microbatch_tokens: PositiveInt = 2048
    """Tokens computed at once, the memory knob."""


def fine_tuned(
    policy: Policy,
    records: Sequence[Demonstration],
    settings: FineTuning,
    seed: Seed,
    *,
    look: Look | None = None,
    at: tuple[int, ...] = (),
) -> EncodingReport:
    """Trains a policy in place on replies to imitate.

    Args:
        policy: a copy, see `copy_of`.
        records: what to imitate.
        settings: how long and how fast.
        seed: of the order of the data.
        look: called with the steps done, before the steps in `at` and after the last.
        at: steps before which to look.

    Returns:
        What became of the records.

    Raises:
        DataError: no record fits.
        TrainingError: a self-check of the loop failed.
    """
    chat, length = ChatFormat(policy.tokenizer), min(settings.max_length, policy.context)
    items, report = encode(records, chat, max_length=length)
    per_epoch = -(-len(items) // settings.batch_size)
    config = TrainConfig(
        batch_size=settings.batch_size,
        epochs=-(-settings.steps // per_epoch),
        max_steps=settings.steps,
        learning_rate=settings.learning_rate,
        microbatch_tokens=settings.microbatch_tokens,
    )
    source = DatasetSource.of(items, sequence_batch, config, seed.child("data"))
    watched = Watched(source, look or _nobody, at)
    ends = not all(record.prompt.continues for record in records)  # those that go on have no EOS
    with tempfile.TemporaryDirectory() as folder:
        train(policy, SFT(), watched, config, seed=seed, run_dir=Path(folder), require_eos=ends)
    if look is not None and settings.steps in at:
        look(settings.steps)
    return report


def _nobody(_: int) -> None:
    """Does not look."""
