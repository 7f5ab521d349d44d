"""Policies and reward models: the only places where a model is called for training."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from fairlead.core.seeds import Seed
from fairlead.data.chat import ChatFormat
from fairlead.functional.logps import linear_token_logps, token_logps
from fairlead.models.trunk import Trunk, body
from fairlead.objectives.base import Need
from fairlead.objectives.batch import Packed, Scores


def without_dropout(model: nn.Module) -> None:
    """Switches dropout off for good: log-probabilities must not be noisy in preference training."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        _zero_dropouts(module)
    if hasattr(model, "config"):
        _zero_dropouts(model.config)


def _zero_dropouts(holder: Any) -> None:
    """Many models keep probabilities as plain numbers, on their modules or read from the config."""
    for name, value in vars(holder).items():
        if "drop" in name and isinstance(value, float):
            setattr(holder, name, 0.0)


class Policy(nn.Module):
    """A causal language model that scores packed replies, possibly with a value head.

    Args:
        model: a transformers causal model, or a peft model around one.
        tokenizer: the model's tokenizer.
        base: fingerprint of the pretrained weights it descends from.
        value: "none", "shared" (a head on the policy's trunk) or "separate" (a trunk of its own,
            starting as a copy of the policy's, or of `critic`).
        critic: reward model whose trunk and head a separate critic starts from.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: PreTrainedTokenizerBase,
        *,
        base: str = "",
        value: Literal["none", "shared", "separate"] = "none",
        critic: "RewardModel | None" = None,
    ) -> None:
        super().__init__()
        without_dropout(model)
        self.model = model
        self.tokenizer = tokenizer
        self.base = base
        self.value = value
        self.trunk = Trunk(model)
        self.head_is_linear = self._head_is_linear()
        if value != "none":
            self._add_value(critic)

    def forward(self, packed: Packed, needs: frozenset[Need]) -> Scores:
        """Scores a pack: log-probabilities, entropy and values at its rows, as asked.

        Args:
            packed: the sequences.
            needs: which scores to make.
        """
        hidden = self.trunk.hidden(packed)
        logps = entropy = None
        if Need.LOGPS in needs:
            logps, entropy = self._logps(hidden, packed, Need.ENTROPY in needs)
        return Scores(
            logps=logps,
            entropy=entropy if Need.ENTROPY in needs else None,
            values=self._values(hidden, packed) if Need.VALUES in needs else None,
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
            return hidden @ self._head().weight.T
        return self._logits(hidden)

    def _logits(self, hidden: Tensor) -> Tensor:
        """Logits by the model's own last lines (caps, scales), the trunk's output put in place."""
        inner = self.model.get_base_model() if self.adapts else self.model
        trunk = inner.base_model
        with _answering(trunk, hidden[None]):
            return inner(input_ids=hidden.new_zeros(1, hidden.shape[0], dtype=torch.long)).logits[0]

    def _values(self, hidden: Tensor, packed: Packed) -> Tensor:
        if self.value == "separate":
            hidden = self.value_trunk.hidden(packed)
        return self.value_head(hidden[packed.rows]).squeeze(-1).float()

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

    def _add_value(self, critic: "RewardModel | None") -> None:
        width = self._head().weight.shape[1]
        self.value_head = nn.Linear(width, 1).to(self.device)
        nn.init.zeros_(self.value_head.weight)
        nn.init.zeros_(self.value_head.bias)
        if self.value == "separate":
            source = body(self.model) if critic is None else body(critic.model)
            self.value_model = copy.deepcopy(source)
            self.value_trunk = Trunk(self.value_model)
        if critic is not None and self.value == "separate":
            self.value_head.weight.data.copy_(critic.head.weight.data)
            self.value_head.bias.data.copy_(critic.head.bias.data - critic.offset)


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


class RewardModel(nn.Module):
    """A trunk with a scalar head: the score of each packed sequence.

    Args:
        model: a transformers model that gives hidden states (decoder or encoder).
        tokenizer: its tokenizer.
        base: fingerprint of the pretrained weights it descends from.
        pooling: "last" reads the last token (decoders), "mean" all tokens (encoders).
    """

    def __init__(
        self,
        model: Any,
        tokenizer: PreTrainedTokenizerBase,
        *,
        base: str = "",
        pooling: Literal["last", "mean"] = "last",
    ) -> None:
        super().__init__()
        without_dropout(model)
        self.model = model
        self.tokenizer = tokenizer
        self.base = base
        self.pooling: Literal["last", "mean"] = pooling
        self.trunk = Trunk(model, causal=pooling == "last")
        width = int(body(model).config.hidden_size)
        if getattr(body(model), "pooler", None) is not None:
            body(model).pooler.requires_grad_(False)  # its output is not used
        parameter = next(model.parameters())
        self.head = nn.Linear(width, 1).to(parameter.device)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.offset: Tensor
        self.register_buffer("offset", torch.zeros(()))
        """Subtracted from every score, so that reference replies average 0."""

    def draw_head(self, seed: Seed) -> None:
        """Draws a fresh head: normal with variance 1 / (width + 1) (Stiennon et al. 2020)."""
        weight = self.head.weight
        drawn = seed.numpy().normal(0.0, (weight.shape[1] + 1) ** -0.5, tuple(weight.shape))
        weight.data.copy_(torch.from_numpy(drawn))

    def chat_format(self) -> ChatFormat:
        """How replies are turned into this model's tokens."""
        return ChatFormat(self.tokenizer, encoder=self.pooling == "mean")

    @property
    def shares_prompts(self) -> bool:
        """Whether a prompt's hidden states do not depend on the reply."""
        return self.pooling == "last"

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next(self.model.parameters()).device

    @property
    def context(self) -> int:
        """Longest sequence the model was made for, in tokens."""
        return int(getattr(self.model.config, "max_position_embeddings", 1 << 20))

    def forward(self, packed: Packed, needs: frozenset[Need]) -> Scores:
        """Scores each sequence of a pack, in float32."""
        hidden = self.trunk.hidden(packed)
        pooled = hidden[packed.ends] if self.pooling == "last" else _mean_pool(hidden, packed)
        scores = self.head(pooled.to(self.head.weight.dtype)).squeeze(-1).float()
        return Scores(rewards=scores - self.offset)


def _mean_pool(hidden: Tensor, packed: Packed) -> Tensor:
    """Mean hidden state of each sequence of an unshared pack."""
    lengths = torch.tensor([tree.length for tree in packed.trees], device=hidden.device)
    sequence = torch.repeat_interleave(torch.arange(len(lengths), device=hidden.device), lengths)
    sums = hidden.new_zeros(len(lengths), hidden.shape[1]).index_add(0, sequence, hidden)
    return sums / lengths[:, None]
