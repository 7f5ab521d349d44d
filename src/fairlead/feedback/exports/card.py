"""The data card: what a reader must know of a data set.

After Gebru et al. 2021 (Datasheets for Datasets, arXiv:1803.09010).
"""

from collections.abc import Iterator, Mapping
from typing import Any

PRIVACY = """\
Annotators appear under pseudonyms that were made for this export alone. **Pseudonymous data are
still personal data under the GDPR**: whoever holds the store could link them to people, and texts
that people wrote may say who they are. Keep the data as long as its purpose needs, answer requests
for erasure, and rebuild the export after one (`fairlead feedback erase` lists what is affected).
"""


def card(manifest: Mapping[str, Any]) -> str:
    """The data card of an export as Markdown."""
    return "\n".join(_lines(manifest)).rstrip() + "\n"


def _lines(m: Mapping[str, Any]) -> Iterator[str]:
    yield f"# Labels of {m['campaign']}"
    yield ""
    yield f"{m['format']} from {m['answers']} answers by {m['people']} people to {m['items']} items"
    yield f"({m['work']['kind']} work), made by Fairlead {m['fairlead']} on {m['created'][:10]}."
    yield ""
    yield "## What it holds"
    yield ""
    for part, n in m["records"].items():
        yield f"- `{part}`: {n} records"
    yield "- `answers.jsonl` and `answers.csv`: every answer as it was given, with the order shown"
    yield "- `items.jsonl`: per item the raw votes and the label made of them; nothing that people"
    yield "  disagree about was removed"
    yield ""
    yield "Items of one first user turn are in one part."
    yield from _counts("Left out", m["left_out"])
    yield from _collection(m)
    yield from _quality(m)
    yield from _labels(m)
    yield "## Privacy"
    yield ""
    yield PRIVACY
    yield from _personal(m["personal_data"])
    yield "## Uses"
    yield ""
    yield "Made for training and judging reward models and policies. The labels say what these"
    yield "annotators, under these guidelines, said of these items; they are no ground truth about"
    yield "anybody else, and not meant for decisions about the annotators."


def _collection(m: Mapping[str, Any]) -> Iterator[str]:
    yield "## How it was collected"
    yield ""
    question = m["work"].get("question") or "the kind's own wording"
    yield f"Question: {question}. Replies were shown in an order that was balanced over people and"
    yield "recorded with every answer, without the names of models."
    yield ""
    for one in m["guidelines"]:
        sha = f", sha256 `{one['sha256'][:16]}`" if one["sha256"] else " (none was shown)"
        yield f"- guidelines version {one['version']}{sha}: {one['answers']} answers"
    for one in m["consents"]:
        version = "no consent text" if one["version"] is None else f"consent {one['version']}"
        yield f"- {version}: {one['people']} people"
    strata = {name or "(none)": n for name, n in m["strata"].items()}
    if set(strata) != {"(none)"}:
        yield from (f"- stratum {name}: {n} items" for name, n in sorted(strata.items()))
    yield ""


def _quality(m: Mapping[str, Any]) -> Iterator[str]:
    yield "## How good the labels are"
    yield ""
    if not m["quality"] and not m["rankings"]:
        yield "Free text: agreement is not defined."
        yield ""
        return
    yield "| question | measure | value [95 % interval] |"
    yield "|---|---|---|"
    for one in m["quality"]:
        name = one["question"] or m["work"]["kind"]
        for coefficient in one["agreement"]:
            yield f"| {name} | {coefficient['name']} | {_shown(coefficient)} |"
        for key in ("gold_accuracy", "repeats", "position_bias", "length_bias", "ties"):
            if one[key] is not None:
                yield f"| {name} | {key} | {_shown(one[key])} |"
        yield f"| {name} | people with findings | {one['people_with_findings']} |"
    if m["rankings"]:
        yield f"| ranking | kendall_tau_b | {_shown(m['rankings'])} |"
    yield ""


def _labels(m: Mapping[str, Any]) -> Iterator[str]:
    settings = m["settings"]
    yield "## How labels were made"
    yield ""
    each = "one record per answer" if settings["records"] == "each" else "one label per item"
    yield f"{each}, by {settings['method']}."
    if settings["weighted"]:
        yield "People about whom there are findings count less."
    yield ""


def _personal(found: Mapping[str, Any]) -> Iterator[str]:
    kinds = ", ".join(f"{kind} {n}" for kind, n in found["found"].items()) or "nothing"
    done = {"report": "left as it is", "mask": "blotted out", "refuse": "left out"}
    yield f"A scan of {found['texts']} texts for e-mail and IP addresses, telephone, bank account"
    yield f"and card numbers found: {kinds} ({done[found['policy']]}). Names are not looked for."
    yield ""


def _counts(title: str, counts: Mapping[str, int]) -> Iterator[str]:
    yield ""
    if counts:
        yield f"{title}:"
        yield ""
        yield from (f"- {n} {why}" for why, n in counts.items())
        yield ""


def _shown(one: Mapping[str, Any]) -> str:
    if one["value"] is None:
        return f"undefined: {one.get('why', '')}"
    if one["low"] is None:
        return f"{one['value']:.3f}"
    return f"{one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}] (n={one['n']})"
