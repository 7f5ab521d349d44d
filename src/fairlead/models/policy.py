"""Policies: a causal language model called for training, with value heads where asked for."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from fairlead.core.errors import ConfigError
from fairlead.functional.logps import linear_token_logps, token_logps
from fairlead.models.heads import ScalarHead
from fairlead.models.layers import kept_states
from fairlead.models.reward_model import RewardModel
from fairlead.models.trunk import Trunk, body, without_dropout
from fairlead.objectives.base import Need
from fairlead.objectives.batch import Packed, Scores

VALUES = frozenset({Need.VALUES, Need.COST_VALUES})
"""What a separate critic answers without the policy."""


class Policy(nn.Module):
    """A causal language model that scores packed replies, possibly with a value head.

    Args:
        model: a transformers causal model, or a peft model around one.
        tokenizer: the model's tokenizer.
        base: fingerprint of the pretrained weights it descends from.
        value: "none", "shared" (a head on the policy's trunk) or "separate" (a trunk of its own,
            starting as a copy of the policy's, or of `critic`).
        critic: reward model whose trunk and scalar head a separate critic starts from.
        cost_values: a second value head, for the expected cost, on the same trunk as the first.

    Raises:
        ConfigError: the critic has no scalar head, or cost values are asked for without values.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: PreTrainedTokenizerBase,
        *,
        base: str = "",
        value: Literal["none", "shared", "separate"] = "none",
        critic: RewardModel | None = None,
        cost_values: bool = False,
    ) -> None:
        super().__init__()
        without_dropout(model)
        self.model = model
        self.tokenizer = tokenizer
        self.base = base
        self.value = value
        self.trunk = Trunk(model)
        self.head_is_linear = self._head_is_linear()
        self.cost_values = cost_values
        if value != "none":
            self._add_value(critic)
        elif cost_values:
            raise ConfigError(
                "cost values need a value head beside them",
                expected="value: shared or separate",
                got="value: none, cost_values: true",
                remedy="choose where the value head reads, or leave cost values out",
            )

    def forward(self, packed: Packed, needs: frozenset[Need]) -> Scores:
        """Scores a pack at its rows, as asked: log-probabilities, entropy, values, states.

        Args:
            packed: the sequences.
            needs: which scores to make.
        """
        logps = entropy = distribution = hidden = activations = None
        if needs - VALUES or self.value != "separate":
            if Need.ACTIVATIONS in needs:
                hidden, activations = self._activations(packed)
            else:
                hidden = self.trunk.hidden(packed)
            if Need.LOGPS in needs:
                logps, entropy = self._logps(hidden, packed, Need.ENTROPY in needs)
            if Need.DISTRIBUTION in needs:
                distribution = self._distribution(hidden, packed)
        values, cost_values = self._values(hidden, packed, needs)
        return Scores(
            logps=logps,
            entropy=entropy if Need.ENTROPY in needs else None,
            values=values,
            cost_values=cost_values,
            distribution=distribution,
            activations=activations,
        )

    @contextmanager
    def as_reference(self) -> Iterator[None]:
        """Within the block a peft policy is its own reference: adapters are off."""
        with self.model.disable_adapter() if self.adapts else nullcontext():
            yield

    @property
    def adapts(self) -> bool:
        """Whether only adapters are trained."""
        return hasattr(self.model, "peft_config")

    @property
    def context(self) -> int:
        """Longest sequence the model was made for, in tokens."""
        return int(getattr(self.model.config, "max_position_embeddings", 1 << 20))

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next(self.model.parameters()).device

    def frozen_copy(self) -> "Policy":
        """A copy that never changes, to serve as the reference."""
        twin = Policy(copy.deepcopy(self.model), self.tokenizer, base=self.base)
        return twin.requires_grad_(False).eval()

    def _activations(self, packed: Packed) -> tuple[Tensor, Tensor]:
        """Last hidden states of all tokens, and states [layer, row, width] behind all layers.

        Those of the last layer are read behind the closing norm, as the head reads them.
        """
        with kept_states(self.model, self.trunk.places(packed, packed.rows)) as held:
            hidden = self.trunk.hidden(packed)
        return hidden, torch.stack([*held[:-1], hidden[packed.rows]])

    def _logps(self, hidden: Tensor, packed: Packed, entropy: bool) -> tuple[Tensor, Tensor]:
        rows = hidden[packed.rows]
        if self.head_is_linear:
            weight = self._head().weight
            return linear_token_logps(
                rows, weight, packed.targets, temperature=packed.temperature, entropy=entropy
            )
        return token_logps(self._logits(rows), packed.targets, temperature=packed.temperature)

    def logits(self, hidden: Tensor) -> Tensor:
        """Next-token logits of hidden states [row, width]."""
        if self.head_is_linear:
            return self._head()(hidden)
        return self._logits(hidden)

    def _logits(self, hidden: Tensor) -> Tensor:
        """Logits by the model's own last lines (caps, scales), the trunk's output put in place."""
        inner = self.model.get_base_model() if self.adapts else self.model
        trunk = inner.base_model
        with _answering(trunk, hidden[None]):
            return inner(input_ids=hidden.new_zeros(1, hidden.shape[0], dtype=torch.long)).logits[0]

    def _distribution(self, hidden: Tensor, packed: Packed) -> Tensor:
        logits = self.logits(hidden[packed.rows]).float() / packed.temperature
        return logits.log_softmax(-1)

    def _values(
        self, hidden: Tensor | None, packed: Packed, needs: frozenset[Need]
    ) -> tuple[Tensor | None, Tensor | None]:
        """Values and cost values at the rows, from one pass of the trunk they share."""
        if not needs & VALUES:
            return None, None
        if hidden is None or self.value == "separate":
            hidden = self.value_trunk.hidden(packed)
        rows = hidden[packed.rows]
        values = self.value_head(rows).squeeze(-1).float() if Need.VALUES in needs else None
        if Need.COST_VALUES not in needs:
            return values, None
        return values, self.cost_head(rows).squeeze(-1).float()

    def _head(self) -> Any:
        return self.model.get_output_embeddings()

    @torch.no_grad()
    def _head_is_linear(self) -> bool:
        """Whether logits are just hidden times a matrix, so that they can be made in chunks."""
        head = self._head()
        if type(head) is not nn.Linear or head.bias is not None:
            return False
        hidden = torch.linspace(-4, 4, 3 * head.in_features, device=head.weight.device)
        hidden = hidden.reshape(3, -1).to(head.weight.dtype)
        # Logits of 100: a cap (30 or 50 as a rule) shows even where the weights are small.
        hidden = hidden * (100 / (hidden @ head.weight.T).abs().max().clamp(min=1e-6))
        own = self._logits(hidden)
        return torch.allclose(own, hidden @ head.weight.T, rtol=1e-3, atol=1e-3)

    def _add_value(self, critic: RewardModel | None) -> None:
        width = self._head().weight.shape[1]
        self.value_head = ScalarHead(width).to(self.device)
        if self.cost_values:
            self.cost_head = ScalarHead(width).to(self.device)
        if self.value == "separate":
            source = body(self.model) if critic is None else body(critic.model)
            self.value_model = copy.deepcopy(source)
            self.value_trunk = Trunk(self.value_model)
        if critic is not None and self.value == "separate":
            head = _scalar_head(critic)
            self.value_head.weight.data.copy_(head.weight.data)
            self.value_head.bias.data.copy_(head.bias.data - critic.offset)


