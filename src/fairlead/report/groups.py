"""Findings under the questions that readers come with, by the kind of audit they are from."""

import re
from dataclasses import dataclass

from fairlead.core.results import Finding
from fairlead.report.verdict import Ruling

GROUPS: tuple[tuple[str, str], ...] = (
    ("Does the alignment hold?", r"tamper|fragil|one_|fine_?tun|elicit|erasure|suppress|"
     r"survives|bundl"),
    ("Can it be overseen?", r"oversight|chain_of|cot|debate|weak_to|amplif|monitor"),
    ("Over-optimisation", r"over_?optimi|best_of|outlier|alarm|drawn_out|headroom"),
    ("Harm and refusal", r"refus|harm|attack|compliance|jailbreak"),
    ("Trust in the reward model", r"reward|probe|rewrite|position"),
    ("Honesty and behaviour", r"sycoph|honest|truth|behaviour|social|bbq|stereo|calibrat|mimic"),
    ("The data", r"concept|annotator|group|dispar|leak|contamin|preference_data"),
    ("What changed", r"drift|divers|collapse|length|win_rate|tax|capab|consist|paraphrase|task|"
     r"inspect"),
)  # fmt: skip
"""Heading and what the kind of an audit has in its name; the first that fits is taken."""

OTHERS = "Other audits"


@dataclass(frozen=True)
class Placed:
    """A finding and the stage it is from."""

    stage: str
    finding: Finding


def grouped(ruling: Ruling) -> list[tuple[str, list[Placed]]]:
    """Findings by heading, in the order of the headings; none is left out."""
    found: dict[str, list[Placed]] = {}
    for one in ruling.audited:
        for finding, kind in zip(one.findings, one.kinds, strict=True):
            found.setdefault(heading(kind), []).append(Placed(one.stage, finding))
    order = ["Over-optimisation", "Harm and refusal", "Trust in the reward model", "What changed"]
    order += [name for name, _ in GROUPS if name not in order] + [OTHERS]
    return [(name, found[name]) for name in order if name in found]


def heading(kind: str) -> str:
    """The heading of a kind of audit."""
    return next((name for name, words in GROUPS if re.search(words, kind)), OTHERS)
