"""Does the model still have several things to say, or did training leave it one?

Several samples of each prompt are compared with the baseline's at equal numbers of tokens, since
shares of different n-grams fall with length. Beside n-grams: different answers, kinds of answers
(groups of like wording), openings, likeness of samples to each other, uncertainty at each token
where weights are at hand, and kinds among good samples only where a reward says which are: training
can lower the one and raise the other (Shypula et al. 2025, arXiv:2504.12522).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from fairlead.audits.base import Audit, Model, Subject
from fairlead.audits.items.drawing import drawn
from fairlead.audits.items.own.openings import own_openings
from fairlead.audits.replies import (
    prompts_of,
    replies,
    reward_named,
    spoken,
    state_of,
    worth,
)
from fairlead.core.errors import DataError
from fairlead.core.estimates import Estimate, NamedEstimate
from fairlead.core.gates import LEVEL, Gate
from fairlead.core.results import Cell, Figure, Finding, Passage, Series, Table
from fairlead.core.seeds import Seed
from fairlead.data.batches import microbatches, pack
from fairlead.data.chat import ChatFormat, Item
from fairlead.functional.reductions import segment_sum
from fairlead.generation.local import evaluating
from fairlead.judges.asking import Answer
from fairlead.models.policy import Policy
from fairlead.objectives.base import Need as Score
from fairlead.records import Prompt
from fairlead.rewards.base import RewardSource
from fairlead.stats.arrays import CONFIDENCE
from fairlead.stats.diversity import (
    Tokens,
    answer_of,
    at_equal_tokens,
    distinct,
    expectation_adjusted_distinct,
    expected_different,
    mode_share,
    ngrams,
    self_bleu,
    words,
)
from fairlead.stats.gates import gate, level_of, unscored_of
from fairlead.stats.means import mean_estimate, paired_difference
from fairlead.stats.resampling import bootstrap_of_sums

Floats = NDArray[np.float64]
Kinds = list[list[int]]
"""[prompt][sample] which group of like answers it belongs to; both models' share their numbers."""

SHOWN = 5
OPENING = 3
"""Words of a reply that are its opening."""


@dataclass(frozen=True)
class _Said:
    """What both models said to the prompts that both answered."""

    prompts: list[Prompt]
    texts: tuple[list[list[str]], list[list[str]]]
    """The candidate's and the baseline's, [prompt][sample]."""
    tokens: tuple[list[list[Tokens]], list[list[Tokens]]]
    kinds: tuple[Kinds, Kinds]


