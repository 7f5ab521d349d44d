"""TRL's side of a Bradley-Terry reward model."""

from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from trl import RewardConfig, RewardTrainer

from benchmarks.turns import Asked, Turns
from benchmarks.work import Pair, batches, head_weights, make_pairs, pairs_digest
from benchmarks.works.on_trl import Halt, comparisons, settings, tune_if_asked


def main(asked: Asked) -> None:
    """Trains from the head that all sides start with."""
    turns = Turns(len(batches(asked.size)))
    tune_if_asked(asked)
    model = AutoModelForSequenceClassification.from_pretrained(
        asked.model, num_labels=1, dtype=torch.float32
    )
    model.score.weight.data.copy_(torch.from_numpy(head_weights(asked.size)))
    turns.loaded()
    args = RewardConfig(**settings(asked, asked.size.batch), train_sampling_strategy="sequential")
    trainer = RewardTrainer(
        model,
        args=args,
        train_dataset=Dataset.from_list(comparisons(asked)),
        processing_class=AutoTokenizer.from_pretrained(asked.model),
        callbacks=[Halt(turns)],
    )
    rows: Any = zip(trainer.train_dataset, make_pairs(asked.size), strict=True)
    turns.facts["data"] = pairs_digest(cut(row, len(pair.prompt)) for row, pair in rows)
    trainer.train()


def cut(row: dict[str, list[int]], prompt: int) -> Pair:
    """A row of whole sequences as TRL made it, cut behind the prompt."""
    chosen, rejected = row["chosen_ids"], row["rejected_ids"]
    return Pair(chosen[:prompt], chosen[prompt:], rejected[prompt:])


if __name__ == "__main__":
    main(Asked.from_command_line())
