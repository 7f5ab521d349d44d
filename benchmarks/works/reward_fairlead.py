"""Fairlead's side of a Bradley-Terry reward model."""

import torch

from benchmarks.turns import Asked, Turns
from benchmarks.work import batches, head_weights, make_pairs, pairs_digest
from benchmarks.works.on_fairlead import fixed, item, run
from fairlead.core.allocator import tune_allocator
from fairlead.core.seeds import Seed
from fairlead.data.batches import preference_batch
from fairlead.models.loading import new_reward_model
from fairlead.objectives.bradley_terry import BradleyTerry


def main(asked: Asked) -> None:
    """Trains from the head that all sides start with."""
    steps = batches(asked.size)
    turns = Turns(len(steps))
    tune_allocator()
    model = new_reward_model(asked.model, seed=Seed(0))
    model.head.weight.data.copy_(torch.from_numpy(head_weights(asked.size)))
    turns.loaded()
    turns.facts["data"] = pairs_digest(make_pairs(asked.size))
    items = [[item(pair, n) for n, pair in enumerate(step)] for step in steps]
    run(model, BradleyTerry(), fixed(items, preference_batch), turns, asked)


if __name__ == "__main__":
    main(Asked.from_command_line())
