"""Compares ways to decode: reward against tokens spent, beside best-of-n at equal tokens."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from fairlead.core.results import StageResult
from fairlead.data.convert import prompts
from fairlead.decoding import AnyDecoder
from fairlead.decoding.judging import ValueReward
from fairlead.generation.sampling import Sampling
from fairlead.models.loading import load_policy, load_reward_model
from fairlead.models.policy import Policy
from fairlead.pipeline.decoding import Bench, Curve, Outcome, figures, measures, samples, table
from fairlead.pipeline.rewards import AnyReward, Setting, as_spec
from fairlead.pipeline.sampling import fitting
from fairlead.pipeline.stage import Context, Stage
from fairlead.pipeline.stages.evaluate import WORLDS
from fairlead.records import Prompt
from fairlead.rewards.base import FunctionReward, RewardSource

PLAIN = "best of "
"""How rows of best-of-n begin in the table."""


class DecodeStage(Stage):
    """Answers held-out prompts in several ways with one policy, and says what each way costs.

    Tokens spent are positions computed by the policy and by reward models. Every way is held
    against plain samples and against best-of-n at equal tokens, whose expectation is taken over
    all choices of n among `samples` replies. Where a way costs as much as n + f samples, that is
    best of n + 1 with probability f, else of n.
    """

    kind: Literal["decode"] = "decode"
    policy: str
    """Who answers."""
    data: str
    """Records whose prompts are answered."""
    reward: str | AnyReward
    """What the decoders go by: a reward model, or any other reward by its `kind`."""
    value: str | None = None
    """Value model, for replies that are under way; none for the reward itself."""
    decoders: dict[str, AnyDecoder] = Field(min_length=1)  # pyright: ignore[reportInvalidTypeForm]
    """Name and settings of each way to decode."""
    guided: tuple[str, ...] = ()
    """Those of the decoders that go by the value model while replies are under way."""
    gold: Literal["assistant", "arithmetic"] | None = None
    """Testbed whose true utility is known."""
    prompts: PositiveInt = 200
    """Prompts at most."""
    samples: PositiveInt = Field(default=32, ge=2)
    """Plain samples per prompt, among which best-of-n chooses."""
    sampling: Sampling = Sampling(max_new_tokens=64)
    """How plain samples are drawn."""
    shown: PositiveInt = 4
    """Prompts whose replies the report shows."""
    allow_other_base: bool = False
    """Use reward models that were trained for another base model."""
    file_fields: ClassVar[tuple[str, ...]] = ("policy", "data", "value")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if taken := [name for name in self.decoders if name.startswith(PLAIN)]:
            raise ValueError(f"{taken[0]!r} is what decoders are compared with: name it otherwise")
        if unknown := {*self.guided} - {*self.decoders}:
            raise ValueError(f"no decoder is called {', '.join(sorted(unknown))}")
        if self.guided and self.value is None:
            raise ValueError("guided decoders need a value model: set value")
        return self

    def references(self) -> list[tuple[str, str]]:
        """(field, name) of everything it reads, the reward's models among them."""
        return super().references() + [
            ("reward", path) for path in as_spec(self.reward).references()
        ]

    def run(self, context: Context) -> StageResult:
        """Samples, decodes, and compares, paired by prompt."""
        policy = load_policy(context.model(self.policy)).eval()
        every = prompts(context.records(self.data))[: self.prompts]
        asked = fitting(policy, every, self.sampling)
        reward = self._reward(context, policy, asked)
        value = self._value(context, policy)
        gold = None if self.gold is None else FunctionReward(WORLDS[self.gold]().gold, "gold")
        bench = Bench(policy, asked, reward, gold, context.seed)
        curve = bench.curve(self.sampling, self.samples)
        outcomes = {
            name: bench.outcome(decoder, value if name in self.guided else None)
            for name, decoder in self.decoders.items()
        }
        return self._result(asked, len(every) - len(asked), curve, outcomes)

    def _reward(self, context: Context, policy: Policy, asked: Sequence[Prompt]) -> RewardSource:
        setting = Setting.asking(
            asked,
            context=context,
            policy=policy,
            sampling=self.sampling,
            seed=context.seed.child("reward"),
            allow_other_base=self.allow_other_base,
        )
        return as_spec(self.reward).source(setting)

    def _value(self, context: Context, policy: Policy) -> RewardSource | None:
        if self.value is None:
            return None
        model = load_reward_model(context.model(self.value)).eval().requires_grad_(False)
        return ValueReward(model, policy.tokenizer)

    def _result(
        self,
        asked: Sequence[Prompt],
        too_long: int,
        curve: Curve,
        outcomes: Mapping[str, Outcome],
    ) -> StageResult:
        capped = [name for name, own in outcomes.items() if curve.matched(own) >= self.samples]
        notes = [
            f"{len(asked)} prompts; {too_long} left out because they leave no room to reply; "
            f"{self.samples} plain samples of each"
        ]
        if capped:
            notes.append(
                f"{', '.join(capped)} cost more than best of {self.samples} and are held against "
                "that"
            )
        return StageResult(
            estimates=measures(curve, outcomes),
            tables=table(curve, outcomes),
            figures=figures(curve, outcomes),
            samples=samples(asked[: self.shown], outcomes),
            notes=tuple(notes),
        )
