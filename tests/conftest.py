import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings

SHARED = Path(__file__).parents[2] / "shared"

settings.register_profile("same everywhere", deadline=None, derandomize=True, max_examples=30)
settings.load_profile("same everywhere")
torch.set_num_threads(1)  # tiny tensors: more threads only wait for each other


def as_tensors(value: Any) -> Any:
    """Lists of numbers of one shape become float64 tensors; everything else stays."""
    if isinstance(value, dict):
        return {key: as_tensors(part) for key, part in value.items()}
    if isinstance(value, list):
        try:
            return torch.tensor(value, dtype=torch.float64)
        except (TypeError, ValueError):
            return [as_tensors(part) for part in value]
    return value


@pytest.fixture(scope="session")
def reference_value() -> Callable[[str], tuple[dict[str, Any], dict[str, Any]]]:
    """Inputs and outputs of one of the published reference values, as float64 tensors."""
    file = SHARED / "reference" / "reference_values.json"
    if not file.is_file():
        pytest.skip("../shared/reference/reference_values.json is not beside this checkout")
    values = json.loads(file.read_text())

    def named(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        return as_tensors(values[name]["inputs"]), as_tensors(values[name]["outputs"])

    return named
