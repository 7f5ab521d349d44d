"""Log-probabilities under the frozen reference: computed once, kept by content hash."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from fairlead.core.files import whole_folder
from fairlead.data.batches import microbatches, pack
from fairlead.data.chat import Item
from fairlead.functional.reductions import segment_sum
from fairlead.models.loading import fingerprint
from fairlead.models.policy import Policy
from fairlead.models.processes import from_first, gathered, processes
from fairlead.objectives.base import Need


@torch.no_grad()
def reference_logps(
    reference: Policy, items: Sequence[Item], *, tokens: int, cache: Path
) -> list[list[float]]:
    """Summed log-probability of each reply of each item under the reference, in nats.

    Several processes share the work, and the first one writes.

    Args:
        reference: the frozen policy; a peft policy is scored with its adapters off.
        items: prompts and replies.
        tokens: tokens computed at once.
        cache: folder that keeps results by hash of weights and tokens.
    """
    known = cache / _key(reference, items)
    if not known.exists():
        scores = _scores(reference, items, tokens)
        from_first(lambda: _keep(known, scores))
    flat = iter(np.load(known / "logps.npy").tolist())
    return [[next(flat) for _ in item.responses] for item in items]


def _scores(reference: Policy, items: Sequence[Item], tokens: int) -> np.ndarray:
    own, count = processes().process_index, processes().num_processes
    numbered = [Item(i.prompt, i.responses, i.ranks, n) for n, i in enumerate(items)]
    sums = dict(gathered(_share(reference, numbered[own::count], tokens)))
    return np.array([value for n in range(len(items)) for value in sums[n]], dtype=np.float32)


def _share(reference: Policy, items: Sequence[Item], tokens: int) -> list[tuple[int, list[float]]]:
    """Number and sums of each item in this process's share."""
    sums: list[tuple[int, list[float]]] = []
    with reference.as_reference():
        for group in microbatches(items, tokens):
            packed = pack(group).to(reference.device)
            logps = reference(packed, frozenset({Need.LOGPS})).logps
            values = iter(segment_sum(logps, packed.row_sequence, packed.sequences).tolist())
            sums += [(item.record, [next(values) for _ in item.responses]) for item in group]
    return sums


def _keep(known: Path, scores: np.ndarray) -> None:
    with whole_folder(known) as temporary:
        np.save(temporary / "logps.npy", scores)


def _key(reference: Policy, items: Sequence[Item]) -> str:
    digest = hashlib.sha256(fingerprint(reference.model).encode())
    for item in items:
        digest.update(repr((item.prompt, item.responses)).encode())
    return digest.hexdigest()[:32]
