"""Audits a model against a baseline; the gates of its findings decide whether it may ship."""

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, ValidationError, model_validator

from fairlead.audits import AnyAudit, Audit, Model, Subject
from fairlead.core.errors import DataError
from fairlead.core.files import read_json, sha256_json, write_json
from fairlead.core.gates import decide
from fairlead.core.results import Finding, StageResult
from fairlead.core.seeds import Seed
from fairlead.generation.sampling import Sampling
from fairlead.judges.asking import Respondent
from fairlead.judges.local import LocalRespondent
from fairlead.judges.remembered import Remembered
from fairlead.judges.server.cache import AnswerCache
from fairlead.models.loading import fingerprint
from fairlead.models.policy import Policy
from fairlead.pipeline.respondents import AnyRespondent, LocalSpec
from fairlead.pipeline.rewards import AnyReward, Setting, as_spec
from fairlead.pipeline.stage import Context, Stage
from fairlead.rewards.base import RewardSource

ANSWERS = "answers-of-models.db"
"""File in the run folder with the answers of models in this process."""


class AuditStage(Stage):
    """Runs audits on a candidate and a baseline: their gates say SHIP, DO NOT SHIP, or neither.

    Answers are kept by who gave them and to what, so a run that was stopped asks nothing twice.
    `findings/` has each audit's finding as soon as it is made.
    """

    kind: Literal["audit"] = "audit"
    candidate: str | AnyRespondent
    """The model that may ship: a stage, a folder or a hub name, or a server."""
    baseline: str | AnyRespondent
    """What it is held against: what ships today, or what it was trained from."""
    audits: tuple[AnyAudit, ...] = Field(min_length=1)  # pyright: ignore[reportInvalidTypeForm]
    """What is asked, with the margins that were agreed to beforehand."""
    judge: AnyRespondent | None = None
    """Who reads replies where no rule can."""
    rewards: dict[str, str | AnyReward] = Field(default_factory=dict)
    """Rewards by name: `proxy` is what the candidate was trained on, `gold` one it never met."""
    sampling: Sampling = Sampling(max_new_tokens=256)
    """How replies are sampled that rewards need for their scale."""
    allow_other_base: bool = False
    """Use reward models that were trained for another base model."""
    file_fields: ClassVar[tuple[str, ...]] = ()

    @model_validator(mode="after")
    def _titles_differ(self) -> Self:
        titles = [audit.title for audit in self.audits]
        if again := {title for title in titles if titles.count(title) > 1}:
            raise ValueError(f"two audits are called {', '.join(sorted(again))}: set `name`")
        return self

    def references(self) -> list[tuple[str, str]]:
        """(field, name) of everything it reads: models, rewards, and the data of its audits."""
        asked = {"candidate": self.candidate, "baseline": self.baseline, "judge": self.judge}
        named = [(key, n) for key, one in asked.items() if one for n in _spec(one).references()]
        named += [("rewards", n) for r in self.rewards.values() for n in as_spec(r).references()]
        return named + [(f"audits {a.title}", n) for a in self.audits for n in _data_of(a)]

    def run(self, context: Context) -> StageResult:
        """Refuses what cannot be audited, then runs the audits in order."""
        subject = self._subject(context)
        for audit in self.audits:
            audit.check(subject)
        caveats = _caveats(subject)
        for caveat in caveats:
            context.say(f"{self.name}: {caveat}")
        findings: list[Finding] = []
        for number, audit in enumerate(self.audits, start=1):
            context.say(f"{self.name}: {audit.title} ({number} of {len(self.audits)})")
            findings.append(_found(audit, subject, context))
        gates = [gate for finding in findings for gate in finding.gates]
        verdict = f"{subject.candidate.name} against {subject.baseline.name}: {decide(gates)}"
        return StageResult(findings=tuple(findings), notes=(verdict, *caveats))

    def _subject(self, context: Context) -> Subject:
        cache = AnswerCache(context.run_dir / ANSWERS)
        candidate = _model("candidate", _spec(self.candidate), context, cache)
        baseline = _model("baseline", _spec(self.baseline), context, cache)
        judge = None
        if self.judge is not None:
            judge = _asked(self.judge, context, cache, context.seed.child("judge"))
        return Subject(
            candidate=candidate,
            baseline=baseline,
            seed=context.seed,
            judge=judge,
            rewards=self._rewards(context, baseline.policy),
            locate=lambda name: str(context.path(name)),
        )

    def _rewards(self, context: Context, policy: Policy | None) -> dict[str, RewardSource]:
        if not self.rewards:
            return {}
        if policy is None:
            raise DataError(
                "rewards read tokens, and the baseline is behind a server",
                where=f"stage {self.name}, rewards",
                expected="a baseline in this process",
                remedy="name a folder or a hub name as the baseline, or leave the rewards out",
            )
        setting = Setting.asking(
            [],
            context=context,
            policy=policy,
            sampling=self.sampling,
            seed=context.seed.child("rewards"),
            allow_other_base=self.allow_other_base,
        )
        return {name: as_spec(reward).source(setting) for name, reward in self.rewards.items()}


