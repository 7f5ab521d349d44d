"""Rewards from models that compare replies with each other instead of scoring each alone."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from fairlead.data.batches import microbatches, pack
from fairlead.data.chat import ChatFormat, Item
from fairlead.data.verdicts import VerdictFormat
from fairlead.functional.groups import intransitive_advantages
from fairlead.models.policy import Policy
from fairlead.models.reward_model import RewardModel
from fairlead.objectives.base import Need
from fairlead.objectives.general_preference import subspace_scores
from fairlead.records import Message, Prompt
from fairlead.rewards.base import Reply, Scored
from fairlead.rewards.model import head_outputs, reply_items

EMBEDDINGS = frozenset({Need.EMBEDDINGS})
UNDECIDED = 0.5
"""Win probability of a reply that has nothing to be compared with."""


def prompt_groups(replies: Sequence[Reply]) -> Int[Tensor, " reply"]:
    """A number for each reply, from 0, equal for replies to equal prompts."""
    known: dict[tuple[Message, ...], int] = {}
    return torch.tensor([known.setdefault(r.prompt.messages, len(known)) for r in replies])


@dataclass(frozen=True)
class GeneralPreferenceReward:
    """How surely a reply is preferred to the others to its prompt, or the advantages of that.

    GPM: Zhang et al. 2024, arXiv:2410.02197; advantages: GPRL, Umer et al. 2026, arXiv:2605.18721.
    """

    model: RewardModel
    tokenizer: PreTrainedTokenizerBase
    """The policy's tokenizer."""
    temperature: float = 0.1
    """Divides the scores, as in training."""
    advantages: bool = False
    """Give advantages, normalised in each plane by itself, instead of win probabilities."""
    microbatch_tokens: int = 8192
    name: str = "general_preference"

    def __post_init__(self) -> None:
        self.model.require(EMBEDDINGS, where=f"reward {self.name}")

    def score(self, replies: Sequence[Reply]) -> Scored:
        """Mean probability of beating the others (1/2 for a reply alone), or advantages.

        Parts with advantages: the win probability as `wins`, and `dominance`, the share of the
        strongest plane in the reply's advantage (Umer et al. watch it for drift).
        """
        items = reply_items(self.model, self.tokenizer, replies)
        each = head_outputs(self.model, items, tokens=self.microbatch_tokens)
        embeddings = torch.cat([one["embeddings"] for one in each])
        eigenvalues = torch.cat([one["eigenvalues"] for one in each])
        group = prompt_groups(replies)
        wins = win_probabilities(embeddings, eigenvalues, group, temperature=self.temperature)
        if not self.advantages:
            return Scored(wins)
        values = intransitive_advantages(embeddings, eigenvalues, group)
        parts = {"wins": wins, "dominance": _dominance(embeddings, eigenvalues, group)}
        return Scored(values, parts, advantages=True)


def win_probabilities(
    embeddings: Float[Tensor, "reply axis"],
    eigenvalues: Float[Tensor, "reply subspace"],
    group: Int[Tensor, " reply"],
    *,
    temperature: float,
) -> Float[Tensor, " reply"]:
    """Mean over the other replies of the group of the probability of being preferred to each."""
    wins = embeddings.new_full((len(group),), UNDECIDED)
    for number in range(int(group.max()) + 1):
        own = torch.nonzero(group == number).squeeze(1)
        count = len(own)
        if count < 2:
            continue
        first, second = own.repeat_interleave(count), own.repeat(count)
        each = subspace_scores(embeddings[first], embeddings[second])
        scores = (eigenvalues[first] * each).sum(-1).reshape(count, count)
        chances = torch.sigmoid(scores / temperature)
        wins[own] = (chances.sum(1) - chances.diagonal()) / (count - 1)
    return wins


