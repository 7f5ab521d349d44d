"""The first run: the whole loop on the assistant testbed, on a CPU, with nothing to download."""

from fairlead.audits.diversity import Diversity
from fairlead.audits.drift import Drift
from fairlead.audits.over_optimisation import OverOptimisation
from fairlead.audits.reward_accuracy import RewardAccuracy
from fairlead.audits.reward_calibration import RewardCalibration
from fairlead.audits.win_rate import WinRate
from fairlead.generation.sampling import Sampling
from fairlead.objectives.dpo import DPO
from fairlead.objectives.ppo import PPO
from fairlead.pipeline.recipe import Recipe
from fairlead.pipeline.rewards import GoldReward
from fairlead.pipeline.stages import (
    AuditStage,
    EvaluateStage,
    LabelStage,
    PreferenceStage,
    RewardStage,
    RLStage,
    SFTStage,
    TestbedStage,
)
from fairlead.testbeds.annotators import Annotator
from fairlead.training.config import TrainConfig
from fairlead.training.rollout_config import KLControl, RolloutConfig

SAMPLING = Sampling(max_new_tokens=24)


def quickstart(seed: int = 0) -> Recipe:
    """Pretrain, SFT, label, reward model, PPO, DPO and best-of-n side by side, an audit."""
    return Recipe(
        name="quickstart",
        seed=seed,
        stages=(
            TestbedStage(name="world"),
            SFTStage(
                name="pretrain",
                model="@world",
                data="@world/corpus.jsonl",
                train=TrainConfig(batch_size=16, epochs=2, learning_rate=2e-3, log_every=10),
            ),
            SFTStage(
                name="sft",
                model="@pretrain",
                data="@world/demonstrations.jsonl",
                train=TrainConfig(batch_size=64, learning_rate=1e-3),
            ),
            LabelStage(
                name="label",
                policy="@sft",
                train="@world/train.jsonl",
                test="@world/test.jsonl",
                pairs=4,
                annotators=(
                    Annotator(name="careful", temperature=0.5),
                    Annotator(name="hasty", temperature=1.0),
                    Annotator(name="likes-length", fault="length", strength=0.25),
                ),
                sampling=SAMPLING,
            ),
            RewardStage(
                name="reward",
                model="@sft",
                data="@label/train.jsonl",
                test="@label/test.jsonl",
                train=TrainConfig(batch_size=64, epochs=1, learning_rate=1e-3),
            ),
            PreferenceStage(
                name="dpo",
                model="@sft",
                data="@label/train.jsonl",
                test="@label/test.jsonl",
                objective=DPO(beta=0.1),
                train=TrainConfig(batch_size=64, epochs=2, learning_rate=2e-4, keep_checkpoints=4),
            ),
            RLStage(
                name="ppo",
                model="@sft",
                reward="@reward",
                data="@world/train.jsonl",
                objective=PPO(),
                value="shared",
                rollouts=RolloutConfig(
                    prompts=128,
                    iterations=40,
                    epochs=2,
                    minibatches=2,
                    sampling=SAMPLING,
                    kl=KLControl(coefficient=0.1),
                ),
                train=TrainConfig(learning_rate=2e-4, schedule="constant", keep_checkpoints=8),
            ),
            EvaluateStage(
                name="evaluate",
                baseline="@sft",
                policies={"dpo": "@dpo", "ppo": "@ppo"},
                data="@world/test.jsonl",
                reward="@reward",
                gold="assistant",
                sampling=SAMPLING,
            ),
            AuditStage(
                name="audit",
                candidate="@dpo",
                baseline="@sft",
                rewards={"proxy": "@reward", "gold": GoldReward()},
                sampling=SAMPLING,
                audits=(
                    WinRate(prompts="@world/test.jsonl", by="gold", items=300, max_tokens=24),
                    Diversity(prompts="@world/test.jsonl", samples=8, max_tokens=24),
                    OverOptimisation(data="@world/test.jsonl", max_new_tokens=24),
                    # A reward model is a means: what it lacks informs, the policy decides.
                    RewardAccuracy(data="@label/test.jsonl", hard=False),
                    RewardCalibration(data="@label/test.jsonl", hard=False),
                    Drift(trained_on="@world/train.jsonl", max_tokens=24, hard=False),
                ),
            ),
        ),
    )
