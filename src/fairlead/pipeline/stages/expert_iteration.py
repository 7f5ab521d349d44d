"""Expert iteration: a policy imitates the best of its own replies."""

from typing import ClassVar, Literal

from fairlead.pipeline.self_training import SelfTraining


class ExpertIterationStage(SelfTraining):
    """Samples from the policy, keeps what the reward likes, fine-tunes on it, and again.

    Rejection sampling (RAFT) is `select: {kind: best}` from the previous weights; RFT is one round
    of `select: {kind: correct}`; ReST-EM is several of them with `start: base`. Every round leaves
    its samples, its policy and its numbers in `round-1/`, `round-2/`...
    """

    title: ClassVar[str] = "Expert iteration"
    source: ClassVar[str] = (
        "Anthony et al. 2017, arXiv:1705.08439; RFT: Yuan et al. 2023, arXiv:2308.01825; "
        "RAFT: Dong et al. 2023, arXiv:2304.06767; ReST-EM: Singh et al. 2023, arXiv:2312.06585"
    )
    equation: ClassVar[str] = (
        r"\pi_k = \arg\max_\pi \mathbb{E}_{x,\, y \in S_k(x)} \log\pi(y \mid x), \quad "
        r"S_k(x) \subset \{y_1, \ldots, y_N\} \sim \pi_{k-1}(\cdot \mid x)"
    )
    choose: ClassVar[str] = (
        "The simplest way to train on a reward or a checker: no reinforcement learning, no "
        "reference, no instability; it needs a start that is right at least now and then."
    )
    methods: ClassVar[tuple[str, ...]] = (
        "expert_iteration",
        "rejection_sampling",
        "rft",
        "rest_em",
    )

    kind: Literal["expert_iteration"] = "expert_iteration"
