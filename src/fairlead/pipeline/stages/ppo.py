"""Proximal policy optimisation of a policy against a reward model."""

from typing import ClassVar, Literal

from fairlead.data.chat import ChatFormat, Item, encode, encode_prompts
from fairlead.data.convert import demonstrations, prompts
from fairlead.generation.local import LocalEngine
from fairlead.lineage.result import StageResult
from fairlead.models.loading import Lora, load_policy, load_reward_model, require_same_base
from fairlead.objectives.ppo import PPO
from fairlead.pipeline.stage import Context, Stage, require_path
from fairlead.rewards.model import ModelReward
from fairlead.training.config import TrainConfig
from fairlead.training.loop import train
from fairlead.training.rollouts import RolloutConfig, RolloutSource


class PPOStage(Stage):
    """Samples, scores and updates; `train.batch_size` and `epochs` do not apply here."""

    kind: Literal["ppo"] = "ppo"
    model: str | None
    """The policy to start from and to stay near, usually an SFT stage."""
    reward: str
    """The reward model."""
    data: str
    """Records whose prompts are answered."""
    objective: PPO = PPO()
    """Settings of the objective."""
    rollouts: RolloutConfig = RolloutConfig()
    train: TrainConfig = TrainConfig()
    """Settings of the loop."""
    value: Literal["separate", "shared"] = "separate"
    """A critic of its own, starting as the reward model, or a head on the policy's trunk."""
    pretraining: str | None = None
    """Replies mixed in by `rollouts.pretraining_ratio` (PPO-ptx)."""
    lora: Lora | None = None
    """Train adapters instead of all weights; the reference is the model without them."""
    allow_other_base: bool = False
    """Use a reward model that was trained for another base model."""
    require_eos: bool = True
    """Stop when no reply of the first rollout batch ends."""
    file_fields: ClassVar[tuple[str, ...]] = ("model", "reward", "data", "pretraining")

    def run(self, context: Context) -> StageResult:
        """Trains; prompts that leave no room for a reply are counted."""
        reward_model = load_reward_model(context.model(self.reward)).eval()
        reward_model.requires_grad_(False)
        path = context.model(require_path(self.model, "model.path"))
        policy = load_policy(path, lora=self.lora)
        require_same_base(reward_model, policy, allowed=self.allow_other_base)
        reference = None if policy.adapts else policy.frozen_copy()
        same_size = reward_model.model.config.hidden_size == policy.model.config.hidden_size
        critic = reward_model if reward_model.pooling == "last" and same_size else None
        policy = load_policy(path, lora=self.lora, value=self.value, critic=critic)
        chat = ChatFormat(policy.tokenizer)
        records = prompts(context.records(self.data))
        room = policy.context - self.rollouts.sampling.max_new_tokens
        asked, too_long = encode_prompts(records, chat, max_length=room)
        source = RolloutSource(
            policy,
            reference=reference,
            engine=LocalEngine(policy),
            reward=ModelReward(reward_model, policy.tokenizer),
            prompts=asked,
            records=records,
            config=self.rollouts,
            microbatch_tokens=self.train.microbatch_tokens,
            seed=context.seed.child("rollouts"),
            pretraining=self._pretraining(context, chat, policy.context),
        )
        train(
            policy,
            self.objective,
            source,
            self.train,
            seed=context.seed,
            run_dir=context.folder,
            resume=context.resume,
            require_eos=self.require_eos,
        )
        note = f"{len(asked)} prompts; {len(too_long)} left out because they leave no room to reply"
        return StageResult(notes=(note,))

    def _pretraining(self, context: Context, chat: ChatFormat, length: int) -> list[Item]:
        if self.pretraining is None:
            return []
        records = demonstrations(context.records(self.pretraining))
        return encode(records, chat, max_length=length)[0]
