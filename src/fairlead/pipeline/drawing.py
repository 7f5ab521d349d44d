"""Which prompts a round is about, and the labels it builds on."""

from collections.abc import Sequence
from typing import TypeVar

from fairlead.core.seeds import Seed
from fairlead.pipeline.stage import Context
from fairlead.records import Prompt, Record

R = TypeVar("R", bound=Record)


def few_of(prompts: Sequence[Prompt], most: int | None, seed: Seed) -> list[Prompt]:
    """At most so many prompts, drawn at random, in their own order; None for all."""
    if most is None or most >= len(prompts):
        return list(prompts)
    drawn = seed.numpy().permutation(len(prompts))[:most]
    return [prompts[i] for i in sorted(drawn.tolist())]


def with_earlier(context: Context, earlier: str | None, records: Sequence[R]) -> list[Record]:
    """Records behind those of an earlier round; `earlier` is None in the first round."""
    return [*(context.records(earlier) if earlier else ()), *records]
