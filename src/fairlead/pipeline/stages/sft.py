"""Supervised fine-tuning, and pretraining of a testbed's model."""

from typing import ClassVar, Literal

import torch

from fairlead.core.estimates import NamedEstimate
from fairlead.core.results import StageResult
from fairlead.data.batches import microbatches, pack, sequence_batch
from fairlead.data.chat import ChatFormat, Item, encode
from fairlead.data.convert import demonstrations
from fairlead.models.loading import Lora, load_policy
from fairlead.models.policy import Policy
from fairlead.objectives import Need
from fairlead.objectives.sft import SFT
from fairlead.pipeline.stage import Context, Stage, require_path
from fairlead.records import Demonstration
from fairlead.stats.means import mean_estimate
from fairlead.training.config import TrainConfig
from fairlead.training.loop import train
from fairlead.training.source import DatasetSource


class SFTStage(Stage):
    """Trains a policy to imitate demonstrations, chosen replies or best-ranked ones."""

    kind: Literal["sft"] = "sft"
    model: str | None
    """What to start from."""
    data: str | tuple[str, ...]
    """Replies to imitate; those of several files are mixed."""
    test: str | None = None
    """Held-out replies, for the negative log-likelihood."""
    train: TrainConfig = TrainConfig()
    """Settings of the loop."""
    max_length: int = 512
    """Longest prompt plus reply, in tokens; longer prompts lose their beginning."""
    lora: Lora | None = None
    """Train adapters instead of all weights."""
    file_fields: ClassVar[tuple[str, ...]] = ("model", "data", "test")

    def run(self, context: Context) -> StageResult:
        """Trains, then measures on the held-out replies."""
        policy = load_policy(context.model(require_path(self.model, "model.path")), lora=self.lora)
        chat, length = ChatFormat(policy.tokenizer), min(self.max_length, policy.context)
        items, report = encode(self._shown(context), chat, max_length=length)
        source = DatasetSource.of(
            items,
            sequence_batch,
            self.train,
            context.seed.child("data"),
        )
        train(
            policy,
            SFT(),
            source,
            self.train,
            seed=context.seed,
            run_dir=context.folder,
            resume=context.resume,
        )
        return StageResult(
            notes=(f"training data: {report}",),
            estimates=() if self.test is None else (self._held_out(policy, chat, context, length),),
        )

    def _shown(self, context: Context) -> list[Demonstration]:
        several = (self.data,) if isinstance(self.data, str) else self.data
        return [one for name in several for one in demonstrations(context.records(name))]

    def _held_out(
        self, policy: Policy, chat: ChatFormat, context: Context, length: int
    ) -> NamedEstimate:
        assert self.test is not None
        items, _ = encode(demonstrations(context.records(self.test)), chat, max_length=length)
        nll = negative_log_likelihoods(policy, items, self.train.microbatch_tokens)
        return mean_estimate(nll).named(f"{self.name}/held_out_nll")


@torch.no_grad()
def negative_log_likelihoods(policy: Policy, items: list[Item], tokens: int) -> list[float]:
    """Mean negative log-likelihood of each item's reply, in nats per token."""
    policy.eval()
    values: list[float] = []
    for group in microbatches(items, tokens):
        packed = pack(group).to(policy.device)
        logps = policy(packed, frozenset({Need.LOGPS})).logps
        sizes = [len(item.responses[0]) for item in group]
        values += [-float(part.mean()) for part in logps.split(sizes)]
    return values
