"""A model card in the hub's format, and a datasheet of the data behind the model.

After Mitchell et al. 2019 (Model Cards for Model Reporting, arXiv:1810.03993) and Gebru et al. 2021
(Datasheets for Datasets, arXiv:1803.09010). What a run cannot know is said to be missing.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from huggingface_hub import EvalResult, ModelCardData, metadata_load

from fairlead.core.estimates import Estimate, NamedEstimate
from fairlead.core.gates import Decision, Gate
from fairlead.core.unseen import spelt_out
from fairlead.lineage.ancestry import Ancestry
from fairlead.lineage.data_sets import Campaign, DataSet
from fairlead.lineage.manifest import outputs_digest

UNKNOWN = "unknown"
TO_SAY = "_The run cannot know this; whoever releases the model must say it._"


@dataclass(frozen=True)
class Released:
    """A model with everything that its papers are made from."""

    ancestry: Ancestry
    data: tuple[DataSet, ...]
    campaigns: tuple[Campaign, ...] = ()
    decision: Decision | None = None
    """What its audits decided; None where nothing was audited."""
    gates: tuple[Gate, ...] = ()
    estimates: tuple[NamedEstimate, ...] = ()
    remarks: tuple[str, ...] = ()
    """Sentences a reader must know."""

    @property
    def name(self) -> str:
        """Run and stage."""
        return f"{self.ancestry.run.name}-{self.ancestry.made.record.name}"

    @property
    def digest(self) -> str:
        """Of the outputs of the stage that made it."""
        return outputs_digest(self.ancestry.made.manifest)

    @property
    def licence(self) -> str:
        """What the base model's own card declares, where it lies on this machine."""
        for model in self.ancestry.models:
            if model.path is not None and (card := model.path / "README.md").is_file():
                declared = (metadata_load(card) or {}).get("license")
                if isinstance(declared, str):
                    return declared
        return UNKNOWN


def model_card(released: Released) -> str:
    """README.md of a model: metadata that hubs read, then text."""
    return f"---\n{_metadata(released).to_yaml()}\n---\n\n" + _text(_model_lines(released))


def datasheet(released: Released) -> str:
    """What the data is, who judged it, and what is not known of it."""
    return _text(_data_lines(released))


def plain(text: str) -> str:
    """Text in one line in which nothing is markup."""
    return re.sub(r"([\\`*_{}\[\]<>|#])", r"\\\1", " ".join(spelt_out(text).split()))


def _text(lines: Iterator[str]) -> str:
    return "\n".join(lines).rstrip() + "\n"


def _metadata(released: Released) -> ModelCardData:
    origin = released.ancestry
    bases = [model.hub_id for model in origin.models if model.hub_id]
    results = [*_gate_results(released.gates), *_estimate_results(released.estimates)]
    return ModelCardData(
        base_model=bases or None,
        datasets=[data.hub_id for data in origin.data if data.hub_id] or None,
        license=released.licence,
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["fairlead", *dict.fromkeys(stage.record.kind for stage in origin.stages)],
        model_name=released.name,
        eval_results=results or None,
    )


def _gate_results(gates: Sequence[Gate]) -> Iterator[EvalResult]:
    for gate in gates:
        more = {"margin": gate.margin, "verdict": gate.verdict, "hard": gate.hard}
        yield from _result(gate.name, gate.harm, gate.change, more)


def _estimate_results(estimates: Sequence[NamedEstimate]) -> Iterator[EvalResult]:
    for estimate in estimates:
        yield from _result("held-out data of the run", estimate.name, estimate)


def _result(
    where: str, what: str, estimate: Estimate, more: dict[str, Any] | None = None
) -> Iterator[EvalResult]:
    """A result as hubs list them; an undefined number is no result."""
    if not math.isfinite(estimate.value):
        return
    ends = {"low": estimate.low, "high": estimate.high, "level": estimate.level, "n": estimate.n}
    yield EvalResult(
        task_type="text-generation",
        dataset_type="fairlead",
        dataset_name=where,
        dataset_config=where,  # Results of one type and config are listed under one name.
        metric_type=what,
        metric_value=_short(estimate.value),
        metric_args={k: _short(v) for k, v in ends.items() if math.isfinite(v)} | (more or {}),
    )


