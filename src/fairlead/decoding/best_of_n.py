"""Best-of-n: the sample that the reward likes best.

Stiennon et al. 2020, arXiv:2009.01325; its KL: Beirami et al. 2024, arXiv:2401.01879.
"""

from collections.abc import Sequence
from typing import Literal

from pydantic import PositiveInt

from fairlead.core.seeds import Seed
from fairlead.decoding.base import Decoded, DecoderSettings, Models
from fairlead.decoding.judging import judged
from fairlead.decoding.speaking import Speaker
from fairlead.generation.sampling import Sampling
from fairlead.records import Prompt
from fairlead.stats.best_of_n import best_of_n_kl_bound, best_of_n_kl_estimate


class BestOfN(DecoderSettings):
    """Draws n replies and answers with the one of the highest reward; the first of equals.

    Counts `kl_bound` and `kl`, in nats: the bound log n - (n - 1) / n of the KL to the policy, and
    the estimate that knows the probability of the reply. Source: Beirami et al. 2024,
    arXiv:2401.01879.
    """

    kind: Literal["best_of_n"] = "best_of_n"
    n: PositiveInt = 16
    """Replies per prompt."""
    sampling: Sampling = Sampling(max_new_tokens=128)
    """How they are drawn."""

    def decode_with(
        self, models: Models, prompts: Sequence[Prompt], *, seed: Seed
    ) -> list[Decoded]:
        """The best of n replies to each prompt; sample k draws from `seed.child(place, k)`."""
        spoken = Speaker(models.policy).sample(prompts, self.sampling, n=self.n, seed=seed)
        found = iter(judged(models.judge, [reply for own in spoken for reply in own.replies]))
        best: list[Decoded] = []
        for own in spoken:
            scored = [next(found) for _ in own.replies]
            scores = [score for score, _ in scored]
            place = scores.index(max(scores))
            counts = {
                "kl_bound": best_of_n_kl_bound(self.n),
                "kl": best_of_n_kl_estimate(own.logps[place], self.n),
            }
            spent = sum((cost for _, cost in scored), start=own.spent)
            best.append(Decoded(own.replies[place], scores[place], spent, counts))
        return best
