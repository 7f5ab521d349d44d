"""Generative comparison: a policy that is shown two replies and names the better one.

Mahan et al. 2024 (Generative Reward Models), arXiv:2410.12832; Zhang et al. 2024, arXiv:2408.15240.
"""

from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from fairlead.objectives.base import Need
from fairlead.objectives.comparisons import bradley_terry_loss
from fairlead.objectives.pairs import PairObjective, Pairs


class PairwiseGenerative(PairObjective):
    """Cross-entropy of the right verdict, with a softmax over the two option tokens alone.

    Each pair is one prompt that shows both replies, branching into the right and the wrong verdict
    of one token each: the difference of their log-probabilities is that of their logits.
    """

    title: ClassVar[str] = "Generative comparison"
    source: ClassVar[str] = "Mahan et al. 2024, arXiv:2410.12832"
    equation: ClassVar[str] = (
        r"-\log\frac{\pi(v_{\mathrm{right}}|x, a, b)}"
        r"{\pi(v_{\mathrm{right}}|x, a, b) + \pi(v_{\mathrm{wrong}}|x, a, b)}"
    )
    choose: ClassVar[str] = (
        "When the judge should stay a language model: it reads both replies at once, and its "
        "preferences need not be one order."
    )
    needs: ClassVar[frozenset[Need]] = frozenset({Need.LOGPS})
    judges: ClassVar[bool] = True

    kind: Literal["pairwise_generative"] = "pairwise_generative"

    def losses(self, pairs: Pairs) -> Float[Tensor, " pair"]:
        """-log of the right verdict's share of both."""
        return bradley_terry_loss(pairs.better - pairs.worse)

    def rewards(self, pairs: Pairs) -> tuple[Float[Tensor, " pair"], Float[Tensor, " pair"]]:
        """Log-probabilities of both verdicts."""
        return pairs.better, pairs.worse
