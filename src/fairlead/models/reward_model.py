"""Reward models: a trunk that gives hidden states and a head that reads scores off them."""

from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from fairlead.core.errors import ConfigError
from fairlead.core.seeds import Seed
from fairlead.data.chat import ChatFormat
from fairlead.models.heads import AnyHead, Read, Scalar
from fairlead.models.trunk import Trunk, body, without_dropout
from fairlead.objectives.base import Need
from fairlead.objectives.batch import Packed, Scores


class RewardModel(nn.Module):
    """A trunk with a head: what it says of each packed sequence.

    Args:
        model: a transformers model that gives hidden states (decoder or encoder).
        tokenizer: its tokenizer.
        base: fingerprint of the pretrained weights it descends from.
        pooling: "last" reads the last token (decoders), "mean" all tokens (encoders).
        head: which head, and its sizes.

    Raises:
        ConfigError: the head weighs by the prompt, which an encoder's hidden states do not tell
            apart from the reply.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: PreTrainedTokenizerBase,
        *,
        base: str = "",
        pooling: Literal["last", "mean"] = "last",
        head: AnyHead | None = None,
    ) -> None:
        super().__init__()
        without_dropout(model)
        self.model = model
        self.tokenizer = tokenizer
        self.base = base
        self.pooling: Literal["last", "mean"] = pooling
        self.settings: AnyHead = head or Scalar()
        self._check_gate()
        self.trunk = Trunk(model, causal=pooling == "last")
        width = int(body(model).config.hidden_size)
        if getattr(body(model), "pooler", None) is not None:
            body(model).pooler.requires_grad_(False)  # its output is not used
        self.head: Any = self.settings.build(width).to(next(model.parameters()).device)
        self.offset: Tensor
        self.register_buffer("offset", torch.zeros(()))
        """Subtracted from every score, so that reference replies average 0."""

    def _check_gate(self) -> None:
        if self.settings.gates and self.pooling == "mean":
            raise ConfigError(
                f"the gate of head {self.settings.kind!r} reads the prompt alone, "
                "but an encoder mixes the reply in",
                expected="a decoder, or a head without a gate",
                got="pooling: mean",
                remedy="use a causal model, or set the head's gate to equal (eigenvalues to ones)",
            )

    def draw_head(self, seed: Seed) -> None:
        """Draws a fresh head: normal with variance 1 / (width + 1) (Stiennon et al. 2020)."""
        random = seed.numpy()
        for weight in self.head.parameters():
            if weight.dim() == 2:
                drawn = random.normal(0.0, (weight.shape[1] + 1) ** -0.5, tuple(weight.shape))
                weight.data.copy_(torch.from_numpy(drawn))

    def require(self, needs: frozenset[Need], *, where: str) -> None:
        """Sees to it that the head can give what is asked of it.

        Raises:
            ConfigError: it cannot.
        """
        missing = needs - self.head.gives
        if missing:
            raise ConfigError(
                f"a reward model with head {self.settings.kind!r} does not give "
                + ", ".join(sorted(missing)),
                where=where,
                expected=f"a head that gives {', '.join(sorted(needs))}",
                got=f"{self.settings.kind}: {', '.join(sorted(self.head.gives))}",
                remedy="choose the head that belongs to the objective, or another reward model",
            )

    def chat_format(self) -> ChatFormat:
        """How replies are turned into this model's tokens."""
        return ChatFormat(self.tokenizer, encoder=self.pooling == "mean")

    @property
    def adapts(self) -> bool:
        """Whether only adapters and the head are trained."""
        return hasattr(self.model, "peft_config")

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
        """All that the head says about a pack, whatever of it is needed, in float32."""
        return self.read(self.trunk.hidden(packed), packed)

    def read(self, hidden: Tensor, packed: Packed) -> Scores:
        """The same from hidden states [token, width] that are there already."""
        scores: Scores = self.head.score(Read(hidden, packed, self.pooling))
        if scores.rewards is None:
            return scores
        members = None if scores.members is None else scores.members - self.offset
        return replace(scores, rewards=scores.rewards - self.offset, members=members)
