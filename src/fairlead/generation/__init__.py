"""Sampling engines behind one protocol."""

from fairlead.generation.local import LocalEngine
from fairlead.generation.sampling import Engine, Rollout, Sampling

__all__ = ["Engine", "LocalEngine", "Rollout", "Sampling"]
