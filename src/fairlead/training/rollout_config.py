"""Settings of sampling during training: how much, how replies are credited, when to stop."""

from typing import Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
)

from fairlead.generation.sampling import Sampling
from fairlead.training.credit import GAE, AnyCredit


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KLControl(_Settings):
    """The penalty in the reward that keeps the policy near its reference."""

    coefficient: NonNegativeFloat = 0.05
    """Reward taken per nat of log-ratio, at each token (at the start, where it adapts)."""
    target: PositiveFloat | None = None
    """Sequence KL in nats that the coefficient is steered to; None keeps it fixed."""
    horizon: PositiveInt = 10_000
    """Replies over which the coefficient may change by a factor (Ziegler et al. 2019)."""


class DynamicSampling(_Settings):
    """Prompts whose replies all earn the same teach nothing: others are drawn in their place.

    Source: Yu et al. 2025, arXiv:2503.14476, section 3.2.
    """

    max_rounds: PositiveInt = 10
    """Rounds of drawing; what is still missing then is filled with prompts that teach nothing."""


class Overlong(_Settings):
    """A penalty that grows over the last tokens before the limit. Yu et al. 2025, eq. 13."""

    buffer: PositiveInt | None = None
    """Tokens before the limit (`sampling.max_new_tokens`) over which the penalty grows; None for a
    fifth of the limit, as in the paper."""
    factor: PositiveFloat = 1.0
    """Penalty at the limit."""


class TruncatedImportance(_Settings):
    """Weights for a sampler that is not quite the trainer: its ratio, held below a cap.

    The weight multiplies the credit of a token, so it works with every objective. Source: Yao et
    al. 2025, "Your efficient RL framework secretly brings you off-policy RL training".
    """

    cap: PositiveFloat = 2.0
    """Largest weight."""
    level: Literal["token", "sequence"] = "token"
    """A ratio for each token, or one for the whole reply (for objectives on sequences)."""


class CostLimit(_Settings):
    """A limit on the mean cost of a reply, kept by a multiplier (Safe RLHF).

    Source: Dai et al. 2023, arXiv:2310.12773, eq. 11.
    """

    limit: float = 0.0
    """Largest mean cost."""
    initial: PositiveFloat = 1.0
    """Multiplier at the start."""
    rate: PositiveFloat = 0.1
    """Step of the multiplier's logarithm per unit of violation."""
    maximum: PositiveFloat = 5.0
    """Largest multiplier."""
    window: PositiveInt = 128
    """Replies over which the cost is averaged."""


class RolloutConfig(_Settings):
    """How replies are sampled and credited."""

    prompts: PositiveInt = 64
    """Prompts per rollout batch, over all processes."""
    samples: PositiveInt = 1
    """Replies per prompt."""
    iterations: PositiveInt = 50
    """Rollout batches in the run."""
    epochs: PositiveInt = 4
    """Passes over each rollout batch."""
    minibatches: PositiveInt = 1
    """Optimizer steps per pass."""
    sampling: Sampling = Sampling(max_new_tokens=64)
    """How replies are sampled."""
    credit: AnyCredit = GAE()
    """How the score of a reply becomes the advantage of its tokens."""
    kl: KLControl = KLControl()
    """The penalty in the reward that keeps the policy near its reference."""
    reward_clip: PositiveFloat | None = None
    """Scores are held within plus and minus this."""
    missing_eos_penalty: NonNegativeFloat = 1.0
    """Taken from the score of a reply that does not end."""
    overlong: Overlong | None = None
    """A penalty on replies that come near the limit."""
    dynamic_sampling: DynamicSampling | None = None
    """Draw other prompts for those whose replies all earn the same."""
    importance: TruncatedImportance | None = None
    """Weights for a sampler that is not quite the trainer."""
    cost: CostLimit | None = None
    """A limit on the cost, where the stage names a cost model."""
    opponent: float | None = Field(default=None, ge=0, le=1)
    """Scores become the probability of beating a reply of the geometric mixture of policy and
    reference, with this share of the reference (Nash-MD); None keeps the scores."""
    pretraining_ratio: NonNegativeFloat = 0.0
    """Examples of other text mixed in per reply (PPO-ptx; InstructGPT used 8)."""
    sync_reference: PositiveInt | None = None
    """Rollout batches after which the reference becomes the present policy; None keeps it."""
    stop_update_kl: PositiveFloat | None = None
    """The rest of a rollout batch is skipped once an update has moved the policy this far from
    the one that sampled (mean k3 in nats per token)."""
    stop_kl: PositiveFloat | None = None
    """The run ends, without an error, once the sequence KL to the reference passes this."""
    sampler_gap: PositiveFloat = 0.02
    """Largest mean distance of sampler and trainer log-probabilities, in nats per token, where
    no importance weights make up for it."""