def _scalar_head(critic: RewardModel) -> ScalarHead:
    if not isinstance(critic.head, ScalarHead):
        raise ConfigError(
            "a critic can start from a reward model with a scalar head only",
            expected="head: scalar",
            got=f"head: {critic.settings.kind}",
            remedy="set value: shared, or start the critic from another reward model",
        )
    return critic.head


class _Answer:
    """Output of a trunk whose hidden states are already there."""

    def __init__(self, hidden: Tensor) -> None:
        self.last_hidden_state = hidden

    def __getitem__(self, index: int | slice) -> Any:
        return (self.last_hidden_state,)[index]

    def __getattr__(self, name: str) -> None:
        """Whatever else a model hands on (caches, attentions, router logits) is not there."""


@contextmanager
def _answering(trunk: nn.Module, hidden: Tensor) -> Iterator[None]:
    """Makes a trunk answer with given hidden states, so that only the model's head runs."""
    # Some models call the decoder within their trunk, past the trunk itself.
    parts = [part for part in (trunk, getattr(trunk, "decoder", None)) if part is not None]
    before = [part.__dict__.get("forward") for part in parts]
    for part in parts:
        part.forward = lambda *_, **__: _Answer(hidden)
    try:
        yield
    finally:
        for part, own in zip(parts, before, strict=True):
            del part.__dict__["forward"]
            if own is not None:
                part.forward = own
