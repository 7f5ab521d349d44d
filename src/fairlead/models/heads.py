"""Heads of reward models: what is read off the trunk's hidden states, and how.

A head is named by frozen settings, which are saved with the model, so that a folder says by itself
how its scores are made. All heads compute in float32: a head in bfloat16 rounds score differences
away.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, PositiveInt
from torch import Tensor, nn

from fairlead.objectives.base import Need
from fairlead.objectives.batch import Packed, Scores


@dataclass(frozen=True)
class Read:
    """The hidden states of a pack, as heads see them."""

    hidden: Float[Tensor, "token width"]
    packed: Packed
    pooling: Literal["last", "mean"]

    def sequences(self) -> Float[Tensor, "sequence width"]:
        """One vector for each sequence: its last token's, or the mean over its tokens."""
        if self.pooling == "last":
            return _precise(self.hidden[self.packed.ends])
        return _precise(self._means())

    def prompts(self) -> Float[Tensor, "sequence width"]:
        """The hidden state at the end of each sequence's prompt, equal for all its replies."""
        every = torch.arange(self.packed.sequences, device=self.hidden.device)
        first = torch.searchsorted(self.packed.row_sequence, every)
        return _precise(self.hidden[self.packed.rows[first]])

    def rows(self) -> Float[Tensor, "row width"]:
        """The hidden state at each row."""
        return _precise(self.hidden[self.packed.rows])

    def _means(self) -> Float[Tensor, "sequence width"]:
        """Mean hidden state of each sequence of an unshared pack."""
        hidden, trees = self.hidden, self.packed.trees
        lengths = torch.tensor([tree.length for tree in trees], device=hidden.device)
        order = torch.arange(len(lengths), device=hidden.device)
        sequence = torch.repeat_interleave(order, lengths)
        sums = hidden.new_zeros(len(lengths), hidden.shape[1]).index_add(0, sequence, hidden)
        return sums / lengths[:, None]


def _precise(hidden: Tensor) -> Tensor:
    return hidden.float() if hidden.dtype in (torch.bfloat16, torch.float16) else hidden


class Head(nn.Module, ABC):
    """Turns hidden states into scores."""

    gives: ClassVar[frozenset[Need]]
    """What it can be asked for."""

    @abstractmethod
    def score(self, read: Read) -> Scores:
        """All that this head says about a pack."""


class HeadSettings(BaseModel, ABC):
    """Which head, and its sizes. A subclass is known to recipes and saved models by its kind."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Any

    @abstractmethod
    def build(self, width: int) -> Head:
        """The head over hidden states of this width; its weights are zero until drawn."""

    @property
    def gates(self) -> bool:
        """Whether it reads the prompt's hidden state, which only a causal trunk can tell apart."""
        return False

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Enters the head in the registry under its kind."""
        super().__pydantic_init_subclass__(**kwargs)
        HEADS[cls.model_fields["kind"].default] = cls


HEADS: dict[str, type[HeadSettings]] = {}
"""Settings of every head by kind."""


def _linear(width: int, out: int, *, bias: bool = True) -> nn.Linear:
    return _zeroed(nn.Linear(width, out, bias=bias))


def _zeroed(layer: nn.Linear) -> Any:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class ScalarHead(nn.Linear, Head):
    """A linear layer."""

    gives = frozenset({Need.REWARDS})

    def __init__(self, width: int) -> None:
        super().__init__(width, 1)
        _zeroed(self)

    def score(self, read: Read) -> Scores:
        """One score for each sequence."""
        return Scores(rewards=self(read.sequences()).squeeze(-1))


class Scalar(HeadSettings):
    """One score for each reply, by a linear layer."""

    kind: Literal["scalar"] = "scalar"

    def build(self, width: int) -> ScalarHead:
        """The head over hidden states of this width."""
        return ScalarHead(width)


class EnsembleHead(nn.Linear, Head):
    """Several scalar heads side by side in one linear layer."""

    gives = frozenset({Need.REWARDS})

    def __init__(self, width: int, members: int) -> None:
        super().__init__(width, members)
        _zeroed(self)

    def score(self, read: Read) -> Scores:
        """The score by each member, and their mean."""
        members = self(read.sequences())
        return Scores(rewards=members.mean(-1), members=members)


class Ensemble(HeadSettings):
    """Several scalar heads on one trunk, each fitted by itself.

    Coste et al. 2023, arXiv:2310.02743, for ensembles; members that share a trunk also share its
    errors.
    """

    kind: Literal["ensemble"] = "ensemble"
    members: PositiveInt = 5
    """How many heads."""

    def build(self, width: int) -> EnsembleHead:
        """The head over hidden states of this width."""
        return EnsembleHead(width, self.members)


class LatentHead(Head):
    """An information bottleneck: a Gaussian from the hidden state, a score from a draw of it."""

    gives = frozenset({Need.REWARDS, Need.LATENTS})

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.encoder = _linear(width, 2 * size, bias=False)
        self.decoder = _linear(size, 1)

    def score(self, read: Read) -> Scores:
        """Score, mean and log-variance; the score is of a draw in training, else of the mean."""
        mean, logvar = self.encoder(read.sequences()).chunk(2, dim=-1)
        drawn = mean
        if self.training:
            drawn = mean + torch.exp(0.5 * logvar) * torch.randn_like(mean)
        rewards = self.decoder(drawn).squeeze(-1)
        return Scores(rewards=rewards, latent_mean=mean, latent_logvar=logvar)


class Latent(HeadSettings):
    """A score behind an information bottleneck (InfoRM: Miao et al. 2024, arXiv:2402.09345)."""

    kind: Literal["latent"] = "latent"
    size: PositiveInt = 128
    """Dimensions of the bottleneck."""

    def build(self, width: int) -> LatentHead:
        """The head over hidden states of this width."""
        return LatentHead(width, self.size)


class QualityLengthHead(Head):
    """Two scalar heads, of which the second learns what length explains."""

    gives = frozenset({Need.REWARDS, Need.LENGTH_REWARDS})

    def __init__(self, width: int) -> None:
        super().__init__()
        self.quality = _linear(width, 1, bias=False)
        self.length = _linear(width, 1, bias=False)

    def score(self, read: Read) -> Scores:
        """Both scores, and how far the two weights point in one direction."""
        hidden = read.sequences()
        quality, length = self.quality.weight[0], self.length.weight[0]
        overlap = (quality @ length).abs() / (quality.norm() * length.norm() + 1e-6)
        return Scores(
            rewards=self.quality(hidden).squeeze(-1),
            length_rewards=self.length(hidden).squeeze(-1),
            head_overlap=overlap,
        )


class QualityLength(HeadSettings):
    """A score for quality beside one for length, which is thrown away after training.

    ODIN: Chen et al. 2024, arXiv:2402.07319.
    """

    kind: Literal["quality_length"] = "quality_length"

    def build(self, width: int) -> QualityLengthHead:
        """The head over hidden states of this width."""
        return QualityLengthHead(width)


class DimensionsHead(Head):
    """A score for each dimension and the weight that the prompt gives to each."""

    gives = frozenset({Need.REWARDS, Need.DIMENSIONS})

    def __init__(self, width: int, count: int, *, gated: bool) -> None:
        super().__init__()
        self.scores = _linear(width, count)
        self.gate = _linear(width, count) if gated else None

    def score(self, read: Read) -> Scores:
        """Every dimension, and their sum as the prompt weighs them."""
        each = self.scores(read.sequences())
        weights = torch.full_like(each, 1 / each.shape[1])
        if self.gate is not None:
            weights = self.gate(read.prompts()).softmax(-1)
        return Scores(rewards=(weights * each).sum(-1), dimensions=each)


class Dimensions(HeadSettings):
    """One score per named dimension, and their gated sum.

    ArmoRM: Wang et al. 2024, arXiv:2406.12845; one linear layer gates here, and all is trained at
    once.
    """

    kind: Literal["dimensions"] = "dimensions"
    names: tuple[str, ...] = Field(default=("quality",), min_length=1)
    """Names of the dimensions, as the data's ratings call them."""
    gate: Literal["prompt", "equal"] = "prompt"
    """Weights of the dimensions: from the prompt's hidden state (decoders only), or all equal."""

    @property
    def gates(self) -> bool:
        """Whether the prompt weighs the dimensions."""
        return self.gate == "prompt"

    def build(self, width: int) -> DimensionsHead:
        """The head over hidden states of this width."""
        return DimensionsHead(width, len(self.names), gated=self.gates)


