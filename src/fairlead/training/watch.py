"""A policy in training, looked at through a reward that it is not trained on.

Every so many updates the policy answers the same held-out prompts. Its replies are scored by the
reward it is trained on and by one it never met; where the second falls while the first rises, the
reward is being over-optimised (Gao et al. 2022, arXiv:2210.10760). The rule is fixed beforehand,
and its chance of a false alarm holds over all looks together (`stats/looks.py`). Looking changes
nothing in training: it draws from streams of its own.
"""

# torch leaves much untyped; everything else is strict.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from fairlead.core.clock import Part, section
from fairlead.core.errors import CheckpointError
from fairlead.core.seeds import Seed
from fairlead.data.chat import ChatFormat, Ids
from fairlead.generation.divergence import log_ratios
from fairlead.generation.local import LocalEngine
from fairlead.generation.rows import Asked
from fairlead.generation.sampling import Rollout, Sampling
from fairlead.models.policy import Policy
from fairlead.records import Problem, Prompt
from fairlead.rewards.base import Reply, RewardSource, Scored
from fairlead.rewards.references import score_per_reply
from fairlead.stats.looks import ERROR, Fall, best_look, first_fall
from fairlead.training.source import Ranks

MEASURES = ("held_out", "proxy", "spread", "kl", "length", "entropy")
"""What a look measures of each prompt: the mean over its replies of the held-out reward, of the
reward that is trained on, of the spread of an ensemble among them (nan where there is none), of the
log-ratio to the reference (nats per reply), of the tokens, and of the entropy (nats per token)."""