def _dominance(
    embeddings: Float[Tensor, "reply axis"],
    eigenvalues: Float[Tensor, "reply subspace"],
    group: Int[Tensor, " reply"],
) -> Float[Tensor, " reply"]:
    """Share of the plane that says most, from 1 over their number to 1."""
    planes = eigenvalues.shape[1]
    alone = [
        intransitive_advantages(
            embeddings[:, 2 * plane : 2 * plane + 2], eigenvalues[:, plane : plane + 1], group
        ).abs()
        for plane in range(planes)
    ]
    sizes = torch.stack(alone, dim=1)
    total = sizes.sum(1)
    shares = sizes.amax(1) / total.clamp(min=1e-12)
    return torch.where(total > 0, shares, torch.full_like(shares, 1 / planes))


@dataclass(frozen=True)
class PairwiseGenerativeReward:
    """How surely a judging policy prefers a reply to others (Mahan et al. 2024, arXiv:2410.12832).

    Every two replies are shown in both orders and the two probabilities are averaged, so that a
    judge who favours a place favours nobody.
    """

    judge: Policy
    form: VerdictFormat = VerdictFormat()  # noqa: RUF009 - frozen
    """How replies are shown."""
    opponents: Mapping[Prompt, Sequence[str]] | None = None
    """Replies to compare with, by prompt, usually the reference's; None for the other replies to
    the prompt."""
    microbatch_tokens: int = 8192
    name: str = "pairwise_generative"

    def score(self, replies: Sequence[Reply]) -> Scored:
        """Mean win probability of each reply; 1/2 where there is nothing to compare it with.

        Part `order_gap`: mean distance of the probabilities in the two orders; 0 for a judge who
        does not mind the place.
        """
        asked = [(i, other) for i, own in enumerate(self._others(replies)) for other in own]
        chances = self.chances([(replies[i].prompt, replies[i].text, o) for i, o in asked])
        wins: dict[int, list[float]] = defaultdict(list)
        gaps: dict[int, list[float]] = defaultdict(list)
        for (i, _), (shown_first, shown_second) in zip(asked, chances, strict=True):
            wins[i].append((shown_first + shown_second) / 2)
            gaps[i].append(abs(shown_first - shown_second))
        every = range(len(replies))
        values = [sum(wins[i]) / len(wins[i]) if wins[i] else UNDECIDED for i in every]
        gap = [sum(gaps[i]) / len(gaps[i]) if gaps[i] else 0.0 for i in every]
        return Scored(torch.tensor(values), {"order_gap": torch.tensor(gap)})

    def chances(self, pairs: Sequence[tuple[Prompt, str, str]]) -> list[tuple[float, float]]:
        """Probability that the first of two replies is better: shown first, and shown second."""
        chat = ChatFormat(self.judge.tokenizer)
        form = self.form
        items = [
            form.item(chat, form.question(prompt, a, b))
            for prompt, mine, other in pairs
            for a, b in permutations((mine, other))
        ]
        first = verdict_probabilities(self.judge, items, tokens=self.microbatch_tokens)
        return [(one, 1 - two) for one, two in zip(first[::2], first[1::2], strict=True)]

    def _others(self, replies: Sequence[Reply]) -> list[list[str]]:
        if self.opponents is not None:
            return [list(self.opponents.get(reply.prompt, ())) for reply in replies]
        group = prompt_groups(replies).tolist()
        return [
            [r.text for j, r in enumerate(replies) if group[j] == own and j != i]
            for i, own in enumerate(group)
        ]


@torch.no_grad()
def verdict_probabilities(judge: Policy, items: Sequence[Item], *, tokens: int) -> list[float]:
    """For each question the probability of its first option, among the two options alone."""
    found: dict[int, float] = {}
    was_training = judge.training
    judge.eval()
    numbered = [Item(i.prompt, i.responses, i.ranks, n) for n, i in enumerate(items)]
    for group in microbatches(numbered, tokens):
        packed = pack(group).to(judge.device)
        logps = judge(packed, frozenset({Need.LOGPS})).logps
        chances = torch.sigmoid(logps[0::2] - logps[1::2]).tolist()
        found |= {item.record: chance for item, chance in zip(group, chances, strict=True)}
    judge.train(was_training)
    return [found[n] for n in range(len(items))]
