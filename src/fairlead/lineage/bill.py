"""A bill of materials of a model: CycloneDX 1.6 with a model card, as JSON values.

Written as plain values: the libraries for CycloneDX do not know its model cards. Their schema is
what the tests check it with. Source: OWASP CycloneDX 1.6 (ECMA-424).
"""

import math
import uuid
from collections.abc import Iterator
from datetime import UTC
from typing import Any

from fairlead.core.estimates import Estimate
from fairlead.core.files import sha256_json
from fairlead.lineage.cards import TO_SAY, Released
from fairlead.lineage.data_sets import DataSet

_NAMESPACE = uuid.UUID("6f1d9f0c-54a3-4d1c-9a51-0f2b1b0c7d2e")
_APPROACHES = {"rl": "reinforcement-learning", "sft": "supervised", "preference": "supervised"}


def bill_of_materials(released: Released) -> dict[str, Any]:
    """The model, what it was made from, and the libraries that made it.

    The same run gives the same bill: its serial number follows from what is in it.
    """
    origin = released.ancestry
    made = origin.made
    finished = (origin.run.finished or origin.run.started).astimezone(UTC)
    parts = [*_base_models(released), *_data(released), *_libraries(released)]
    content = {
        "metadata": {
            "timestamp": f"{finished:%Y-%m-%dT%H:%M:%SZ}",
            "tools": {
                "components": [
                    {
                        "type": "application",
                        "name": "fairlead",
                        "version": made.manifest.code.version,
                    }
                ]
            },
            "component": _model(released),
        },
        "components": parts,
        "dependencies": [
            {"ref": "model", "dependsOn": [part["bom-ref"] for part in parts]},
            *({"ref": part["bom-ref"]} for part in parts),
        ],
    }
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, sha256_json(content))}",
        "version": 1,
        **content,
    }


def _model(released: Released) -> dict[str, Any]:
    made = released.ancestry.made
    return {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": released.name,
        "version": released.digest[:12],
        "components": [
            {"type": "file", "bom-ref": f"file:{name}", "name": name, "hashes": _hashes(digest)}
            for name, digest in made.manifest.outputs.items()
            if name.startswith("model/")
        ],
        "modelCard": {
            "bom-ref": "model-card",
            "modelParameters": _parameters(released),
            "quantitativeAnalysis": {"performanceMetrics": [*_metrics(released)]},
            "considerations": {
                "useCases": [TO_SAY.strip("_")],
                "technicalLimitations": list(released.remarks),
            },
            "properties": [
                {"name": "fairlead:verdict", "value": released.decision or "not audited"},
                {"name": "fairlead:seed", "value": str(released.ancestry.run.seed)},
                {"name": "fairlead:outputs-sha256", "value": released.digest},
            ],
        },
    }


def _parameters(released: Released) -> dict[str, Any]:
    made = released.ancestry.made.record
    known = {"approach": {"type": _APPROACHES[made.kind]}} if made.kind in _APPROACHES else {}
    return known | {
        "task": "text-generation",
        "architectureFamily": "transformer",
        "datasets": [{"ref": _data_ref(one)} for one in released.data],
        "inputs": [{"format": "text"}],
        "outputs": [{"format": "text"}],
    }


def _metrics(released: Released) -> Iterator[dict[str, Any]]:
    for gate in released.gates:
        yield _metric(f"{gate.harm}, change from the baseline", gate.name, gate.change)
    for estimate in released.estimates:
        yield _metric(estimate.name, "held-out data of the run", estimate)


def _metric(kind: str, part: str, estimate: Estimate) -> dict[str, Any]:
    metric: dict[str, Any] = {"type": kind, "slice": part}
    if math.isfinite(estimate.value):
        metric["value"] = f"{estimate.value:.6g}"
    if math.isfinite(estimate.low) and math.isfinite(estimate.high):
        ends = {"lowerBound": f"{estimate.low:.6g}", "upperBound": f"{estimate.high:.6g}"}
        metric["confidenceInterval"] = ends
    return metric


def _base_models(released: Released) -> Iterator[dict[str, Any]]:
    for model in released.ancestry.models:
        yield _with_hash(
            {"type": "machine-learning-model", "bom-ref": f"base:{model.name}", "name": model.name},
            model.digest,
        )


def _data(released: Released) -> Iterator[dict[str, Any]]:
    for one in released.data:
        kinds = ", ".join(f"{n} {kind}" for kind, n in one.kinds.items())
        judged = ", ".join(f"{n} {who}" for who, n in one.judged.items())
        said = f"{kinds}; judged: {judged}" if kinds else one.problem
        yield _with_hash(
            {
                "type": "data",
                "bom-ref": _data_ref(one),
                "name": one.name,
                "data": [{"type": "dataset", "name": one.name, "description": said}],
            },
            one.digest,
        )


def _data_ref(one: DataSet) -> str:
    return f"data:{one.name}"


def _libraries(released: Released) -> Iterator[dict[str, Any]]:
    for name, version in released.ancestry.made.manifest.versions.items():
        purl = f"pkg:generic/python@{version}" if name == "python" else f"pkg:pypi/{name}@{version}"
        yield {
            "type": "platform" if name == "python" else "library",
            "bom-ref": f"library:{name}",
            "name": name,
            "version": version,
            "purl": purl,
        }


def _with_hash(component: dict[str, Any], digest: str) -> dict[str, Any]:
    return component | ({"hashes": _hashes(digest)} if digest else {})


def _hashes(digest: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": digest}]