def _short(value: float) -> float:
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _model_lines(released: Released) -> Iterator[str]:
    origin = released.ancestry
    made = origin.made
    yield f"# {plain(released.name)}"
    yield ""
    yield f"Made by Fairlead {made.manifest.code.version} in the run {plain(origin.run.name)}"
    yield f"({origin.run.started:%Y-%m-%d}, seed {origin.run.seed}), stage"
    yield f"{plain(made.record.name)} ({made.record.kind}). SHA-256 of the stage's outputs:"
    yield f"`{released.digest}`."
    yield ""
    yield "## Intended use, and who may be affected"
    yield ""
    yield TO_SAY
    yield ""
    yield "## How it was made"
    yield ""
    bases = [f"{plain(m.name)}{_hash(m.digest)}" for m in origin.models]
    yield f"Models from outside: {', '.join(bases) or 'none; it was trained from scratch'}."
    yield ""
    yield "| stage | kind | seconds | device | key |"
    yield "|---|---|---|---|---|"
    for stage in origin.stages:
        record, manifest = stage.record, stage.manifest
        cells = (plain(record.name), record.kind, f"{manifest.seconds:.0f}", plain(manifest.device))
        yield f"| {' | '.join(cells)} | `{manifest.key[:16]}` |"
    yield ""
    versions = ", ".join(f"{name} {v}" for name, v in made.manifest.versions.items())
    yield f"Code revision {made.manifest.code.revision or 'not recorded'}; {versions}."
    yield "The data is described in `datasheet.md`."
    yield ""
    yield from _evaluation_lines(released)
    yield "## Limits"
    yield ""
    if released.remarks:
        yield from (f"- {plain(remark)}" for remark in released.remarks)
    else:
        yield "No audit or stage left a remark, which does not mean that there are no limits."
    yield ""
    yield "## Licence"
    yield ""
    yield f"{released.licence}. {'' if released.licence != UNKNOWN else TO_SAY}".rstrip()


def _evaluation_lines(released: Released) -> Iterator[str]:
    yield "## Evaluation"
    yield ""
    if released.decision is None:
        yield "Nothing was audited: no baseline was given, and there is no verdict."
        yield ""
    else:
        yield f"Verdict of the audits: **{released.decision}**. Each number is the harm that the"
        yield "candidate adds to its baseline, and the margin was fixed beforehand; `report.html`"
        yield "has all of it."
        yield ""
        yield "| gate | verdict | change | interval | margin | items | unscored |"
        yield "|---|---|---|---|---|---|---|"
        for gate in released.gates:
            change = gate.change
            ends = f"{change.low:.4g} to {change.high:.4g} ({change.level:.0%})"
            cells = (
                plain(gate.name),
                gate.verdict,
                f"{change.value:.4g}",
                ends,
                f"{gate.margin:g}",
            )
            lost = sum(gate.unscored.values())
            yield f"| {' | '.join(cells)} | {gate.items} | {lost} |"
        yield ""
    if released.estimates:
        yield "| estimate | value | interval | n |"
        yield "|---|---|---|---|"
        for e in released.estimates:
            interval = f"{e.low:.4g} to {e.high:.4g} ({e.level:.0%})"
            yield f"| {plain(e.name)} | {e.value:.4g} | {interval} | {e.n} |"
        yield ""


def _data_lines(released: Released) -> Iterator[str]:
    yield f"# Data behind {plain(released.name)}"
    yield ""
    yield "Everything that the manifests of the run name as data on the way to this model."
    yield ""
    yield "| data | made by | records | judged by | annotators | principles | ties | SHA-256 |"
    yield "|---|---|---|---|---|---|---|---|"
    for one in released.data:
        kinds = ", ".join(f"{n:,} {kind}" for kind, n in one.kinds.items()) or one.problem
        judged = ", ".join(f"{who} {n:,}" for who, n in one.judged.items()) or "not known"
        cells = (plain(one.name), plain(one.stage) or "outside the run", plain(kinds), judged)
        known = (one.judges, one.principles, one.ties) if one.kinds else ("not known",) * 3
        counts = " | ".join(map(str, known))
        yield f"| {' | '.join(cells)} | {counts} | {_hash(one.digest).strip() or 'none'} |"
    yield ""
    yield '"Not said" means that the source names no judge, not that nobody judged.'
    yield ""
    yield "## Why, by whom and under which terms it was collected"
    yield ""
    if not released.campaigns:
        yield TO_SAY
        yield ""
    for campaign in released.campaigns:
        yield from _campaign_lines(campaign)
    if not released.campaigns:
        yield "## Personal data"
        yield ""
        yield "No scan for personal data is recorded in this run."


def _campaign_lines(campaign: Campaign) -> Iterator[str]:
    m = campaign.manifest
    yield f"### {plain(str(m['campaign']))} (stage {plain(campaign.stage)})"
    yield ""
    yield f"- {m['answers']} answers by {m['people']} people to {m['items']} items"
    for one in m["quality"]:
        question = one["question"] or m["work"]["kind"]
        for c in one["agreement"]:
            yield f"- agreement on {plain(question)}, {c['name']}: {_coefficient(c)}"
    found = ", ".join(f"{kind} {n}" for kind, n in m["personal_data"]["found"].items())
    yield (
        f"- personal data: a scan of {m['personal_data']['texts']} texts for addresses and numbers "
        f"found {found or 'nothing'}; names are not looked for"
    )
    yield f"- left out: {', '.join(f'{n} {why}' for why, n in m['left_out'].items()) or 'nothing'}"
    yield ""


def _coefficient(one: dict[str, Any]) -> str:
    if one["value"] is None:
        return f"undefined ({one.get('why', '')})"
    if one["low"] is None:
        return f"{one['value']:.3f}"
    return f"{one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}]"


def _hash(digest: str) -> str:
    return f" `{digest[:16]}`" if digest else ""
