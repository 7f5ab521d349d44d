"""PPO's update, two ways: `adapters` (one trunk) or `full` (three models). TRL has no PPO."""

from benchmarks.turns import Asked, Turns
from benchmarks.work import ADAPTER_RANK, make_pairs
from benchmarks.works.on_fairlead import rollouts, run
from fairlead.core.allocator import tune_allocator
from fairlead.models.loading import Lora, load_policy
from fairlead.models.policy import Policy
from fairlead.objectives.ppo import PPO
from fairlead.training.rollout_config import RolloutConfig

WAYS = {
    "adapters": {"lora": Lora(rank=ADAPTER_RANK), "value": "shared"},
    "full": {"value": "separate"},
}
BYTES = 4
"""Of a float32; every trained weight has a gradient and two moments besides."""


def main(asked: Asked) -> None:
    """Scores and updates on known replies until told to stop; a turn is one rollout batch."""
    (way,) = asked.options
    turns = Turns(RolloutConfig().epochs)
    tune_allocator()
    policy = load_policy(asked.model, **WAYS[way])
    turns.loaded()
    reference = None if way == "adapters" else load_policy(asked.model).requires_grad_(False).eval()
    turns.facts["state_mib"] = state(policy, reference) / 2**20
    pairs = make_pairs(asked.size)[: 2 * asked.size.batch]
    known = {tuple(pair.prompt): [tuple(pair.chosen)] for pair in pairs}
    source = rollouts(policy, reference, PPO(), known, {}, turns, samples_later=False)
    run(policy, PPO(), source, turns, asked)


def state(policy: Policy, reference: Policy | None) -> int:
    """Bytes of all weights, and of the gradients and moments of those that are trained."""
    held = [*policy.parameters(), *(reference.parameters() if reference else ())]
    return sum(BYTES * p.numel() * (4 if p.requires_grad else 1) for p in held)


if __name__ == "__main__":
    main(Asked.from_command_line())
