"""How far did the policy move, and did it move where nobody asked it to?

KL(candidate || baseline) in nats per reply, on the prompts of training and on unrelated ones. Each
token's KL is exact over the whole vocabulary, along replies that the candidate sampled; only the
reply's course is estimated. Drift on training prompts is what training is for, so only the other
has a margin.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, PositiveInt

from fairlead.audits.base import Audit, Need, Subject
from fairlead.audits.items.drawing import drawn
from fairlead.audits.items.unrelated import UNRELATED
from fairlead.audits.replies import prompts_of, same_tokens
from fairlead.core.errors import ConfigError
from fairlead.core.estimates import Estimate, NamedEstimate
from fairlead.core.gates import LEVEL
from fairlead.core.results import Figure, Finding, Passage, Series, Table
from fairlead.core.seeds import Seed
from fairlead.data.batches import microbatches, pack
from fairlead.data.chat import ChatFormat, Item, encode_prompts
from fairlead.functional.divergence import exact_kl, same_top
from fairlead.generation.local import LocalEngine, evaluating
from fairlead.generation.sampling import Sampling
from fairlead.models.policy import Policy
from fairlead.objectives.base import Need as Score
from fairlead.records import Prompt
from fairlead.stats.gates import gate
from fairlead.stats.means import mean_estimate

Floats = NDArray[np.float64]

SHOWN = 5
ELEMENTS = 1 << 24
"""Log-probabilities of one model held at once: 64 MiB."""
FEWEST = 5
"""A place in the reply that fewer prompts reach is not drawn."""


@dataclass(frozen=True)
class _Drift:
    """What was found on one set of prompts; all arrays are [prompt]."""

    kl: Floats
    """Nats per reply, a mean over its samples."""
    same: Floats
    """Share of tokens at which both models' likeliest token is the same."""
    tokens: Floats
    """Mean length of the replies."""
    by_place: list[Floats]
    """[token][prompts that reach it] KL of that token in nats."""
    prompts: list[Prompt]
    replies: list[str]
    """The reply of each prompt on which the models differ the most."""
    left_out: int
    """Prompts too long for the model."""


class Drift(Audit):
    """Distance from the baseline, on the prompts of training and off them."""

    kind: Literal["drift"] = "drift"
    trained_on: str
    """Records whose prompts were trained on."""
    unrelated: str = ""
    """Records whose prompts have nothing to do with training; empty for forty everyday requests."""
    items: PositiveInt = 200
    """Prompts of each kind at most, drawn at random."""
    samples: PositiveInt = 1
    """Replies to each prompt."""
    max_tokens: PositiveInt = 128
    """Tokens of a reply that are looked at; KL adds up along it."""
    margin: NonNegativeFloat = 1.0
    """Largest drift on unrelated prompts that is accepted, in nats per reply."""
    hard: bool = Field(default=False)
    """Whether the gate takes part in the decision: far is not yet bad, so by default it informs."""
    file_fields: ClassVar[tuple[str, ...]] = ("trained_on", "unrelated")
    needs: ClassVar[frozenset[Need]] = frozenset({"weights"})

    def check(self, subject: Subject) -> None:
        """Refuses models behind servers, and models that do not read the same tokens.

        Raises:
            ConfigError: their distributions cannot be compared.
        """
        super().check(subject)
        ours, theirs = _policies(subject)
        if not same_tokens(ours.tokenizer, theirs.tokenizer):
            raise ConfigError(
                "the models have different vocabularies, so their distributions have no distance",
                where=f"audits, {self.title}",
                expected="a candidate that was trained from the baseline",
                got=f"{len(ours.tokenizer)} and {len(theirs.tokenizer)} tokens, or other ones",
                remedy="leave the audit out",
            )

    def run(self, subject: Subject) -> Finding:
        """Samples from the candidate and scores with both."""
        self.check(subject)
        seed = subject.seed.child(self.title)
        trained = prompts_of(subject, self.trained_on, self.items, seed.child("trained on"))
        if self.unrelated:
            other = prompts_of(subject, self.unrelated, self.items, seed.child("unrelated"))
        else:
            other = drawn([Prompt.of(text) for text in UNRELATED], self.items, seed)
        found = {
            "prompts of training": self._drift(trained, subject, seed.child("on target")),
            "unrelated prompts": self._drift(other, subject, seed.child("off target")),
        }
        off = found["unrelated prompts"]
        decided = gate(
            f"{self.title}/unrelated prompts",
            f"nats per reply of up to {self.max_tokens} tokens, away from the baseline",
            mean_estimate(off.kl, level=LEVEL),
            self.margin,
            hard=self.hard,
        )
        left = {name: one.left_out for name, one in found.items() if one.left_out}
        return Finding(
            audit=self.title,
            question="How far did the policy move, and where nobody asked it to?",
            gates=(decided,),
            estimates=tuple(e for name, one in found.items() for e in _estimates(name, one)),
            tables=(_table(found),),
            figures=(_figure(found),),
            passages=_furthest(decided.name, off),
            notes=tuple(
                f"{n} of the {name} are too long for the model." for name, n in left.items()
            ),
            source="token KL over the vocabulary: Amini et al. 2025, arXiv:2504.10637",
        )

    def _drift(self, prompts: Sequence[Prompt], subject: Subject, seed: Seed) -> _Drift:
        ours, theirs = _policies(subject)
        chat = ChatFormat(ours.tokenizer)
        room = min(ours.context, theirs.context) - self.max_tokens
        kept, long = encode_prompts(prompts, chat, max_length=room)
        sampling = Sampling(max_new_tokens=self.max_tokens)
        asked = [ids for _, ids in kept]
        rollouts = LocalEngine(ours).sample(asked, sampling, n=self.samples, seed=seed)
        items = [Item(r.prompt, (r.tokens,), record=number) for number, r in enumerate(rollouts)]
        scored = token_drift(ours, theirs, items)
        own: list[list[int]] = [[] for _ in kept]
        for number, rollout in enumerate(rollouts):
            own[rollout.prompt_index].append(number)
        sums = [[float(scored[n][0].sum()) for n in mine] for mine in own]
        worst = [mine[int(np.argmax(kl))] for mine, kl in zip(own, sums, strict=True)]
        return _Drift(
            kl=np.array([np.mean(kl) for kl in sums], dtype=np.float64),
            same=np.array([np.concatenate([scored[n][1] for n in mine]).mean() for mine in own]),
            tokens=np.array(
                [np.mean([len(scored[n][0]) for n in m]) for m in own], dtype=np.float64
            ),
            by_place=_by_place([[scored[n][0] for n in mine] for mine in own]),
            prompts=[prompts[index] for index, _ in kept],
            replies=[chat.text(rollouts[n].tokens) for n in worst],
            left_out=len(long),
        )


