import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fairlead.core.estimates import NamedEstimate
from fairlead.core.files import write_json, write_text
from fairlead.core.seeds import Seed
from fairlead.lineage import (
    Figure,
    Reply,
    RunRecord,
    Sample,
    Scores,
    Series,
    StageRecord,
    StageResult,
    Table,
    make_inputs,
    make_manifest,
    write,
    write_result,
    write_run,
)

START = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
UPSTREAM = {"prepare": [], "reward": ["prepare"], "dpo": ["prepare"], "evaluate": ["reward", "dpo"]}
SECONDS = {"prepare": 2.4, "reward": 312.0, "dpo": 4810.0, "evaluate": 96.0}


def metrics(stage: str, steps: int) -> str:
    """Training metrics that look like a real run's: falling loss, rising reward, noise."""
    noise = Seed(7).child("metrics", stage).numpy().normal(size=(steps, 5))
    lines = []
    for step in range(steps):
        done, e = step / steps, noise[step]
        entry = {
            "step": step + 1,
            f"loss/{stage}": 0.25 + 0.44 * math.exp(-4 * done) + 0.02 * e[0],
            "reward/margin": 1.8 * (1 - math.exp(-3 * done)) + 0.1 * e[1],
            "policy/kl_k3": 12 * done**1.5 + 0.3 * abs(e[2]),
            "policy/gradient_norm": 1.5 * math.exp(-done) + 0.2 * abs(e[3]),
            "time/tokens_per_second": 11200 + 400 * e[4],
            "policy/accuracy": 0.5 + 0.3 * done,
            "data/epoch": done * 2,
        }
        lines.append(json.dumps(entry) + "\n")
    return "".join(lines)


def evaluation() -> StageResult:
    named = NamedEstimate
    boot = "paired bootstrap over prompts, 10,000 draws"
    estimates = (
        named(name="Win rate, DPO against SFT", value=0.642, low=0.601, high=0.683, n=512,
              method=boot, seed=11),
        named(name="Reward-model accuracy", value=0.718, low=0.694, high=0.741, n=1418,
              method="Wilson score"),
        named(name="Gold reward, DPO minus SFT", value=-0.12, low=-0.31, high=0.07, n=512,
              method=boot, seed=11),
        named(name="KL from reference (nats)", value=11.84, low=11.2, high=12.6, n=512,
              method="clustered t", seed=None),
        named(name="Judge agreement", value=0.61, low=math.nan, high=math.nan, n=3,
              method="too few raters for an interval"),
    )  # fmt: skip
    kl = tuple(float(k) for k in range(0, 13))
    gold = tuple(1.2 * math.sqrt(k) - 0.22 * k for k in kl)
    proxy = tuple(1.2 * math.sqrt(k) for k in kl)

    def band(values: tuple[float, ...], width: float) -> tuple[float, ...]:
        return tuple(v + width for v in values)

    figures = (
        Figure(
            title="Over-optimisation",
            x_label="KL from reference (nats)",
            y_label="reward",
            series=(
                Series(label="gold", x=kl, y=gold, low=band(gold, -0.15), high=band(gold, 0.15)),
                Series(label="reward model", x=kl, y=proxy),
            ),
            caption="The reward model keeps rising after the gold reward has turned.",
        ),
        Figure(
            title="Win rate by prompt length",
            x_label="prompt length (tokens)",
            y_label="win rate",
            series=tuple(
                Series(label=name, x=x, y=y, low=band(y, -0.06), high=band(y, 0.05), style="points")
                for name, x, y in (
                    ("DPO", (16, 48, 96, 160), (0.66, 0.64, 0.65, 0.61)),
                    ("PPO", (20, 52, 100, 164), (0.58, 0.6, 0.57, 0.52)),
                )
            ),
        ),
    )
    table = Table(
        title="Wins by category",
        columns=("Category", "Prompts", "Wins", "Win rate"),
        rows=(("Advice", 210, 141, 0.671), ("Code", 102, 61, 0.598), ("Chat", 1200, 612, 0.51)),
    )
    samples = tuple(
        Sample(
            prompt=f"Prompt {number}: how do I keep bread fresh for longer?",
            replies=(
                Reply(policy="SFT", text="Put it in a bag.", scores=Scores(gold=0.21, proxy=0.4)),
                Reply(policy="DPO", text="Keep it in a paper bag at room temperature.\n\nFreeze "
                      "what you will not eat in two days: the fridge makes it stale sooner.",
                      scores=Scores(gold=1.34, proxy=2.05)),
            ),
        )
        for number in range(1, 9)
    )  # fmt: skip
    return StageResult(
        estimates=estimates,
        notes=("14 of 526 prompts were left out: both replies were identical.",),
        tables=(table,),
        figures=figures,
        samples=samples,
    )


def make_run(root: Path) -> Path:
    """A finished run of four stages under `root`, with everything that a report can show."""
    run = root / "run"
    write_text(root / "feedback.jsonl", '{"a": 1}\n')
    records, started = [], START
    for name, upstream in UPSTREAM.items():
        folder = run / "stages" / name
        write_json(folder / "config.json", {"kind": name, "seed": 7})
        if name in ("reward", "dpo"):
            write_text(folder / "metrics.jsonl", metrics(name, 120 if name == "reward" else 700))
        write_result(folder, evaluation() if name == "evaluate" else StageResult())
        files = [root / "feedback.jsonl"] if name == "prepare" else []
        manifest = make_manifest(
            folder,
            inputs=make_inputs(run, files=files, stages=upstream),
            device="cpu",
            seed=7,
            started=started,
            seconds=SECONDS[name],
        )
        write(folder, manifest)
        started += timedelta(seconds=SECONDS[name])
        records.append(
            StageRecord(
                name=name,
                kind=name,
                folder=f"stages/{name}",
                seconds=SECONDS[name],
                status="complete",
                cached=name == "prepare",
            )
        )
    record = RunRecord(
        name="Helpful replies, DPO",
        seed=7,
        started=START,
        finished=started,
        recipe={"name": "helpful", "stages": {"dpo": {"beta": 0.1}}},
        stages=tuple(records),
    )
    write_run(run, record)
    return run


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("report"))
