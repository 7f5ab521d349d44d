"""What chooses the replies: plain sampling in one batch, or a decoder that follows a reward."""

from dataclasses import dataclass
from typing import Any

from fairlead.core.errors import ConfigError
from fairlead.decoding import Decoder, DecoderSettings
from fairlead.decoding.sampling import PlainSampling
from fairlead.generation.sampling import Sampling
from fairlead.models.policy import Policy
from fairlead.rewards.base import RewardSource
from fairlead.serving.app import Served
from fairlead.serving.batch import Batch
from fairlead.serving.settings import ServeSettings
from fairlead.serving.turns import Turns
from fairlead.serving.worker import Runner, Worker


@dataclass(frozen=True)
class Requested:
    """A decoder with the settings of each request.

    Args:
        settings: of the decoder; a request's take their place.
        policy: who speaks.
        reward: who judges replies.
        value: who judges replies that are under way.
    """

    settings: DecoderSettings
    policy: Policy
    reward: RewardSource | None
    value: RewardSource | None

    def __call__(self, sampling: Sampling) -> Decoder:
        """The decoder for a request."""
        own = type(self.settings).model_fields
        if "sampling" in own:
            update: dict[str, Any] = {"sampling": sampling}
        else:
            update = {name: getattr(sampling, name) for name in self.follows}
        return self.settings.model_copy(update=update).build(self.policy, self.reward, self.value)

    @property
    def follows(self) -> frozenset[str]:
        """Settings of a request that change anything."""
        own = type(self.settings).model_fields
        return frozenset(name for name in Sampling.model_fields if "sampling" in own or name in own)

    @property
    def defaults(self) -> Sampling:
        """What is drawn with where a request says nothing."""
        found = getattr(self.settings, "sampling", None)
        if isinstance(found, Sampling):
            return found
        return Sampling(**{name: getattr(self.settings, name) for name in self.follows})


def prepared(
    policy: Policy,
    settings: ServeSettings,
    decoder: DecoderSettings | None = None,
    reward: RewardSource | None = None,
    value: RewardSource | None = None,
) -> tuple[Served, Worker]:
    """What is served, and who answers; the worker has not been started.

    Raises:
        ConfigError: the decoder does not fit the models, or makes longer replies than are allowed.
    """
    policy.eval().requires_grad_(False)
    runner: Runner
    if decoder is None or isinstance(decoder, PlainSampling):
        drawing = Sampling(max_new_tokens=settings.max_tokens)
        drawing = drawing if decoder is None else decoder.sampling
        served, runner = Served(policy, drawing), Batch(policy, rows=settings.rows)
    else:
        requested = Requested(decoder, policy, reward, value)
        requested(requested.defaults)  # What does not fit is refused now, not at a request.
        kind: str = type(decoder).model_fields["kind"].default
        served = Served(policy, requested.defaults, kind, requested.follows)
        runner = Turns(requested)
    if served.defaults.max_new_tokens > settings.max_tokens:
        raise ConfigError(
            "the decoder's replies are longer than the server's limit",
            where="--decoder, --max-tokens",
            expected=f"max_new_tokens: at most {settings.max_tokens}",
            got=str(served.defaults.max_new_tokens),
            remedy="lower max_new_tokens or raise --max-tokens",
        )
    return served, Worker(runner, queue=settings.queue, timeout_s=settings.timeout_s)
