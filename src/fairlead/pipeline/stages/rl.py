"""Online optimisation of a policy: sample, score, learn."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Union

from pydantic import Field, NonNegativeFloat, model_validator

from fairlead.core.results import StageResult, Table
from fairlead.data.chat import ChatFormat, Ids, Item, encode, encode_prompts
from fairlead.data.convert import demonstrations, tasks
from fairlead.generation.local import LocalEngine
from fairlead.generation.mixture import MixtureEngine
from fairlead.models.heads import Scalar
from fairlead.models.loading import Lora, hidden_size, load_policy, load_reward_model
from fairlead.models.policy import Policy
from fairlead.models.reward_model import RewardModel
from fairlead.objectives import OBJECTIVES, Need, Objective, PreferenceBatch, RolloutBatch
from fairlead.objectives.ppo import PPO
from fairlead.pipeline.rewards import AnyReward, RewardSpec, Setting, TrainedReward, as_spec
from fairlead.pipeline.stage import Context, Stage, require_path
from fairlead.pipeline.watching import HeldOut, WatchSpec, drawn, seen
from fairlead.records import Problem, Prompt
from fairlead.training.collecting import Collector
from fairlead.training.config import TrainConfig
from fairlead.training.loop import train
from fairlead.training.online_pairs import PairSource
from fairlead.training.recording import Recorder
from fairlead.training.rollout_config import RolloutConfig
from fairlead.training.rollouts import Online, RolloutSource
from fairlead.training.watch import Watch

PAIRED: dict[str, Any] = {"samples": 2, "epochs": 1, "kl": {"coefficient": 0.0}}
"""Rollout settings of objectives on pairs, where the user gives no others."""


def _is_online(objective: type[Objective]) -> bool:
    if objective.batch is RolloutBatch:
        return True
    judges = getattr(objective, "judges", False)
    return objective.batch is PreferenceBatch and Need.LOGPS in objective.needs and not judges


ONLINE = tuple(objective for objective in OBJECTIVES.values() if _is_online(objective))
"""Objectives that can learn from replies sampled while training."""

AnyOnline = Annotated[
    Union[ONLINE],  # pyright: ignore  # noqa: UP007 - of a tuple made at run time
    Field(discriminator="kind"),
]


class RLStage(Stage):
    """Samples, scores and updates; `train.batch_size` and `epochs` do not apply here.

    With an objective on rollouts (ppo, grpo, ...) every reply is credited with its score; with one
    on pairs (dpo, ipo, xpo, ...) the best reply to a prompt is preferred to the worst: online DPO,
    or iterative DPO where `rollouts.sync_reference` is set.
    """

    kind: Literal["rl"] = "rl"
    model: str | None
    """The policy to start from and to stay near, usually an SFT stage."""
    reward: str | AnyReward
    """A reward model, or any other reward by its `kind`."""
    cost: str | AnyReward | None = None
    """What is to be limited: a cost model, or any other reward by its `kind`."""
    data: str
    """Records whose prompts are answered; problems bring the answer they are checked against."""
    objective: AnyOnline = PPO()  # pyright: ignore[reportInvalidTypeForm]
    """Settings of the objective."""
    rollouts: RolloutConfig = RolloutConfig()
    """How replies are sampled and credited; the objective brings defaults of its own."""
    train: TrainConfig = TrainConfig()
    """Settings of the loop."""
    value: Literal["separate", "shared"] = "separate"
    """A critic of its own, starting as the reward model, or a head on the policy's trunk."""
    min_gap: NonNegativeFloat = 0.0
    """Smallest difference in score that makes a pair, for objectives on pairs."""
    pretraining: str | None = None
    """Replies mixed in by `rollouts.pretraining_ratio` (PPO-ptx)."""
    watch: WatchSpec | None = None
    """A reward that is not trained on, to be looked at along the way."""
    lora: Lora | None = None
    """Train adapters instead of all weights; the reference is the model without them."""
    allow_other_base: bool = False
    """Use reward models that were trained for another base model."""
    require_eos: bool = True
    """Stop when no reply of the first rollout batch ends."""
    file_fields: ClassVar[tuple[str, ...]] = ("model", "data", "pretraining")
    keeps_rollouts: ClassVar[bool] = True

    @model_validator(mode="before")
    @classmethod
    def _with_the_objectives_defaults(cls, values: Any) -> Any:
        """Puts the rollout settings that belong to the objective under those of the user."""
        if not isinstance(values, dict):
            return values
        given = values.get("objective", PPO())
        kind = given.get("kind", "ppo") if isinstance(given, dict) else given.kind
        objective = OBJECTIVES.get(kind)
        if objective is None or not _is_online(objective):
            return values
        own = PAIRED if objective.batch is PreferenceBatch else {}
        defaults = own | getattr(objective, "rollouts", {})
        asked = values.get("rollouts", {})
        if isinstance(asked, RolloutConfig):
            asked = asked.model_dump(exclude_unset=True)
        return values | {"rollouts": _over(defaults, asked)}

    def with_objective(self, kind: str) -> "RLStage":
        """The same stage for another objective, whose own rollout settings replace this one's."""
        given = self.model_dump(mode="json", exclude_unset=True)
        own = getattr(self.objective, "rollouts", {})
        asked = _less(given.get("rollouts", {}), RolloutConfig(**own).model_dump(mode="json"), own)
        changed = given | {"kind": "rl", "objective": {"kind": kind}, "rollouts": asked}
        return RLStage.model_validate(changed)

    def references(self) -> list[tuple[str, str]]:
        """(field, name) of everything it reads, the rewards' models among them."""
        named = [("reward", name) for name in as_spec(self.reward).references()]
        if self.cost is not None:
            named += [("cost", name) for name in as_spec(self.cost).references()]
        if self.watch is not None:
            named += [(f"watch.{field}", name) for field, name in self.watch.references()]
        return super().references() + named

    def run(self, context: Context) -> StageResult:
        """Trains; prompts that leave no room for a reply are counted."""
        path = context.model(require_path(self.model, "model.path"))
        policy = self._policy(context, path)
        reference = None if policy.adapts else load_policy(path).requires_grad_(False).eval()
        asked = self._asked(context, policy)
        held_out = self._held_out(context, policy, asked)
        recorder = self._recorder(context)
        source = self._source(context, policy, reference, asked, held_out, recorder)
        watch = self._watch(context, policy, reference, held_out, source)
        train(
            policy,
            self.objective,
            source,
            self.train,
            seed=context.seed,
            run_dir=context.folder,
            resume=context.resume,
            require_eos=self.require_eos,
            watcher=watch,
        )
        note = (
            f"{len(asked.prompts)} prompts; {asked.too_long} left out because they leave no room "
            "to reply"
        )
        ended = ("the run ended early: the KL passed rollouts.stop_kl",) if source.finished else ()
        found = StageResult(notes=(note, *ended), tables=_replayed(recorder))
        return found if watch is None or held_out is None else seen(watch, held_out, found)

    def _policy(self, context: Context, path: str) -> Policy:
        paired = self.objective.batch is PreferenceBatch
        needs = self.objective.needs | (frozenset() if paired else self.rollouts.credit.needs)
        if Need.VALUES not in needs:
            return load_policy(path, lora=self.lora)
        return load_policy(
            path,
            lora=self.lora,
            value=self.value,
            critic=self._critic(context, path),
            cost_values=Need.COST_VALUES in needs,
        )

    def _critic(self, context: Context, path: str) -> RewardModel | None:
        """The reward model, where a critic of its own can start as it."""
        spec = as_spec(self.reward)
        if self.value != "separate" or type(spec) is not TrainedReward:
            return None
        model = load_reward_model(context.model(spec.path))
        same_size = model.model.config.hidden_size == hidden_size(path)
        scalar = isinstance(model.settings, Scalar) and model.pooling == "last"
        return model if scalar and same_size else None

    def _asked(self, context: Context, policy: Policy) -> "_Asked":
        records = tasks(context.records(self.data))
        prompts = [r.prompt if isinstance(r, Problem) else r for r in records]
        room = policy.context - self.rollouts.sampling.max_new_tokens
        kept, too_long = encode_prompts(prompts, ChatFormat(policy.tokenizer), max_length=room)
        return _Asked(records, kept, len(too_long))

    def _held_out(self, context: Context, policy: Policy, asked: "_Asked") -> HeldOut | None:
        if self.watch is None:
            return None
        room = policy.context - self.rollouts.sampling.max_new_tokens
        return drawn(self.watch, context, policy, room=room, trained=asked.records)

    def _watch(
        self,
        context: Context,
        policy: Policy,
        reference: Policy | None,
        held_out: HeldOut | None,
        source: Online,
    ) -> Watch | None:
        if self.watch is None or held_out is None:
            return None
        setting = self._setting(context, policy, held_out.records, held_out.prompts, "watch")
        return Watch(
            policy,
            reference=reference,
            held_out=as_spec(self.watch.reward).source(setting),
            proxy=source.reward,
            prompts=held_out.prompts,
            records=held_out.records,
            sampling=self.rollouts.sampling,
            config=self.watch,
            seed=context.seed.child("watch", "replies"),
        )

    def _setting(
        self,
        context: Context,
        policy: Policy,
        records: Sequence[Prompt | Problem],
        prompts: Sequence[tuple[int, Ids]],
        *names: str,
    ) -> Setting:
        return Setting(
            context=context,
            policy=policy,
            sampling=self.rollouts.sampling,
            prompts=prompts,
            records=records,
            seed=context.seed.child(*names, "reward"),
            allow_other_base=self.allow_other_base,
        )

    def _source(
        self,
        context: Context,
        policy: Policy,
        reference: Policy | None,
        asked: "_Asked",
        held_out: HeldOut | None,
        recorder: Recorder | None,
    ) -> Online:
        engine = LocalEngine(policy)
        setting = self._setting(context, policy, *_with(asked, held_out))
        share = self.rollouts.opponent
        collector = Collector(
            policy,
            reference=reference,
            engine=engine,
            reward=as_spec(self.reward).source(setting),
            cost=None if self.cost is None else as_spec(self.cost).source(setting),
            opponent=None if share is None else MixtureEngine(policy, reference, share),
            prompts=asked.prompts,
            records=asked.records,
            config=self.rollouts,
            microbatch_tokens=self.train.microbatch_tokens,
            seed=context.seed.child("rollouts"),
        )
        if self.objective.batch is PreferenceBatch:
            explores = getattr(self.objective, "explores", False)
            explorer = MixtureEngine(policy, reference, 1.0) if explores else None
            return PairSource(
                collector,
                explorer=explorer,
                min_gap=self.min_gap,
                recorder=recorder,
                endless=self.train.max_token_passes is not None,
            )
        return RolloutSource(
            collector,
            needs=self.objective.needs,
            pretraining=self._pretraining(context, collector.chat, policy.context),
            recorder=recorder,
            endless=self.train.max_token_passes is not None,
        )

    def _pretraining(self, context: Context, chat: ChatFormat, length: int) -> list[Item]:
        if self.pretraining is None:
            return []
        records = demonstrations(context.records(self.pretraining))
        return encode(records, chat, max_length=length)[0]

    def _recorder(self, context: Context) -> Recorder | None:
        if not context.record and context.replay is None:
            return None
        kept = context.folder / "rollouts" if context.record else None
        if context.replay is None:
            return Recorder(kept)
        # A replay into the same run has set the recorded stage aside.
        places = [context.replay / place / self.name for place in ("stages", "earlier")]
        found = [p / "rollouts" for p in places if (p / "rollouts").is_dir()]
        return Recorder(kept, (found or [places[0] / "rollouts"])[0])


