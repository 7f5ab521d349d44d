"""Log-probabilities of whole replies; those under the reference are kept by content hash."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from fairlead.core.clock import Part, section
from fairlead.core.files import whole_folder
from fairlead.data.batches import microbatches, pack
from fairlead.data.chat import Item
from fairlead.functional.reductions import segment_sum
from fairlead.models.loading import fingerprint
from fairlead.models.policy import Policy
from fairlead.models.processes import from_first, gathered, processes
from fairlead.objectives.base import Need


def reference_logps(
    reference: Policy, items: Sequence[Item], *, tokens: int, cache: Path
) -> list[list[float]]:
    """Summed log-probability of each reply of each item under the reference, in nats.

    Args:
        reference: the frozen policy; a peft policy is scored with its adapters off.
        items: prompts and replies.
        tokens: tokens computed at once.
        cache: folder that keeps results by hash of weights and tokens.
    """
    known = cache / _key(reference, items)
    if not known.exists():
        with section(Part.REFERENCE), reference.as_reference():
            sums = sequence_logps(reference, items, tokens=tokens)
        flat = np.array([value for own in sums for value in own], dtype=np.float32)
        from_first(lambda: _keep(known, flat))
    kept = iter(np.load(known / "logps.npy").tolist())
    return [[next(kept) for _ in item.responses] for item in items]


@torch.no_grad()
def sequence_logps(policy: Policy, items: Sequence[Item], *, tokens: int) -> list[list[float]]:
    """Summed log-probability of each reply of each item under the policy as it is, in nats.

    Several processes share the work.
    """
    own, count = processes().process_index, processes().num_processes
    numbered = [Item(i.prompt, i.responses, i.ranks, n) for n, i in enumerate(items)]
    sums: list[tuple[int, list[float]]] = []
    for group in microbatches(numbered[own::count], tokens):
        packed = pack(group).to(policy.device)
        logps = policy(packed, frozenset({Need.LOGPS})).logps
        values = iter(segment_sum(logps, packed.row_sequence, packed.sequences).tolist())
        sums += [(item.record, [next(values) for _ in item.responses]) for item in group]
    by_number = dict(gathered(sums))
    return [by_number[n] for n in range(len(items))]


def _keep(known: Path, scores: np.ndarray) -> None:
    with whole_folder(known) as temporary:
        np.save(temporary / "logps.npy", scores)


def _key(reference: Policy, items: Sequence[Item]) -> str:
    digest = hashlib.sha256(fingerprint(reference.model).encode())
    for item in items:
        digest.update(repr((item.prompt, item.responses)).encode())
    return digest.hexdigest()[:32]