def _caveats(subject: Subject) -> tuple[str, ...]:
    """What makes the two models hard to compare."""
    candidate, baseline = subject.candidate, subject.baseline
    if (candidate.policy is None) == (baseline.policy is None):
        return ()
    served = candidate if candidate.policy is None else baseline
    return (
        f"Only one of the two models is in this process: {served.name} is asked over its protocol, "
        "which gives likeliest first tokens where a model here gives the probability of every "
        "choice, and writes prompts in its own template. A difference may be the way of asking; "
        "ask both in the same way to exclude that.",
    )


def _spec(asked: str | AnyRespondent) -> AnyRespondent:
    return LocalSpec(model=asked) if isinstance(asked, str) else asked


def _data_of(audit: Audit) -> list[str]:
    values = [getattr(audit, field) for field in audit.file_fields]
    several = [list(v) if isinstance(v, list | tuple) else [v] for v in values]
    return [name for names in several for name in names if name]


def _model(role: str, spec: AnyRespondent, context: Context, cache: AnswerCache) -> Model:
    """A model under its role: two of one name must stay apart in the report."""
    seed = context.seed.child(role)
    respondent = _asked(spec, context, cache, seed)
    inner = respondent.respondent if isinstance(respondent, Remembered) else respondent
    policy = inner.policy if isinstance(inner, LocalRespondent) else None
    return Model(name=respondent.name, respondent=respondent, policy=policy)


def _asked(spec: AnyRespondent, context: Context, cache: AnswerCache, seed: Seed) -> Respondent:
    """Who is asked; a model in this process remembers, as a server's own cache does."""
    respondent = spec.respondent(context, None, seed)
    if not isinstance(respondent, LocalRespondent):
        return respondent
    identity = [_weights(respondent.policy), seed.value]
    return Remembered(respondent, cache, sha256_json(identity), say=context.say)


def _weights(policy: Policy) -> list[str]:
    """What answers follow from: the weights and how a conversation becomes tokens."""
    return [fingerprint(policy.model), str(policy.tokenizer.chat_template)]


def _found(audit: Audit, subject: Subject, context: Context) -> Finding:
    """The audit's finding, from the disk where a run that was stopped had made it."""
    path = context.folder / "findings" / f"{audit.title.replace('/', '-')}.json"
    settings = audit.model_dump(mode="json")
    if (kept := _kept(path, settings)) is not None:
        return kept
    finding = audit.run(subject)
    path.parent.mkdir(exist_ok=True)
    write_json(path, {"settings": settings, "finding": finding.model_dump(mode="json")})
    return finding


def _kept(path: Path, settings: object) -> Finding | None:
    if not path.exists():
        return None
    stored = read_json(path)
    if stored.get("settings") != settings:
        return None
    try:
        return Finding.model_validate(stored["finding"])
    except ValidationError:
        return None