class Diversity(Audit):
    """Share of different n-grams among samples of a prompt, beside the baseline's."""

    kind: Literal["diversity"] = "diversity"
    prompts: str = ""
    """Records whose prompts are asked; empty for open requests of the package's own."""
    items: PositiveInt = 100
    """Prompts at most, drawn at random."""
    samples: PositiveInt = Field(default=16, ge=2)
    """Replies to each prompt."""
    max_tokens: PositiveInt = 256
    """Longest reply."""
    temperature: PositiveFloat = 1.0
    """Of the replies; 1 shows the model's own distribution."""
    alike: float = Field(default=0.5, gt=0, lt=1)
    """Cosine distance of word counts (TF-IDF) below which replies are of one kind, on average."""
    quality: str = ""
    """Name of a reward: what it puts above the baseline's median is looked at by itself."""
    margin: NonNegativeFloat = Field(default=0.2, le=1)
    """Largest loss of different n-grams that is accepted, as a share of the baseline's."""
    file_fields: ClassVar[tuple[str, ...]] = ("prompts",)

    def _asked(self, subject: Subject, seed: Seed) -> Sequence[Prompt]:
        if self.prompts:
            return prompts_of(subject, self.prompts, self.items, seed)
        return drawn(own_openings(), self.items, seed)

    def check(self, subject: Subject) -> None:
        """Refuses a reward that is not there.

        Raises:
            ConfigError: there is no reward of the name given for quality.
        """
        super().check(subject)
        if self.quality:
            reward_named(subject, self.quality, where=f"audits, {self.title}, quality")

    def run(self, subject: Subject) -> Finding:
        """Samples from both models."""
        self.check(subject)
        seed = subject.seed.child(self.title)
        asked = self._asked(subject, seed.child("items"))
        ours = self._samples(subject.candidate, asked)
        theirs = self._samples(subject.baseline, asked)
        rows = np.array([_shares(a, b) for a, b in zip(ours, theirs, strict=True)])
        whole = np.array([_whole(a) and _whole(b) for a, b in zip(ours, theirs, strict=True)])
        states = [state_of(answer) for own in (*ours, *theirs) for answer in own]
        decided = self._gate(rows, whole, states, seed)
        said = self._said(asked, ours, theirs, whole)
        measures, notes = self._measures(said, subject)
        return Finding(
            audit=self.title,
            question="Does the model still say different things when asked again?",
            gates=(decided,),
            estimates=_estimates(rows[whole], said, seed),
            tables=(_table(measures),),
            figures=(_figure(said),),
            passages=_collapsed(decided.name, said, rows[whole]),
            notes=notes,
            source="Kirk et al. 2023, arXiv:2310.06452; Li et al. 2016, arXiv:1510.03055",
        )

    def _gate(self, rows: Floats, whole: NDArray[np.bool_], states: list[str], seed: Seed) -> Gate:
        some = not whole.all() and whole.sum() > 1
        return gate(
            f"{self.title}/different n-grams",
            "share of the baseline's different n-grams that is lost, at equal tokens",
            loss(rows, seed=seed.child("loss")),
            self.margin,
            hard=self.hard,
            candidate=level_of(1 - rows[:, 0]),
            baseline=level_of(1 - rows[:, 1]),
            unscored=unscored_of(states),
            observed=loss(rows[whole], seed=seed.child("observed")) if some else None,
        )

    def _measures(
        self, said: _Said, subject: Subject
    ) -> tuple[dict[str, tuple[Floats, Floats]], tuple[str, ...]]:
        measures, notes = _of_texts(said), ()
        ours, theirs = subject.candidate.policy, subject.baseline.policy
        if ours is not None and theirs is not None:
            measures["nats of uncertainty per token"] = (
                token_entropy(ours, said.prompts, said.texts[0]),
                token_entropy(theirs, said.prompts, said.texts[1]),
            )
        if self.quality:
            good, note = self._good(said, subject)
            measures, notes = measures | good, (note,)
        return measures, notes

    def _samples(self, model: Model, asked: Sequence[Prompt]) -> list[list[Answer]]:
        return replies(
            model,
            asked,
            samples=self.samples,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
        )

    def _said(
        self,
        asked: Sequence[Prompt],
        ours: Sequence[Sequence[Answer]],
        theirs: Sequence[Sequence[Answer]],
        whole: NDArray[np.bool_],
    ) -> _Said:
        """What was said where both answered every time."""
        kept = np.flatnonzero(whole).tolist()
        if len(kept) < 2:
            raise DataError(
                "too few prompts were answered by both models",
                where=f"audits, {self.title}",
                expected="at least two prompts with all their samples",
                got=str(len(kept)),
                remedy="look at the errors of the models",
            )
        texts = _texts(ours, kept), _texts(theirs, kept)
        tokens = _split(texts[0]), _split(texts[1])
        kinds = alike([[*a, *b] for a, b in zip(*tokens, strict=True)], self.alike)
        n = self.samples
        apart = [own[:n] for own in kinds], [own[n:] for own in kinds]
        return _Said([asked[i] for i in kept], texts, tokens, apart)

    def _good(self, said: _Said, subject: Subject) -> tuple[dict[str, tuple[Floats, Floats]], str]:
        """Kinds among samples above the baseline's median, at equal numbers of them."""
        source = reward_named(subject, self.quality, where=f"audits, {self.title}, quality")
        ours, theirs = (_valued(source, said.prompts, own, subject) for own in said.texts)
        border = float(np.nanmedian(theirs))
        passing = [
            [[k for k, v in zip(a, b, strict=True) if v >= border] for a, b in both]
            for both in (
                zip(said.kinds[0], ours, strict=True),
                zip(said.kinds[1], theirs, strict=True),
            )
        ]
        kept = [(a, b) for a, b in zip(*passing, strict=True) if min(len(a), len(b)) > 1]
        good = (ours >= border).mean(axis=1), (theirs >= border).mean(axis=1)
        measures = {"share of good samples": good}
        if len(kept) > 1:
            counts = [min(len(a), len(b)) for a, b in kept]
            measures["kinds among good samples, per sample"] = (
                _rarefied([a for a, _ in kept], counts),
                _rarefied([b for _, b in kept], counts),
            )
        left = len(said.prompts) - len(kept)
        return measures, (
            f"Good is a {self.quality} of at least {border:.3g}, the baseline's median; {left} of "
            f"{len(said.prompts)} prompts have fewer than two good samples of a model."
        )


