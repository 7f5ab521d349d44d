"""Supervised Constitutional AI: replies are criticised and revised, and the revisions imitated."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import PositiveInt

from fairlead.constitution.critique import Chain, RevisionRules, imitable, revise
from fairlead.constitution.principles import Constitution
from fairlead.constitution.reading import PACKAGED, load_constitution
from fairlead.core.errors import DataError
from fairlead.core.estimates import NamedEstimate
from fairlead.core.results import Figure, Reply, Sample, StageResult, Table
from fairlead.data.convert import demonstrations, prompts
from fairlead.generation.sampling import Sampling
from fairlead.judges.overhearing import Overheard
from fairlead.judges.refusals import refuses
from fairlead.models.loading import load_policy
from fairlead.pipeline.drawing import few_of
from fairlead.pipeline.measuring import series
from fairlead.pipeline.respondents import AnyRespondent
from fairlead.pipeline.sampling import fitting, sample_texts
from fairlead.pipeline.stage import Context, Stage
from fairlead.records import Critique, Demonstration
from fairlead.records.files import write_records
from fairlead.stats.means import mean_estimate, paired_difference
from fairlead.stats.proportions import proportion

SHOWN = 6
"""Chains that the report shows."""


class ReviseStage(Stage):
    """Writes `train.jsonl`, revisions worth imitating, and `chains.jsonl`, how they came about.

    A model answers prompts, a critic says what is wrong under a principle drawn for each reply and
    rewrites it, round after round (SL-CAI of Bai et al. 2022, arXiv:2212.08073). `overheard.jsonl`
    has all that the critic was asked and answered, for a model to imitate.
    """

    kind: Literal["revise"] = "revise"
    policy: str
    """Who answers the prompts."""
    data: str
    """Records whose prompts are answered, usually requests for harm among others."""
    critic: AnyRespondent
    """Who criticises and revises; `{kind: local, model: "@sft"}` is the model itself."""
    constitution: str = "default"
    """File of the principles, or one that comes with the package: default, assistant."""
    rules: RevisionRules = RevisionRules()
    """How often, and which revisions are used."""
    helpful: str | None = None
    """Demonstrations put beside the revisions, so that the model stays of use."""
    helpful_without: tuple[str, ...] = ()
    """Subsets of prompts whose demonstrations are left out, as they show what is revised away."""
    prompts: PositiveInt | None = None
    """Prompts at most, drawn at random; None for all."""
    sampling: Sampling = Sampling(max_new_tokens=256)
    """How the first replies are sampled."""
    file_fields: ClassVar[tuple[str, ...]] = ("policy", "data", "helpful")

    def references(self) -> list[tuple[str, str]]:
        """What it reads, the critic's model and the principles among it."""
        own = () if self.constitution in PACKAGED else (("constitution", self.constitution),)
        critics = (("critic", name) for name in self.critic.references())
        return [*super().references(), *critics, *own]

    def run(self, context: Context) -> StageResult:
        """Answers, criticises, revises, and says what became of every reply."""
        constitution = load_constitution(self.constitution)
        policy = load_policy(context.model(self.policy)).eval()
        asked = few_of(
            prompts(context.records(self.data)), self.prompts, context.seed.child("prompts")
        )
        kept = fitting(policy, asked, self.sampling)
        texts = sample_texts(policy, kept, self.sampling, n=1, seed=context.seed.child("sample"))
        del policy
        seed = context.seed.child("critic")
        critic = Overheard(self.critic.respondent(context, constitution, seed))
        chains = revise(critic, constitution, kept, [own[0] for own in texts], self.rules)
        steps = [step for chain in chains for step in chain.steps]
        write_records(context.folder / "chains.jsonl", steps)
        write_records(context.folder / "overheard.jsonl", critic.demonstrations())
        revisions = imitable(chains, self.rules.targets)
        helpful = self._helpful(context)
        self._check(revisions, chains)
        write_records(context.folder / "train.jsonl", [*revisions, *helpful])
        notes = (
            f"constitution {constitution.name} {constitution.version} ({constitution.hash})",
            f"{len(kept)} replies, {len(asked) - len(kept)} prompts left out for want of room; "
            f"{len(revisions)} revisions to imitate beside {len(helpful)} demonstrations",
            critic.account(),
        )
        return StageResult(
            estimates=tuple(self._estimates(chains)),
            tables=(_by_principle(constitution, steps), _faults(steps), _by_round(chains)),
            figures=(_drift(chains),),
            samples=tuple(map(_shown, _changed(chains)[:SHOWN])),
            notes=notes,
        )

    def _helpful(self, context: Context) -> list[Demonstration]:
        shown = demonstrations(context.records(self.helpful)) if self.helpful else []
        return [one for one in shown if one.prompt.subset not in self.helpful_without]

    def _check(self, revisions: Sequence[Demonstration], chains: Sequence[Chain]) -> None:
        if not revisions:
            faults = {step.fault for chain in chains for step in chain.steps}
            raise DataError(
                "no reply was revised",
                where=f"stage {self.name}",
                expected="revisions to imitate",
                got=f"{len(chains)} replies, all with: {', '.join(sorted(map(str, faults)))}",
                remedy="look at chains.jsonl; try another critic, or more prompts",
            )

    def _estimates(self, chains: Sequence[Chain]) -> list[NamedEstimate]:
        rounds = self.rules.rounds
        changed = sum(chain.last != chain.first for chain in chains)
        before, after = _refusals(chains, 0), _refusals(chains, rounds)
        lengths = paired_difference(_lengths(chains, rounds), _lengths(chains, 0))
        return [
            proportion(changed, len(chains)).named(f"{self.name}/revised"),
            paired_difference(after, before).named(f"{self.name}/refusal_drift"),
            lengths.named(f"{self.name}/length_drift"),
        ]


