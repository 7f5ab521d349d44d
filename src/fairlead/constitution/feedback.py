"""Comparisons under principles: labels by models, in the same records as those by people.

RL-CAI of Bai et al. 2022, arXiv:2212.08073, section 4, and RLAIF of Lee et al. 2023,
arXiv:2309.00267: soft labels, each pair in both orders and under a principle drawn for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from fairlead.constitution.diff import is_current, made_under
from fairlead.constitution.principles import Constitution, Principle
from fairlead.core.seeds import Seed
from fairlead.judges.pairwise import Outcome, Pair, PairwiseJudge
from fairlead.records import Comparison, Prompt, Provenance, Record


@dataclass(frozen=True)
class Candidate:
    """Two replies to be compared."""

    prompt: Prompt
    first: str
    second: str

    def principle(self, constitution: Constitution) -> Principle | None:
        """The principle that decides, whichever reply comes first."""
        return constitution.draw(self.prompt, *sorted((self.first, self.second)))


@dataclass(frozen=True)
class Judged:
    """What became of a candidate."""

    candidate: Candidate
    principle: Principle | None
    """None where none applies to the prompt; nobody was asked then."""
    outcome: Outcome | None

    @property
    def state(self) -> str:
        """How it ended."""
        return "no_principle" if self.outcome is None else self.outcome.state


def candidates(
    prompts: Sequence[Prompt], replies: Sequence[Sequence[str]], *, per_prompt: int, seed: Seed
) -> list[Candidate]:
    """Random pairs of different replies, each in random order.

    Args:
        prompts: what was asked.
        replies: some to each prompt; equal texts count once.
        per_prompt: pairs of each prompt; all of them where there are fewer.
        seed: draws pairs and orders.
    """
    found: list[Candidate] = []
    for i, (prompt, texts) in enumerate(zip(prompts, replies, strict=True)):
        rng = seed.child(i).numpy()
        pairs = list(combinations(dict.fromkeys(texts), 2))
        for k in rng.permutation(len(pairs))[:per_prompt].tolist():
            a, b = pairs[k] if rng.random() < 0.5 else pairs[k][::-1]
            found.append(Candidate(prompt, a, b))
    return found


def judge_under(
    judge: PairwiseJudge, constitution: Constitution, asked: Sequence[Candidate]
) -> list[Judged]:
    """Has every candidate compared under the principle drawn for it, in order."""
    drawn = [candidate.principle(constitution) for candidate in asked]
    pairs = [
        Pair(c.prompt, c.first, c.second, principle.comparison_words)
        for c, principle in zip(asked, drawn, strict=True)
        if principle
    ]
    outcomes = iter(judge.compare(pairs))
    return [
        Judged(candidate, principle, next(outcomes) if principle else None)
        for candidate, principle in zip(asked, drawn, strict=True)
    ]


def comparison(judged: Judged, *, judge: str, source: str) -> Comparison | None:
    """The record of a judged pair; None where no answer could be used.

    A judge who abstained, or finds both equal, makes a tie.
    """
    outcome, principle = judged.outcome, judged.principle
    if outcome is None or principle is None or outcome.state not in ("scored", "abstained"):
        return None
    label = 0.5 if outcome.label is None else outcome.label
    first, second = judged.candidate.first, judged.candidate.second
    return Comparison(
        prompt=judged.candidate.prompt,
        chosen=first if label >= 0.5 else second,
        rejected=second if label >= 0.5 else first,
        tie=label == 0.5,
        preference=max(label, 1 - label),
        provenance=Provenance(
            source=source,
            annotator=judge,
            feedback="ai",
            principle=principle.id,
            wording=principle.comparison_hash,
        ),
    )


def source_of(constitution: Constitution) -> str:
    """What labels name as their source."""
    return f"constitution {constitution.name} {constitution.version}"


@dataclass(frozen=True)
class Relabelled:
    """Labels brought up to a new version of a constitution."""

    labels: list[Record]
    """In their order; those that could not be made anew are left out."""
    anew: list[Judged]
    """What was asked."""
    kept: int
    """Labels that stayed, those that no principle decided among them."""

    @property
    def lost(self) -> int:
        """Labels that could not be made anew."""
        return len(self.anew) + self.kept - len(self.labels)


def relabel(
    labels: Sequence[Record], constitution: Constitution, judge: PairwiseJudge
) -> Relabelled:
    """Makes anew the comparisons that a constitution would decide by other words, and no others.

    Args:
        labels: comparisons by principles, possibly among labels by people.
        constitution: the new version.
        judge: who decides.
    """
    stale = [
        i
        for i, label in enumerate(labels)
        if isinstance(label, Comparison)
        and made_under(label)
        and not is_current(label, constitution)
    ]
    asked = [_candidate(labels[i]) for i in stale]
    anew = judge_under(judge, constitution, asked)
    source = source_of(constitution)
    fresh = {
        i: comparison(judged, judge=judge.name, source=source)
        for i, judged in zip(stale, anew, strict=True)
    }
    renewed = [fresh.get(i, label) for i, label in enumerate(labels)]
    known = [label for label in renewed if label is not None]
    return Relabelled(known, anew, len(labels) - len(stale))


def _candidate(label: Record) -> Candidate:
    assert isinstance(label, Comparison)
    return Candidate(label.prompt, label.chosen, label.rejected)
