"""Policy, values and reference on one trunk with adapters equal models of their own."""

import gc
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from fairlead.core.seeds import Seed
from fairlead.data.batches import pack
from fairlead.generation.local import LocalEngine
from fairlead.models.loading import Lora, load_policy, save_policy
from fairlead.models.policy import Policy
from fairlead.objectives.base import Need
from fairlead.objectives.batch import Scores
from fairlead.objectives.ppo import PPO
from fairlead.rewards.base import FunctionReward
from fairlead.training.collecting import Collector
from fairlead.training.config import TrainConfig
from fairlead.training.loop import train
from fairlead.training.rollout_config import RolloutConfig
from fairlead.training.rollouts import RolloutSource
from small_world import comparisons, items_of, prompt_ids, prompts, tiny_policy

NEEDS = frozenset({Need.LOGPS, Need.VALUES})


@pytest.fixture
def shared() -> Policy:
    """Trained adapters, as far as numbers go, and a value head that says something."""
    policy = tiny_policy(lora=Lora(rank=4), value="shared")
    random = Seed(3).numpy()
    with torch.no_grad():
        for name, weight in policy.named_parameters():
            if "lora_B" in name or name.startswith("value_head"):
                weight.copy_(torch.from_numpy(random.normal(0.0, 0.2, tuple(weight.shape))))
    return policy.eval()


@torch.no_grad()
def scores(policy: Policy, needs: frozenset[Need] = NEEDS) -> Scores:
    return policy(pack(items_of(comparisons(6))), needs)


def logps(policy: Policy) -> Tensor:
    found = scores(policy, frozenset({Need.LOGPS})).logps
    assert found is not None
    return found


def test_logps_and_values_equal_those_of_separate_models(shared: Policy, tmp_path: Path):
    save_policy(shared, tmp_path / "merged")
    actor = load_policy(tmp_path / "merged").eval()
    critic = load_policy(tmp_path / "merged", value="separate").eval()
    critic.value_head.load_state_dict(shared.value_head.state_dict())
    found, values = scores(shared), scores(critic).values
    assert found.values is not None and values is not None
    # Adding the adapters into the weights rounds, nothing else differs.
    torch.testing.assert_close(found.logps, logps(actor), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.values, values, rtol=1e-4, atol=1e-4)
    assert float(values.std()) > 0.1


def test_reference_is_the_model_without_its_adapters(shared: Policy):
    before = logps(shared)
    with shared.as_reference():
        reference = logps(shared)
    torch.testing.assert_close(reference, logps(tiny_policy()), rtol=0, atol=0)
    torch.testing.assert_close(logps(shared), before, rtol=0, atol=0)
    assert float((reference - before).abs().mean()) > 0.05


def weights_like(shape: torch.Size) -> set[int]:
    """Where tensors of this shape lie, whoever holds them."""
    gc.collect()
    # Exact types: tracing leaves tensors behind that have a shape and no memory.
    found = (x for x in gc.get_objects() if type(x) in (Tensor, Parameter) and x.shape == shape)
    return {x.data_ptr() for x in found}


def test_ppo_holds_the_weights_once(tmp_path: Path):
    shape = torch.Size((96, 32))
    config = {"hidden_size": 32, "intermediate_size": 96, "num_hidden_layers": 1}
    before = weights_like(shape)
    policy = _wide(config)
    assert len(weights_like(shape) - before) == 2  # gate and up projections
    records = prompts(8)
    collector = Collector(
        policy,
        reference=None,
        engine=LocalEngine(policy),
        reward=FunctionReward(lambda _, text: float(len(text.split()))),
        prompts=prompt_ids(records),
        records=records,
        config=RolloutConfig.model_validate(
            {"prompts": 4, "iterations": 2, "epochs": 1, "sampling": {"max_new_tokens": 4}}
        ),
        microbatch_tokens=512,
        seed=Seed(0),
    )
    source = RolloutSource(collector, needs=PPO().needs)
    frozen = logps_without(policy)
    settings = TrainConfig(learning_rate=1e-2, checkpoint_every=9)
    train(policy, PPO(), source, settings, seed=Seed(0), run_dir=tmp_path, require_eos=False)
    assert len(weights_like(shape) - before) == 2
    # The reference is what it was, although its weights are the policy's.
    torch.testing.assert_close(logps_without(policy), frozen, rtol=0, atol=0)
    assert float((logps(policy) - frozen).abs().max()) > 0


def logps_without(policy: Policy) -> Tensor:
    with policy.as_reference():
        return logps(policy)


def _wide(config: dict[str, int]) -> Policy:
    from transformers import LlamaConfig, LlamaForCausalLM

    from small_world import LENGTH, tokenizer

    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer()),
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=LENGTH,
            **config,  # pyright: ignore
        )
    )
    return Policy(Lora(rank=4).wrap(model), tokenizer(), value="shared")