def loss(rows: Floats, *, seed: Seed, level: float = LEVEL) -> Estimate:
    """1 less the ratio of two sums, with an interval over prompts.

    Args:
        rows: [prompt, 2] the candidate's and the baseline's diversity.
        seed: of the bootstrap.
        level: confidence of the interval.

    Raises:
        DataError: fewer than two prompts, or a baseline without any diversity.
    """

    def lost(sums: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            return 1 - sums[..., 0] / sums[..., 1]

    return bootstrap_of_sums(lost, rows, seed=seed, level=level)


def alike(texts: Sequence[Sequence[Tokens]], distance: float) -> Kinds:
    """[prompt][text] number of the group of like texts that it belongs to.

    Words are weighted by TF-IDF over all texts; texts of a prompt are joined while the mean cosine
    distance between two groups is below `distance` (average linkage). Texts without words are one
    group.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    flat = [text for own in texts for text in own]
    if not any(flat):
        return [[0] * len(own) for own in texts]
    itself: Any = tuple
    matrix: Any = TfidfVectorizer(analyzer=itself).fit_transform(flat)
    found: Kinds = []
    start = 0
    for own in texts:
        part = matrix[start : start + len(own)]
        start += len(own)
        cosine = (part @ part.T).toarray()
        silent = np.array([not text for text in own])
        cosine[np.ix_(silent, silent)] = 1.0
        apart = np.clip(1 - cosine, 0, None)
        np.fill_diagonal(apart, 0)
        tree = linkage(squareform(apart, checks=False), "average")
        found.append(fcluster(tree, distance, "distance").tolist())
    return found


def _whole(answers: Sequence[Answer]) -> bool:
    return all(spoken(answer) for answer in answers)


def _shares(ours: Sequence[Answer], theirs: Sequence[Answer]) -> tuple[float, float]:
    """Different n-grams of both, at equal tokens.

    Where a sample is missing nothing is cut, and the candidate has said nothing new, the baseline
    nothing twice.
    """
    one, two = ([words(answer.text) for answer in own] for own in (ours, theirs))
    if _whole(ours) and _whole(theirs):
        one, two = at_equal_tokens(one, two)
    return distinct(one) if _whole(ours) else 0.0, distinct(two) if _whole(theirs) else 1.0


def _texts(answers: Sequence[Sequence[Answer]], kept: Sequence[int]) -> list[list[str]]:
    return [[answer.text for answer in answers[i]] for i in kept]


def _split(texts: list[list[str]]) -> list[list[Tokens]]:
    return [[words(text) for text in own] for own in texts]


# Measures: by name, [prompt] of the candidate and of the baseline


def _of_texts(said: _Said) -> dict[str, tuple[Floats, Floats]]:
    vocabulary = len({word for side in said.tokens for own in side for t in own for word in t})

    def adjusted(own: list[Tokens]) -> float:
        counts = ngrams(own, 1)
        return expectation_adjusted_distinct(len(counts), counts.total(), vocabulary)

    of_tokens: dict[str, Callable[[list[Tokens]], float]] = {
        "different n-grams, all tokens": distinct,
        "different words over those expected (EAD)": adjusted,
        "likeness of samples (self-BLEU-4)": self_bleu,
        "share of the most frequent opening": lambda own: mode_share([t[:OPENING] for t in own]),
        "words per reply": lambda own: float(np.mean([len(text) for text in own])),
    }
    of_answers: dict[str, Callable[[list[Any]], float]] = {
        "different answers per sample": lambda own: len(set(own)) / len(own),
        "share of the most frequent answer": mode_share,
    }
    answers = tuple([[answer_of(t) for t in own] for own in side] for side in said.texts)
    found = {name: _both(measure, said.tokens) for name, measure in of_tokens.items()}
    found |= {name: _both(measure, answers) for name, measure in of_answers.items()}
    kinds = _both(of_answers["different answers per sample"], said.kinds)
    return found | {"different kinds per sample": kinds}


def _both(measure: Callable[[Any], float], sides: Any) -> tuple[Floats, Floats]:
    ours, theirs = (np.array([measure(own) for own in side], dtype=np.float64) for side in sides)
    return ours, theirs


@torch.no_grad()
def token_entropy(
    policy: Policy, prompts: Sequence[Prompt], texts: Sequence[Sequence[str]]
) -> Floats:
    """[prompt] mean entropy in nats of the next token, exact, along the replies to it."""
    chat = ChatFormat(policy.tokenizer)
    pairs = [(n, *chat.response_ids(p, t)) for n, p in enumerate(prompts) for t in texts[n]]
    items = [Item(before, (after,), record=n) for n, before, after in pairs]
    sums = np.zeros((len(prompts), 2))
    needs = frozenset({Score.LOGPS, Score.ENTROPY})
    with evaluating(policy.model):
        for group in microbatches(items, 8192):
            packed = pack(group).to(policy.device)
            entropy = policy(packed, needs).entropy
            each = (
                segment_sum(entropy, packed.row_sequence, packed.sequences).double().cpu().numpy()
            )
            for item, value in zip(group, each, strict=True):
                sums[item.record] += value, len(item.responses[0])
    return sums[:, 0] / sums[:, 1]


def _valued(
    source: RewardSource,
    prompts: Sequence[Prompt],
    texts: Sequence[Sequence[str]],
    subject: Subject,
) -> Floats:
    """[prompt, sample] what each is worth."""
    asked = [(p, text) for p, own in zip(prompts, texts, strict=True) for text in own]
    return worth(source, asked, subject).reshape(len(prompts), -1)


def _rarefied(kinds: Sequence[Sequence[int]], draws: Sequence[int]) -> Floats:
    pairs = zip(kinds, draws, strict=True)
    return np.array([expected_different(own, k) / k for own, k in pairs])


# What is shown


def _estimates(shares: Floats, said: _Said, seed: Seed) -> tuple[NamedEstimate, ...]:
    kinds = np.array(list(zip(*_both(lambda own: len(set(own)), said.kinds), strict=True)))
    made = {
        "different n-grams lost, at equal tokens": loss(
            shares, seed=seed.child("shares"), level=CONFIDENCE
        ),
        "kinds of replies lost": loss(kinds, seed=seed.child("kinds"), level=CONFIDENCE),
    }
    return tuple(e.named(name) for name, e in made.items())


def _table(measures: dict[str, tuple[Floats, Floats]]) -> Table:
    """Means of both models and their paired difference, over prompts where both have a value."""
    rows: list[tuple[Cell, ...]] = []
    for name, (ours, theirs) in measures.items():
        known = ~(np.isnan(ours) | np.isnan(theirs))
        if known.sum() > 1:
            change = paired_difference(ours[known], theirs[known])
            means = float(theirs[known].mean()), float(ours[known].mean())
            rows.append((name, *means, change.value, change.low, change.high, change.n))
    return Table(
        title="Diversity of the samples of a prompt",
        columns=("measure", "baseline", "candidate", "change", "low", "high", "prompts"),
        rows=tuple(rows),
    )


def _figure(said: _Said) -> Figure:
    """How the number of different answers grows with the samples."""
    fewest = min(len(own) for side in said.texts for own in side)
    series: list[Series] = []
    for label, texts in zip(("candidate", "baseline"), said.texts, strict=True):
        answers = [[answer_of(text) for text in own] for own in texts]
        means = [
            mean_estimate([expected_different(own, k) for own in answers])
            for k in range(1, fewest + 1)
        ]
        series.append(Series.of(label, tuple(float(k) for k in range(1, fewest + 1)), means))
    return Figure(
        title="Different answers among samples",
        x_label="samples of a prompt",
        y_label="different answers expected",
        series=tuple(series),
        caption="Means over prompts with 95 % intervals; over all subsets of the samples.",
    )


def _collapsed(about: str, said: _Said, shares: Floats) -> tuple[Passage, ...]:
    """Prompts that lost the most, with some of what is said to them."""
    drop = shares[:, 1] - shares[:, 0]
    order = np.argsort(-drop, kind="stable")[:SHOWN]
    return tuple(
        Passage(
            about=about,
            prompt=said.prompts[i].messages[-1].content,
            baseline="\n---\n".join(said.texts[1][i][:3]),
            candidate="\n---\n".join(said.texts[0][i][:3]),
            note=f"different n-grams {shares[i, 1]:.2f} before, {shares[i, 0]:.2f} now",
        )
        for i in order
        if drop[i] > 0
    )
