"""Log-probabilities of given tokens without ever holding [tokens, vocabulary].

Logits are made for a few hundred rows at a time and made again in the backward pass, so memory
does not grow with the vocabulary times the length.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

CHUNK_ELEMENTS = 1 << 22
"""Logits held at once: 16 MiB in float32, small enough for a CPU's cache hierarchy."""


def chunk_rows(vocabulary: int) -> int:
    """Rows of logits to make at a time."""
    return max(64, CHUNK_ELEMENTS // vocabulary)


class _LinearLogps(torch.autograd.Function):
    """log softmax(hidden @ weight.T * scale)[target], with logits remade in backward."""

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, scale: float, with_entropy: bool
    ) -> tuple[Tensor, Tensor]:
        rows = chunk_rows(weight.shape[0])
        logps = hidden.new_empty(hidden.shape[0], dtype=torch.float32)
        if hidden.dtype == torch.float64:
            logps = logps.double()
        entropy = torch.zeros_like(logps)
        normaliser = torch.empty_like(logps)
        for start in range(0, hidden.shape[0], rows):
            part = slice(start, start + rows)
            logits = (hidden[part] @ weight.T).to(logps.dtype).mul_(scale)
            lse = logits.logsumexp(-1)
            normaliser[part] = lse
            logps[part] = logits.gather(1, targets[part, None]).squeeze(1) - lse
            if with_entropy:
                probabilities = logits.sub(lse[:, None]).exp_()
                entropy[part] = lse - probabilities.mul_(logits).sum(-1)
        ctx.save_for_backward(hidden, weight, targets, normaliser)
        ctx.scale = scale
        ctx.mark_non_differentiable(entropy)
        return logps, entropy

    @staticmethod
    def backward(ctx: Any, grad_logps: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        hidden, weight, targets, normaliser = ctx.saved_tensors
        rows = chunk_rows(weight.shape[0])
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        for start in range(0, hidden.shape[0], rows):
            part = slice(start, start + rows)
            grad = (hidden[part] @ weight.T).to(normaliser.dtype).mul_(ctx.scale)
            grad.sub_(normaliser[part, None]).exp_()
            grad.mul_(-grad_logps[part, None])
            grad.scatter_add_(1, targets[part, None], grad_logps[part, None])
            grad = grad.mul_(ctx.scale).to(hidden.dtype)
            torch.mm(grad, weight, out=grad_hidden[part])
            if grad_weight is not None:
                grad_weight.addmm_(grad.T, hidden[part])
        return grad_hidden, grad_weight, None, None, None


def linear_token_logps(
    hidden: Float[Tensor, "row width"],
    weight: Float[Tensor, "vocabulary width"],
    targets: Int[Tensor, " row"],
    *,
    temperature: float = 1.0,
    entropy: bool = True,
) -> tuple[Float[Tensor, " row"], Float[Tensor, " row"]]:
    """Log-probability of each target, and the entropy of its distribution, both in nats.

    Logits are `hidden @ weight.T / temperature`. The entropy is for metrics: no gradient flows
    through it, and it is 0 where `entropy` is False. Sums run in float32 (float64 for float64
    input) whatever the model's precision.
    """
    apply: Any = getattr(_LinearLogps, "apply")  # noqa: B009  (torch leaves it untyped)
    return apply(hidden, weight, targets, 1.0 / temperature, entropy)


def token_logps(
    logits: Float[Tensor, "row vocabulary"],
    targets: Int[Tensor, " row"],
    *,
    temperature: float = 1.0,
) -> tuple[Float[Tensor, " row"], Float[Tensor, " row"]]:
    """The same from logits that are already there (heads that are more than a matrix)."""
    wide = logits if logits.dtype == torch.float64 else logits.float()
    logps = (wide / temperature).log_softmax(-1)
    entropy = -(logps.detach().exp() * logps.detach()).sum(-1)
    return logps.gather(1, targets[:, None]).squeeze(1), entropy
