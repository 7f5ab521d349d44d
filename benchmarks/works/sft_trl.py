"""TRL's side of supervised fine-tuning: SFTTrainer with packing, its fastest option."""

from itertools import islice

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

from benchmarks.turns import Asked, Turns
from benchmarks.work import PACK_LENGTH, PACKS, digest, make_pairs, packed_batches, text
from benchmarks.works.on_trl import Halt, settings, tune_if_asked


def main(asked: Asked) -> None:
    """Trains on the chosen replies until told to stop."""
    turns = Turns(len(packed_batches(asked.size)))
    tune_if_asked(asked)
    policy = AutoModelForCausalLM.from_pretrained(asked.model, dtype=torch.float32)
    turns.loaded()
    rows = [
        {"prompt": text(pair.prompt), "completion": " " + text(pair.chosen)}
        for pair in make_pairs(asked.size)
    ]
    args = SFTConfig(
        **settings(asked, PACKS),
        train_sampling_strategy="sequential",
        packing=True,
        max_length=PACK_LENGTH,
    )
    trainer = SFTTrainer(
        policy,
        args=args,
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(asked.model),
        callbacks=[Halt(turns)],
    )
    turns.facts["data"] = digest(seen(trainer.train_dataset))
    trainer.train()


def seen(packs: Dataset) -> list[list[list[int]]]:
    """The sequences of each batch, as TRL packed them."""
    cut = [_cut(row["input_ids"], row["seq_lengths"]) for row in packs]
    starts = range(0, len(cut), PACKS)
    return [[own for pack in cut[start : start + PACKS] for own in pack] for start in starts]


def _cut(ids: list[int], lengths: list[int]) -> list[list[int]]:
    rest = iter(ids)
    return [list(islice(rest, length)) for length in lengths]


if __name__ == "__main__":
    main(Asked.from_command_line())