def _with(
    asked: "_Asked", held_out: HeldOut | None
) -> tuple[Sequence[Prompt | Problem], Sequence[tuple[int, Ids]]]:
    """Everything the reward will be asked about: what is trained on, and then what is watched.

    In this order a reward that samples the reference draws for training what it draws unwatched.
    """
    if held_out is None:
        return asked.records, asked.prompts
    first = len(asked.records)
    later = [(first + index, ids) for index, ids in held_out.prompts]
    return [*asked.records, *held_out.records], [*asked.prompts, *later]


@dataclass(frozen=True)
class _Asked:
    """What is asked."""

    records: Sequence[Prompt | Problem]
    prompts: list[tuple[int, Ids]]
    too_long: int


def _less(given: dict[str, Any], full: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """Settings without those that only repeat the defaults; `full` has these as they are dumped."""
    kept: dict[str, Any] = {}
    for key, value in given.items():
        if key not in defaults:
            kept[key] = value
        elif isinstance(value, dict) and isinstance(defaults[key], dict):
            below = _less(value, full[key], defaults[key])
            kept |= {key: below} if below else {}
        elif value != full[key]:
            kept[key] = value
    return kept


def _over(defaults: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Settings laid over defaults, level by level; another `kind` brings its own defaults."""
    merged = dict(defaults)
    for key, value in given.items():
        below = merged.get(key)
        nested = isinstance(value, dict) and isinstance(below, dict)
        if nested and value.get("kind", below.get("kind")) == below.get("kind"):  # pyright: ignore
            merged[key] = _over(below, value)  # pyright: ignore
        else:
            merged[key] = value
    return merged


def _replayed(recorder: Recorder | None) -> tuple[Table, ...]:
    """How the replay compares with what was recorded."""
    if recorder is None or not recorder.replays:
        return ()
    rows = tuple(
        (name, d.numbers, d.largest, "none" if d.first is None else str(d.first))
        for name, d in recorder.differences.items()
    )
    columns = ("number", "compared", "largest difference", "first differing rollout batch")
    return (Table(title="Replay against the recording", columns=columns, rows=rows),)


__all__ = ["ONLINE", "RLStage", "RewardSpec"]
