"""Sampling from between two policies. Munos et al. 2023, arXiv:2312.00886, section 7."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from torch import Tensor

from fairlead.data.chat import Ids
from fairlead.generation.decoders import Decoder, decoder
from fairlead.generation.local import LocalEngine
from fairlead.models.policy import Policy


class MixtureEngine(LocalEngine):
    """Samples from the geometric mixture of a policy and its reference.

    The next token has probability proportional to policy^(1 - share) * reference^share.

    Args:
        policy: one end of the mixture.
        reference: the other; None for a peft policy without its adapters.
        share: 0 samples from the policy, 1 from the reference.
        max_rows: replies decoded together; see `LocalEngine`.
    """

    def __init__(
        self, policy: Policy, reference: Policy | None, share: float, *, max_rows: int | None = None
    ) -> None:
        super().__init__(policy, max_rows=max_rows)
        self.reference = reference
        self.share = share

    def _decoder(self) -> Decoder:
        base = self.reference or self.policy
        without = nullcontext if self.reference is not None else self.policy.as_reference
        return _Mixed(decoder(self.policy), decoder(base), without, self.share)


class _Mixed:
    """Two decoders in step, their logits averaged."""

    def __init__(
        self,
        policy: Decoder,
        reference: Decoder,
        within: Callable[[], AbstractContextManager[None]],
        share: float,
    ) -> None:
        self.policy = policy
        self.reference = reference
        self.within = within
        self.share = share
        self.refills = policy.refills and reference.refills

    def join(self, prompts: Sequence[Ids], owners: Sequence[int], room: int) -> Tensor:
        """Reads the prompts with both."""
        own = self.policy.join(prompts, owners, room)
        with self.within():
            return self._mixed(own, self.reference.join(prompts, owners, room))

    def step(self, tokens: Tensor) -> Tensor:
        """Appends one token to each row of both."""
        own = self.policy.step(tokens)
        with self.within():
            return self._mixed(own, self.reference.step(tokens))

    def keep(self, rows: Tensor) -> None:
        """Drops all rows but these from both."""
        self.policy.keep(rows)
        self.reference.keep(rows)

    def _mixed(self, own: Tensor, other: Tensor) -> Tensor:
        # Constants per row drop out, so logits may be averaged as they are.
        return own.float() * (1 - self.share) + other.float() * self.share