@torch.no_grad()
def token_drift(
    policy: Policy, reference: Policy, items: Sequence[Item]
) -> dict[int, tuple[Floats, Floats]]:
    """By record of the item: exact KL of each token of its reply in nats, and top-1 agreement.

    Args:
        policy: sampled the replies.
        reference: what it is compared with; reads the same tokens.
        items: a prompt and one reply each, with records that differ.
    """
    needs = frozenset({Score.DISTRIBUTION})
    rows = max(64, ELEMENTS // len(policy.tokenizer))
    found: dict[int, tuple[Floats, Floats]] = {}
    with evaluating(policy.model), evaluating(reference.model):
        for group in microbatches(items, rows):
            packed = pack(group)
            one, other = (
                model(packed.to(model.device), needs).distribution for model in (policy, reference)
            )
            other = other.to(one.device)
            kl, same = exact_kl(one, other), same_top(one, other)
            cuts = np.cumsum([len(item.responses[0]) for item in group])[:-1]
            parts = zip(
                np.split(kl.double().cpu().numpy(), cuts),
                np.split(same.double().cpu().numpy(), cuts),
                strict=True,
            )
            found |= {item.record: part for item, part in zip(group, parts, strict=True)}
    return found


def _policies(subject: Subject) -> tuple[Policy, Policy]:
    ours, theirs = subject.candidate.policy, subject.baseline.policy
    assert ours is not None and theirs is not None, "`check` comes first"
    return ours, theirs


def _by_place(prompts: Sequence[Sequence[Floats]]) -> list[Floats]:
    """[token][prompt that reaches it], a mean over the prompt's samples that do."""
    longest = max(len(kl) for own in prompts for kl in own)
    reached = [
        [[kl[place] for kl in own if len(kl) > place] for own in prompts]
        for place in range(longest)
    ]
    return [np.array([np.mean(kl) for kl in at if kl], dtype=np.float64) for at in reached]


# What is shown


def _estimates(name: str, drift: _Drift) -> list[NamedEstimate]:
    made: dict[str, Estimate] = {
        f"drift on {name}, nats per reply": mean_estimate(drift.kl),
        f"drift on {name}, nats per token": mean_estimate(drift.kl / drift.tokens),
        f"top-1 agreement on {name}": mean_estimate(drift.same),
    }
    return [e.named(label) for label, e in made.items()]


def _table(found: dict[str, _Drift]) -> Table:
    rows: list[tuple[str, float, float, float, float, float, int]] = []
    for name, drift in found.items():
        kl, same = mean_estimate(drift.kl), float(drift.same.mean())
        rows.append((name, kl.value, kl.low, kl.high, same, float(drift.tokens.mean()), kl.n))
    return Table(
        title="Distance from the baseline",
        columns=("prompts", "nats per reply", "low", "high", "top-1 agreement", "tokens", "n"),
        rows=tuple(rows),
    )


def _figure(found: dict[str, _Drift]) -> Figure:
    series: list[Series] = []
    for name, drift in found.items():
        places = [mean_estimate(kl) for kl in drift.by_place if len(kl) >= FEWEST]
        series.append(
            Series(
                label=name,
                x=tuple(float(i) for i in range(1, len(places) + 1)),
                y=tuple(e.value for e in places),
                low=tuple(max(e.low, 0.0) for e in places),
                high=tuple(e.high for e in places),
            )
        )
    return Figure(
        title="Where in the reply the policy differs",
        x_label="token of the reply",
        y_label="KL from the baseline, nats per token",
        series=tuple(series),
        caption="Means over prompts whose reply is that long, with 95 % intervals.",
    )


def _furthest(about: str, drift: _Drift) -> tuple[Passage, ...]:
    order = np.argsort(-drift.kl, kind="stable")[:SHOWN]
    return tuple(
        Passage(
            about=about,
            prompt=drift.prompts[i].messages[-1].content,
            candidate=drift.replies[i],
            note=f"{drift.kl[i]:.2f} nats from the baseline",
        )
        for i in order
        if drift.kl[i] > 0
    )
