"""What a reward may know of the run it serves, and what every reward can do."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from fairlead.core.seeds import Seed
from fairlead.data.chat import ChatFormat, Ids
from fairlead.data.checks import prompt_of
from fairlead.generation.local import LocalEngine
from fairlead.generation.sampling import Sampling
from fairlead.models.policy import Policy
from fairlead.pipeline.stage import Context
from fairlead.records import Problem, Prompt
from fairlead.rewards.base import Reply, RewardSource
from fairlead.rewards.references import ReferenceScores, reference_scores, sample_replies

REFERENCE_PROMPTS = 256
"""Prompts whose reference replies set a scale or a line of length."""


@dataclass(frozen=True)
class Setting:
    """What a reward may need to know of the run it serves."""

    context: Context
    policy: Policy
    """The policy at its start: the reference, whose tokenizer the replies are in."""
    sampling: Sampling
    """How replies are sampled."""
    prompts: Sequence[tuple[int, Ids]]
    """The prompts that will be asked: (index into `records`, tokens)."""
    records: Sequence[Prompt | Problem]
    seed: Seed
    allow_other_base: bool = False
    """Take reward models that were trained for another base model."""

    @classmethod
    def asking(
        cls,
        records: Sequence[Prompt | Problem],
        *,
        context: Context,
        policy: Policy,
        sampling: Sampling,
        seed: Seed,
        allow_other_base: bool = False,
    ) -> "Setting":
        """A setting in which all of these are asked."""
        chat = ChatFormat(policy.tokenizer)
        prompts = [(i, chat.prompt_ids(prompt_of(record))) for i, record in enumerate(records)]
        return cls(context, policy, sampling, prompts, records, seed, allow_other_base)

    def replies(self) -> list[Reply]:
        """One reply of the reference to each of some prompts."""
        return sample_replies(
            LocalEngine(self.policy),
            self.prompts[:REFERENCE_PROMPTS],
            self.records,
            ChatFormat(self.policy.tokenizer),
            sampling=self.sampling,
            count=1,
            seed=self.seed.child("replies"),
        )

    def reference_scores(self, source: RewardSource, count: int) -> ReferenceScores:
        """Scores of `count` replies of the reference to every prompt."""
        return reference_scores(
            LocalEngine(self.policy),
            source,
            self.prompts,
            self.records,
            ChatFormat(self.policy.tokenizer),
            sampling=self.sampling,
            count=count,
            seed=self.seed.child("references"),
        )


class RewardSpec(BaseModel, ABC):
    """A reward as a recipe describes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @abstractmethod
    def source(self, setting: Setting) -> RewardSource:
        """Loads and builds it."""

    def references(self) -> list[str]:
        """Models and files that it reads."""
        return []
