"""Fairlead's side of supervised fine-tuning."""

from benchmarks.turns import Asked, Turns
from benchmarks.work import digest, packed_batches
from benchmarks.works.on_fairlead import fixed, run
from fairlead.core.allocator import tune_allocator
from fairlead.data.batches import sequence_batch
from fairlead.data.chat import Item
from fairlead.models.loading import load_policy
from fairlead.objectives.sft import SFT


def main(asked: Asked) -> None:
    """Trains on the chosen replies, in the batches that the peer's packing makes."""
    chosen = packed_batches(asked.size)
    turns = Turns(len(chosen))
    tune_allocator()
    policy = load_policy(asked.model)
    turns.loaded()
    turns.facts["data"] = digest([[[*p.prompt, *p.chosen] for p in step] for step in chosen])
    steps = [
        [Item(tuple(p.prompt), (tuple(p.chosen),), record=n) for n, p in enumerate(step)]
        for step in chosen
    ]
    run(policy, SFT(), fixed(steps, sequence_batch), turns, asked)


if __name__ == "__main__":
    main(Asked.from_command_line())
