import json
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings

SUPPORTED = pytest.StashKey[list[list[str]]]()

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


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--support", metavar="FILE", help="write what trained, as JSON, to FILE")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SUPPORTED] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Keeps what a passed test says that it has shown to work."""
    report = yield
    if report.when == "call" and report.passed:
        item.config.stash[SUPPORTED] += [v for n, v in item.user_properties if n == "support"]
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Adds what passed to the file; what was run on another device before stays in it."""
    target = session.config.getoption("--support")
    if target is None:
        return
    file, passed = Path(target), session.config.stash[SUPPORTED]
    devices = {device for *_, device, _ in passed}
    earlier = json.loads(file.read_text()) if file.exists() else []
    kept = [row for row in earlier if row[2] not in devices]
    rows = sorted([*kept, *passed])
    file.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
