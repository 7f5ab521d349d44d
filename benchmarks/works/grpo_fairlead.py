"""Fairlead's side of GRPO: the `rl` stage's own parts. The first step learns from known replies."""

from benchmarks.turns import Asked, Turns
from benchmarks.work import GROUP, NEW_TOKENS, grpo_prompts, recorded_replies
from benchmarks.works.on_fairlead import rollouts, run
from fairlead.core.allocator import tune_allocator
from fairlead.generation.sampling import Sampling
from fairlead.models.loading import load_policy
from fairlead.objectives.grpo import GRPO


def main(asked: Asked) -> None:
    """Samples, scores and updates until told to stop."""
    turns = Turns(asked.size.grpo_steps, more_at_first=1)
    tune_allocator()
    policy = load_policy(asked.model)
    turns.loaded()
    known = {
        tuple(prompt): [tuple(reply) for reply in replies]
        for prompt, replies in zip(
            grpo_prompts(asked.size), recorded_replies(asked.size), strict=True
        )
    }
    config = {
        **GRPO.rollouts,
        "samples": GROUP,
        "sampling": Sampling(max_new_tokens=NEW_TOKENS),
    }
    reference = load_policy(asked.model).requires_grad_(False).eval()
    source = rollouts(policy, reference, GRPO(), known, config, turns, samples_later=True)
    run(policy, GRPO(), source, turns, asked)


if __name__ == "__main__":
    main(Asked.from_command_line())
