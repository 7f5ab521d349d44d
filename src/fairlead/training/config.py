"""Settings of the loop: one batch size, one memory knob, one optimizer."""

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt


class TrainConfig(BaseModel):
    """How to train, whatever the objective."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch_size: PositiveInt = 32
    """Examples (pairs, rankings, prompts) per optimizer step, over all processes."""
    epochs: PositiveInt = 1
    """Passes over the data."""
    max_steps: PositiveInt | None = None
    """Optimizer steps at most; None for all that the epochs give."""
    max_token_passes: PositiveInt | None = None
    """Work at most, in tokens that pass through a model of the policy's size; a token that is
    trained on counts three times (the backward pass is about two forward ones), one that is
    sampled or scored counts once. The schedule then runs over the work, and the data begin anew
    until it is done. None for no such limit."""
    microbatch_tokens: PositiveInt = 2048
    """Tokens computed at once: the one memory knob. It does not change the result. A processor is
    no faster with more; a large accelerator is, as far as its memory goes."""
    learning_rate: PositiveFloat = 1e-5
    """Rate at the end of the warm-up."""
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    """What the rate does after the warm-up."""
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Share of the steps over which the rate rises from zero."""
    final_rate: float = Field(default=0.1, ge=0, le=1)
    """Share of the learning rate that is left at the end (cosine and linear)."""
    weight_decay: NonNegativeFloat = 0.0
    """Share of a weight taken away per step and unit of rate (AdamW)."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Adam's decay rates."""
    epsilon: PositiveFloat = 1e-8
    """Adam's epsilon."""
    max_grad_norm: PositiveFloat = 1.0
    """Gradients are scaled down to this norm."""
    checkpoint_every: PositiveInt | None = None
    """Optimizer steps between checkpoints; None for a tenth of the run."""
    keep_checkpoints: PositiveInt = 1
    """Checkpoints to keep; older ones are removed once a newer one is complete."""
    log_every: PositiveInt = 1
    """Optimizer steps between logged lines. What rollout batches reported in between (score, KL,
    lengths) is in the next line as the mean over these batches; all else is of that step."""
    max_kl: PositiveFloat = 200.0
    """The run stops when the sequence KL to the reference exceeds this, in nats."""

    def rate_after(self, spent: int) -> float:
        """Learning rate after so much work of `max_token_passes`."""
        assert self.max_token_passes is not None
        return self.rate(min(1000 * spent // self.max_token_passes, 999), 1000)

    def rate(self, step: int, steps: int) -> float:
        """Learning rate of a step (from 0) in a run of `steps`."""
        warm = math.ceil(self.warmup * steps)
        if step < warm:
            return self.learning_rate * (step + 1) / warm
        if self.schedule == "constant":
            return self.learning_rate
        done = (step - warm) / max(steps - warm, 1)
        fall = 1 - done if self.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))
        return self.learning_rate * (self.final_rate + (1 - self.final_rate) * fall)