class WatchConfig(BaseModel):
    """How often to look, how sure to be, and what to do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    every: PositiveInt = 10
    """Updates between two looks."""
    samples: PositiveInt = 2
    """Replies to each held-out prompt."""
    error: float = Field(default=ERROR, gt=0, lt=0.5)
    """Chance of an alarm, over all looks together, where the held-out reward never falls."""
    stop: bool = False
    """End the run at the alarm and keep the policy of the look whose gain over the start has the
    highest lower bound; otherwise the alarm is only noted."""


@dataclass(frozen=True)
class Look:
    """What one look saw."""

    step: int
    """Updates done."""
    table: NDArray[np.float64]
    """[measure, prompt], in the order of `MEASURES`."""

    def of(self, measure: str) -> NDArray[np.float64]:
        """[prompt] numbers of one measure."""
        return self.table[MEASURES.index(measure)]


class Watch:
    """Looks at a policy in training, remembers what it saw, and says when to stop.

    Args:
        policy: the policy in training.
        reference: what the KL is measured to; None for a peft policy without its adapters.
        held_out: the reward that the policy is not trained on.
        proxy: the one it is trained on.
        prompts: tokenised held-out prompts, (index into `records`, tokens).
        records: the prompts, or the problems they come from.
        sampling: how to draw; as in training.
        config: how often to look, and what to do.
        seed: of the replies; the same at every look, so that looks differ by their policies.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        reference: Policy | None,
        held_out: RewardSource,
        proxy: RewardSource,
        prompts: Sequence[tuple[int, Ids]],
        records: Sequence[Prompt | Problem],
        sampling: Sampling,
        config: WatchConfig,
        seed: Seed,
    ) -> None:
        self.policy = policy
        self.reference = reference
        self.held_out = held_out
        self.proxy = proxy
        self.prompts = prompts
        self.records = records
        self.sampling = sampling
        self.config = config
        self.seed = seed
        self.chat = ChatFormat(policy.tokenizer)
        self.engine = LocalEngine(policy)
        self.looks: list[Look] = []
        self.fall: Fall | None = None

    def look(self, done: int, ranks: Ranks, *, last: bool = False) -> dict[str, float]:
        """Means over the prompts of everything measured; nothing where no look is due."""
        if self.looks and self.looks[-1].step == done:
            return {}
        if done % self.config.every and not last:
            return {}
        own = ranks.share(range(len(self.prompts)))
        table = torch.zeros(len(MEASURES), len(self.prompts), dtype=torch.float64)
        if own:
            table[:, own] = self._measured(own)
        self.looks.append(Look(done, ranks.add(table).numpy()))
        if self.fall is None:
            self.fall = first_fall(self.series("held_out"), self.series("proxy"), error=self._error)
        means = dict(zip(MEASURES, self.looks[-1].table.mean(axis=1).tolist(), strict=True))
        return {f"watch/{name}": mean for name, mean in means.items() if not np.isnan(mean)}

    def series(self, measure: str) -> NDArray[np.float64]:
        """[look, prompt] numbers of one measure."""
        return np.stack([look.of(measure) for look in self.looks])

    @property
    def finished(self) -> bool:
        """Whether the run is to end, and to go back to the best look."""
        return self.config.stop and self.fall is not None

    @property
    def best(self) -> int:
        """Updates done at the best look so far."""
        return self.looks[best_look(self.series("held_out"), error=self._error)].step

    @property
    def keeps(self) -> bool:
        """Whether weights are to be kept for going back."""
        return self.config.stop

    def state(self) -> dict[str, Any]:
        """All looks so far (JSON); everything else follows from them."""
        return {"looks": [[look.step, _with_gaps(look.table)] for look in self.looks]}

    def restore(self, state: dict[str, Any]) -> None:
        """Puts the looks back.

        Raises:
            CheckpointError: the checkpoint was written without a watch.
        """
        if not state:
            raise CheckpointError(
                "the checkpoint is of a run without a watch",
                expected="looks from the start on",
                got="none",
                remedy="start this stage anew, or leave `watch` out",
            )
        self.looks = [Look(step, np.array(table, dtype=float)) for step, table in state["looks"]]
        self.fall = first_fall(self.series("held_out"), self.series("proxy"), error=self._error)

    @property
    def _error(self) -> float:
        return self.config.error

    def _measured(self, own: Sequence[int]) -> torch.Tensor:
        """[measure, prompt] of these prompts."""
        samples = self.config.samples
        asked = [Asked(i, k, self.prompts[i][1]) for i in own for k in range(samples)]
        with section(Part.GENERATE):
            rollouts = self.engine.draw(asked, self.sampling, seed=self.seed)
        replies = [self._reply(rollout) for rollout in rollouts]
        with section(Part.REWARD):
            held_out = score_per_reply(self.held_out, replies)
            proxy = score_per_reply(self.proxy, replies)
        groups = [rollouts[k : k + samples] for k in range(0, len(rollouts), samples)]
        with section(Part.REFERENCE):
            moved, spoken = log_ratios(
                self.policy,
                self.reference,
                [group[0].prompt for group in groups],
                [[rollout.tokens for rollout in group] for group in groups],
                temperature=self.sampling.temperature or 1.0,
            )
        rows = (
            held_out.values,
            proxy.values,
            _spread(held_out, proxy),
            moved.flatten(),
            torch.tensor([float(len(r.tokens)) for r in rollouts]),
            spoken.entropies.flatten(),
        )
        return torch.stack([row.double().view(-1, samples).mean(1) for row in rows])

    def _reply(self, rollout: Rollout) -> Reply:
        record = self.records[self.prompts[rollout.prompt_index][0]]
        problem = record if isinstance(record, Problem) else None
        prompt = record.prompt if isinstance(record, Problem) else record
        text = self.chat.text(rollout.tokens)
        return Reply(prompt, rollout.prompt, rollout.tokens, text, problem, rollout.finish)


def _with_gaps(table: NDArray[np.float64]) -> list[list[float | None]]:
    """Rows for JSON, which knows no nan."""
    return [[None if np.isnan(x) else x for x in row] for row in table.tolist()]


def _spread(held_out: Scored, proxy: Scored) -> torch.Tensor:
    """Spread of the ensemble among the two rewards, the held-out one first; nan for none."""
    nothing = torch.full_like(held_out.values, torch.nan)
    return held_out.parts.get("spread", proxy.parts.get("spread", nothing))