def _lengths(chains: Sequence[Chain], rounds: int) -> np.ndarray:
    """Words of each reply after so many rounds."""
    return np.array([len(chain.after(rounds).split()) for chain in chains], dtype=float)


def _refusals(chains: Sequence[Chain], rounds: int) -> np.ndarray:
    """Whether each reply shows signs of a refusal after so many rounds."""
    return np.array([refuses(chain.after(rounds)) for chain in chains], dtype=float)


def _by_principle(constitution: Constitution, steps: Sequence[Critique]) -> Table:
    """How often each principle was drawn, and how often it led to a revision."""
    rows: list[tuple[str, float, int, int]] = []
    for principle in constitution.principles:
        own = [s for s in steps if s.provenance and s.provenance.principle == principle.id]
        used = sum(step.fault is None for step in own)
        rows.append((principle.id, len(own) / max(len(steps), 1), len(own), used))
    columns = ("principle", "share of draws", "drawn", "revised")
    return Table(title="What each principle led to", columns=columns, rows=tuple(rows))


def _faults(steps: Sequence[Critique]) -> Table:
    """What became of every round of every reply."""
    ends = [step.fault or "revised" for step in steps]
    rows = tuple((end, ends.count(end), ends.count(end) / len(ends)) for end in sorted(set(ends)))
    return Table(title="How rounds ended", columns=("end", "rounds", "share"), rows=rows)


def _by_round(chains: Sequence[Chain]) -> Table:
    rows = tuple(
        (n, float(_lengths(chains, n).mean()), float(_refusals(chains, n).mean()))
        for n in range(_rounds(chains) + 1)
    )
    columns = ("round (0 is the first reply)", "words", "share with signs of a refusal")
    return Table(title="Replies by round", columns=columns, rows=rows)


def _drift(chains: Sequence[Chain]) -> Figure:
    levels = [mean_estimate(_refusals(chains, n)) for n in range(_rounds(chains) + 1)]
    return Figure(
        title="Refusals by round of revision",
        x_label="round (0 is the first reply)",
        y_label="share of replies with signs of a refusal",
        series=(series("refusals", levels),),
        caption="A share that rises on harmless prompts is over-refusal in the making.",
    )


def _rounds(chains: Sequence[Chain]) -> int:
    return max((len(chain.steps) for chain in chains), default=0)


def _changed(chains: Sequence[Chain]) -> list[Chain]:
    return [chain for chain in chains if chain.last != chain.first]


def _shown(chain: Chain) -> Sample:
    """A chain to be read: the first reply, each critique, each revision that was used."""
    replies = [Reply(policy="first reply", text=chain.first)]
    for step in chain.steps:
        if step.fault is None and step.provenance is not None:
            under = f"round {step.round}, {step.provenance.principle}"
            replies.append(Reply(policy=f"{under}: critique", text=step.critique))
            replies.append(Reply(policy=f"{under}: revision", text=step.revision or ""))
    prompt = "\n".join(f"{m.role}: {m.content}" for m in chain.prompt.messages)
    return Sample(prompt=prompt, replies=tuple(replies))
