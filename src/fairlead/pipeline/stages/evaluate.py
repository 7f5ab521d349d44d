"""Compares policies on held-out prompts: gain over a baseline, reward against KL, replies."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, PositiveInt

from fairlead.core.estimates import NamedEstimate
from fairlead.core.results import Figure, Sample, Scores, Series, StageResult, Table
from fairlead.core.results import Reply as ShownReply
from fairlead.data.convert import prompts
from fairlead.generation.divergence import log_ratios
from fairlead.generation.sampling import Sampling
from fairlead.models.loading import load_policy, load_reward_model
from fairlead.models.policy import Policy
from fairlead.pipeline.rewards import AnyReward, Setting, as_spec
from fairlead.pipeline.sampling import fitting, sample_replies
from fairlead.pipeline.stage import Context, Stage
from fairlead.records import Prompt
from fairlead.rewards.base import FunctionReward, Reply, RewardSource
from fairlead.rewards.model import ModelReward
from fairlead.stats.best_of_n import best_of_n_kl_bound
from fairlead.stats.means import mean_estimate, paired_difference
from fairlead.testbeds.arithmetic import ArithmeticWorld
from fairlead.testbeds.assistant import AssistantWorld

WORLDS = {"assistant": AssistantWorld, "arithmetic": ArithmeticWorld}
"""Testbeds whose true utility is known."""


@dataclass(frozen=True)
class Outcome:
    """One policy's replies to the prompts, one row per prompt, and what they are worth."""

    label: str
    replies: list[list[Reply]]
    scores: dict[str, np.ndarray]
    """Per judge ("gold", "proxy"): scores [prompt, sample]."""
    kl: np.ndarray
    """KL to the baseline in nats per reply, per prompt, estimated on these replies (k1)."""
    lengths: np.ndarray
    """Reply lengths in tokens, [prompt, sample]."""
    costs: dict[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    """Per cost: what each reply costs, [prompt, sample]."""

    def per_prompt(self, judge: str) -> np.ndarray:
        """Mean score of each prompt's replies."""
        return self.scores[judge].mean(axis=1)


class EvaluateStage(Stage):
    """Samples every policy on the same prompts and reports paired differences."""

    kind: Literal["evaluate"] = "evaluate"
    baseline: str
    """The policy that the others are compared with, usually SFT."""
    policies: dict[str, str]
    """Name and stage of each policy to compare."""
    data: str
    """Records whose prompts are answered."""
    reward: str | None = None
    """Reward model: the proxy."""
    gold: Literal["assistant", "arithmetic"] | None = None
    """Testbed whose true utility is known."""
    judge: str | None = None
    """A second reward model that no policy was trained on."""
    costs: dict[str, "str | AnyReward"] = Field(default_factory=dict)
    """Name and source of what replies cost, measured for every policy and for the baseline: a cost
    model, or any other reward by its `kind`."""
    prompts: PositiveInt = 300
    """Held-out prompts at most."""
    samples: PositiveInt = 4
    """Replies per prompt and policy."""
    best_of: tuple[PositiveInt, ...] = (2, 4, 8, 16)
    """Numbers of baseline samples of which the reward model picks the best; the largest counts."""
    curves: bool = True
    """Evaluate the policies' checkpoints too, for reward against KL."""
    shown: PositiveInt = 6
    """Prompts whose replies the report shows."""
    sampling: Sampling = Sampling(max_new_tokens=64)
    """How replies are sampled."""
    file_fields: ClassVar[tuple[str, ...]] = ("baseline", "policies", "data", "reward", "judge")

    def references(self) -> list[tuple[str, str]]:
        """(field, name) of everything it reads, the models of the costs among them."""
        specs = [as_spec(cost) for cost in self.costs.values()]
        return super().references() + [("costs", n) for spec in specs for n in spec.references()]

    def run(self, context: Context) -> StageResult:
        """Samples, scores, and compares, paired by prompt."""
        bench = _Bench(self, context)
        base = bench.outcome("baseline", bench.baseline, self._samples_of_baseline())
        trained = {
            name: bench.outcome(name, load_policy(context.model(stage)), self.samples)
            for name, stage in self.policies.items()
        }
        best = _best_of_n(base, max(self.best_of)) if self.reward and self.best_of else None
        shown = {**trained, **({"best_of_n": best} if best else {})}
        estimates = [e for n, o in shown.items() for e in self._gains(n, o, base)]
        estimates += [e for n, o in trained.items() for e in _levels(n, o)]
        estimates += [e for n, o in {"baseline": base, **shown}.items() for e in _costs(n, o)]
        figures = self._figures(bench, base, trained, context) if self.curves else ()
        return StageResult(
            estimates=tuple(estimates),
            figures=figures,
            tables=(_table({"baseline": base, **shown}),),
            samples=_samples(bench.prompts[: self.shown], {"baseline": base, **shown}),
            notes=(
                f"{len(bench.prompts)} held-out prompts, {self.samples} replies each; "
                f"{bench.too_long} left out because they leave no room to reply",
            ),
        )

    def _samples_of_baseline(self) -> int:
        return max(self.samples, *(self.best_of or (1,)))

    def _gains(self, name: str, outcome: Outcome, base: Outcome) -> list[NamedEstimate]:
        """Score over the baseline, paired by prompt."""
        return [
            paired_difference(outcome.per_prompt(judge), base.per_prompt(judge)).named(
                f"{judge}_gain/{name}"
            )
            for judge in base.scores
        ]

    def _figures(
        self, bench: "_Bench", base: Outcome, trained: dict[str, Outcome], context: Context
    ) -> tuple[Figure, ...]:
        """Each judge's gain against the square root of the KL, along training and best-of-n."""
        paths: dict[str, list[Outcome]] = {}
        for name, stage in self.policies.items():
            folders = sorted(context.path(stage).glob("checkpoints/step-*/model"))
            steps = [bench.outcome(_step(f), load_policy(f), 1) for f in folders]
            paths[name] = [base, *steps, trained[name]]
        if self.reward and self.best_of:
            paths["best-of-n"] = [base, *(_best_of_n(base, n) for n in sorted(self.best_of))]
        return (_over_optimisation(paths, base),)


class _Bench:
    """The prompts, the judges and the baseline that every policy is held against."""

    def __init__(self, stage: EvaluateStage, context: Context) -> None:
        self.stage = stage
        self.seed = context.seed
        self.baseline = load_policy(context.model(stage.baseline)).eval()
        asked = prompts(context.records(stage.data))[: stage.prompts]
        self.prompts = fitting(self.baseline, asked, stage.sampling)
        self.too_long = len(asked) - len(self.prompts)
        self.judges: dict[str, RewardSource] = {}
        if stage.gold:
            self.judges["gold"] = FunctionReward(WORLDS[stage.gold]().gold, "gold")
        if stage.reward:
            self.judges["proxy"] = self._model(context.model(stage.reward))
        if stage.judge:
            self.judges["judge"] = self._model(context.model(stage.judge))
        setting = Setting.asking(
            self.prompts,
            context=context,
            policy=self.baseline,
            sampling=stage.sampling,
            seed=self.seed.child("costs"),
        )
        self.costs = {name: as_spec(c).source(setting) for name, c in stage.costs.items()}

    def _model(self, path: str) -> ModelReward:
        return ModelReward(load_reward_model(path).eval(), self.baseline.tokenizer)

    def outcome(self, label: str, policy: Policy, samples: int) -> Outcome:
        """Samples a policy and has its replies judged."""
        policy.eval()
        seed = self.seed.child("sample")
        replies = sample_replies(policy, self.prompts, self.stage.sampling, n=samples, seed=seed)
        flat = [reply for own in replies for reply in own]
        shape = (len(replies), samples)
        scores, costs = (
            {n: source.score(flat).values.numpy().reshape(shape) for n, source in sources.items()}
            for sources in (self.judges, self.costs)
        )
        lengths = np.array([len(r.response_ids) for r in flat]).reshape(shape)
        return Outcome(label, replies, scores, self._kl(policy, replies), lengths, costs)

    def _kl(self, policy: Policy, replies: Sequence[Sequence[Reply]]) -> np.ndarray:
        """Mean sequence log-ratio to the baseline of each prompt's replies, in nats."""
        if policy is self.baseline:
            return np.zeros(len(replies))
        moved, _ = log_ratios(
            policy,
            self.baseline,
            [own[0].prompt_ids for own in replies],
            [[reply.response_ids for reply in own] for own in replies],
            temperature=self.stage.sampling.temperature or 1.0,
        )
        return moved.double().mean(1).numpy()


def _best_of_n(base: Outcome, n: int) -> Outcome:
    """The reply of n that the proxy likes best; its KL is the bound log n - (n - 1) / n."""
    picked = base.scores["proxy"][:, :n].argmax(axis=1)
    rows = np.arange(len(picked))
    return Outcome(
        f"best of {n}",
        [[base.replies[i][k]] for i, k in zip(rows, picked, strict=True)],
        {name: scores[rows, picked][:, None] for name, scores in base.scores.items()},
        np.full(len(picked), best_of_n_kl_bound(n)),
        base.lengths[rows, picked][:, None],
        {name: costs[rows, picked][:, None] for name, costs in base.costs.items()},
    )


def _over_optimisation(paths: dict[str, list[Outcome]], base: Outcome) -> Figure:
    series: list[Series] = []
    for name, outcomes in paths.items():
        ordered = sorted(outcomes, key=lambda outcome: outcome.kl.mean())
        for judge in base.scores:
            gains = [mean_estimate(o.per_prompt(judge) - base.per_prompt(judge)) for o in ordered]
            series.append(
                Series.of(
                    f"{name}, {judge}",
                    tuple(max(float(o.kl.mean()), 0.0) ** 0.5 for o in ordered),
                    gains,
                )
            )
    return Figure(
        title="Reward gained against distance travelled",
        x_label="√KL to the baseline (√nats per reply)",
        y_label="gain over the baseline",
        series=tuple(series),
        caption="A proxy that keeps rising while the gold reward falls is being over-optimised. "
        "Bands are 95 % intervals over prompts; best-of-n is placed at its KL bound.",
    )


def _levels(name: str, outcome: Outcome) -> list[NamedEstimate]:
    values = {f"length/{name}": outcome.lengths.mean(axis=1), f"kl/{name}": outcome.kl}
    return [mean_estimate(v).named(n) for n, v in values.items()]


def _costs(name: str, outcome: Outcome) -> list[NamedEstimate]:
    """Mean cost of a reply, with its interval over prompts."""
    return [
        mean_estimate(values.mean(axis=1)).named(f"{cost}_cost/{name}")
        for cost, values in outcome.costs.items()
    ]


def _table(outcomes: dict[str, Outcome]) -> Table:
    judges = list(next(iter(outcomes.values())).scores)
    rows = tuple(
        (
            name,
            *(float(o.scores[j].mean()) for j in judges),
            *(float(cost.mean()) for cost in o.costs.values()),
            float(o.kl.mean()),
            float(o.lengths.mean()),
        )
        for name, o in outcomes.items()
    )
    costs = [f"{name} cost" for name in next(iter(outcomes.values())).costs]
    columns = ("policy", *judges, *costs, "KL to baseline (nats)", "reply length (tokens)")
    return Table(title="Policies on held-out prompts", columns=columns, rows=rows)


def _samples(asked: Sequence[Prompt], outcomes: dict[str, Outcome]) -> tuple[Sample, ...]:
    return tuple(
        Sample(
            prompt="\n".join(f"{m.role}: {m.content}" for m in prompt.messages),
            replies=tuple(
                ShownReply(
                    policy=name,
                    text=o.replies[i][0].text,
                    scores=Scores(
                        **{k: float(v[i, 0]) for k, v in o.scores.items() if k != "judge"}
                    ),
                )
                for name, o in outcomes.items()
            ),
        )
        for i, prompt in enumerate(asked)
    )


def _step(folder: Path) -> str:
    found = re.search(r"step-(\d+)", str(folder))
    return f"step {int(found[1])}" if found else folder.name
