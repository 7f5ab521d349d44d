"""Randomness from explicit seeds only.

A `Seed` is a name: children are derived by hashing the path, so the random numbers of one part do
not shift when another part draws more or fewer of them.
"""

import hashlib
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Seed:
    """A reproducible source of randomness, split by name: `Seed(7).child("rollout", 3)`."""

    root: int
    path: tuple[str, ...] = ()

    def child(self, *names: str | int) -> "Seed":
        """A seed for a named part; equal names give equal seeds."""
        return Seed(self.root, (*self.path, *(str(name) for name in names)))

    @property
    def value(self) -> int:
        """The seed as an integer in [0, 2**63), e.g. for `torch.manual_seed`."""
        text = "\x1f".join((str(self.root), *self.path))
        digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little") >> 1

    def numpy(self) -> np.random.Generator:
        """A fresh numpy generator; two calls give the same stream."""
        return np.random.Generator(np.random.Philox(self.value))