class PreferenceHead(Head):
    """An embedding whose rotated products are preferences."""

    gives = frozenset({Need.EMBEDDINGS})

    def __init__(self, width: int, subspaces: int, *, gated: bool) -> None:
        super().__init__()
        self.embedding = _linear(width, 2 * subspaces, bias=False)
        self.gate = _linear(width, subspaces, bias=False) if gated else None

    def score(self, read: Read) -> Scores:
        """Embeddings [sequence, 2k] and the weights of the k subspaces."""
        embeddings = self.embedding(read.sequences())
        if self.gate is None:
            ones = torch.ones_like(embeddings[:, ::2])
            return Scores(embeddings=embeddings, eigenvalues=ones)
        prompts = read.prompts()
        eigenvalues = (self.gate(prompts) / prompts.shape[1] ** 0.5).softmax(-1)
        return Scores(embeddings=embeddings, eigenvalues=eigenvalues)


class Preference(HeadSettings):
    """An embedding of each reply in which preferences may go in circles.

    It has no score of its own: only pairs of replies do. GPM: Zhang et al. 2024, arXiv:2410.02197.
    """

    kind: Literal["preference"] = "preference"
    subspaces: PositiveInt = 3
    """Planes of the embedding; each can hold one circle."""
    eigenvalues: Literal["prompt", "ones"] = "prompt"
    """Weights of the planes: from the prompt's hidden state (decoders only), or all one."""

    @property
    def gates(self) -> bool:
        """Whether the prompt weighs the planes."""
        return self.eigenvalues == "prompt"

    def build(self, width: int) -> PreferenceHead:
        """The head over hidden states of this width."""
        return PreferenceHead(width, self.subspaces, gated=self.gates)


class StepsHead(nn.Linear, Head):
    """A linear layer that is read at rows, which are the ends of steps."""

    gives = frozenset({Need.STEPS})

    def __init__(self, width: int) -> None:
        super().__init__(width, 1)
        _zeroed(self)

    def score(self, read: Read) -> Scores:
        """Log-odds at each row."""
        return Scores(steps=self(read.rows()).squeeze(-1))


class Steps(HeadSettings):
    """Log-odds after each step that the solution is right so far.

    Lightman et al. 2023, arXiv:2305.20050.
    """

    kind: Literal["steps"] = "steps"

    def build(self, width: int) -> StepsHead:
        """The head over hidden states of this width."""
        return StepsHead(width)


AnyHead = Annotated[
    Scalar | Ensemble | Latent | QualityLength | Dimensions | Preference | Steps,
    Field(discriminator="kind"),
]
