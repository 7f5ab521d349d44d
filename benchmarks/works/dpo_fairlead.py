"""Fairlead's side of DPO; the reference is scored once, as the preference stage does."""

import time

from benchmarks.turns import Asked, Turns
from benchmarks.work import BETA, batches, make_pairs, pairs_digest
from benchmarks.works.on_fairlead import fixed, item, run, settings
from fairlead.core.allocator import tune_allocator
from fairlead.data.batches import preference_batch
from fairlead.models.loading import load_policy
from fairlead.models.reference import reference_logps
from fairlead.objectives.dpo import DPO


def main(asked: Asked) -> None:
    """Scores the reference, then trains."""
    turns = Turns(len(batches(asked.size)))
    tune_allocator()
    pairs = make_pairs(asked.size)
    items = [item(pair, number) for number, pair in enumerate(pairs)]
    policy = load_policy(asked.model)
    turns.loaded()
    started = time.perf_counter()
    known = reference_logps(
        load_policy(asked.model),
        items,
        tokens=settings().microbatch_tokens,
        cache=asked.scratch / "reference",
    )
    turns.facts |= {"once_seconds": time.perf_counter() - started, "data": pairs_digest(pairs)}
    size = asked.size.batch
    steps = [items[start : start + size] for start in range(0, len(items), size)]
    source = fixed(
        steps, lambda group: preference_batch(group, reference=lambda item: known[item.record])
    )
    run(policy, DPO(beta=BETA), source, turns, asked)


if __name__ == "__main__":
    main(Asked.from_command_line())
