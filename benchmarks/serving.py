"""How many tokens a second `fairlead serve` gives to clients that ask at the same time.

python -m benchmarks.serving [--model S] [--clients 1,8,32] [--requests 4] [--json FILE]
python -m benchmarks.serving --page      # the table in docs/serving.md, from the results

The server is a process of its own; the clients are the real `openai` client, all in one process,
and share the machine with it. Each client sends its requests one after the other, all of them
streaming, for replies of different lengths. Beside it stands the local engine without any server:
as many replies at once as there are clients.
"""

import argparse
import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openai

from benchmarks.machine import describe
from benchmarks.pages import with_blocks
from benchmarks.work import DECODED_PROMPT, NEW_TOKENS, SIZES, decoded_prompts, make_model, text
from fairlead.core.files import read_json, write_json

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "serving.json"
PAGE = ROOT / "docs" / "serving.md"
COMMAND = "from fairlead.cli.main import app; app()"


@dataclass(frozen=True)
class Rates:
    """What some clients saw."""

    clients: int
    requests: int
    tokens: int
    tokens_per_s: float
    first_ms: tuple[float, float]
    """Until the first text, median and 95th percentile."""
    engine_tokens_per_s: float
    """Of the local engine without a server, as many replies at once."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and writes results or page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="S", choices=sorted(SIZES))
    parser.add_argument("--clients", default="1,8,32")
    parser.add_argument("--requests", type=int, default=4, help="of each client")
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--page", action="store_true")
    asked = parser.parse_args(arguments)
    if asked.page:
        PAGE.write_text(with_blocks(PAGE.read_text(), {"rates": table(read_json(asked.json))}))
        return
    found: dict[str, Any] = {"machine": describe(), "model": asked.model, "rates": []}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        make_model(SIZES[asked.model], folder)
        for clients in map(int, asked.clients.split(",")):
            prompts = decoded_prompts(SIZES[asked.model], clients)
            alone = engine_rate(folder, prompts)
            with server(folder) as address:
                rates = asyncio.run(served(address, prompts, asked.requests, alone))
            print(rates, flush=True)
            found["rates"].append(asdict(rates))
    write_json(asked.json, found)


async def served(
    address: str, prompts: Sequence[Sequence[int]], requests: int, alone: float
) -> Rates:
    """Lets all clients ask at once."""
    first: list[float] = []
    async with openai.AsyncOpenAI(base_url=address, api_key="none", max_retries=0) as client:

        async def one(prompt: Sequence[int], seed: int) -> int:
            longest = int(np.random.default_rng(seed).integers(NEW_TOKENS // 8, 2 * NEW_TOKENS))
            begun, seen = time.perf_counter(), 0.0
            stream = await client.completions.create(
                model="model",
                prompt=text(prompt),
                max_tokens=longest,
                temperature=1.0,
                seed=seed,
                stream=True,
                stream_options={"include_usage": True},
            )
            tokens = 0
            async for chunk in stream:
                seen = seen or time.perf_counter() - begun
                tokens = chunk.usage.completion_tokens if chunk.usage else tokens
            first.append(seen)
            return tokens

        async def person(prompt: Sequence[int], n: int) -> int:
            return sum([await one(prompt, 1000 * sum(prompt) + k) for k in range(n)])

        await asyncio.gather(*(person(prompt, 1) for prompt in prompts))  # a warm-up
        first.clear()
        begun = time.perf_counter()
        tokens = sum(await asyncio.gather(*(person(prompt, requests) for prompt in prompts)))
        seconds = time.perf_counter() - begun
    median, late = (float(1000 * q) for q in np.quantile(first, (0.5, 0.95)))
    return Rates(
        clients=len(prompts),
        requests=len(first),
        tokens=tokens,
        tokens_per_s=tokens / seconds,
        first_ms=(median, late),
        engine_tokens_per_s=alone,
    )


def engine_rate(folder: Path, prompts: Sequence[Sequence[int]]) -> float:
    """Tokens a second of the local engine for one reply to each prompt."""
    from fairlead.core.seeds import Seed
    from fairlead.generation import LocalEngine, Sampling
    from fairlead.models.loading import load_policy

    engine = LocalEngine(load_policy(folder).eval())
    asked = [tuple(prompt) for prompt in prompts]

    def rate() -> float:
        begun = time.perf_counter()
        found = engine.sample(asked, Sampling(max_new_tokens=NEW_TOKENS), n=1, seed=Seed(0))
        return sum(len(one.tokens) for one in found) / (time.perf_counter() - begun)

    rate()
    return float(np.median([rate() for _ in range(3)]))


@contextmanager
def server(folder: Path) -> Generator[str]:
    """Address of a server that lives as long as the block."""
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "serve", str(folder), "--name", "model", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    said = process.stdout.readline()
    found = re.search(r"http://\S+/v1", said)
    if found is None:
        raise RuntimeError(f"the server did not start: {said}")
    try:
        yield found[0]
    finally:
        process.terminate()
        process.wait(timeout=60)
        process.stdout.close()


def table(result: Mapping[str, Any]) -> str:
    """What was measured, as Markdown."""
    machine, size = result["machine"], SIZES[result["model"]]
    head = (
        f"Measured with `python -m benchmarks.serving` on {machine['processor']}, "
        f"{machine['cpus']} CPUs, which the clients shared with the server: a Llama of "
        f"{(size.body + size.head) / 1e6:.1f} million parameters in float32, prompts of "
        f"{DECODED_PROMPT} tokens, replies of {NEW_TOKENS // 8} to {2 * NEW_TOKENS}, streaming, "
        "the `openai` client. The engine is `LocalEngine` without a server, as many replies of "
        f"{NEW_TOKENS} tokens at once."
    )
    lines = [
        "| clients | requests | tokens/s | engine alone | first text p50 | p95 |",
        "|---|---|---|---|---|---|",
    ]
    for one in result["rates"]:
        median, late = one["first_ms"]
        lines.append(
            f"| {one['clients']} | {one['requests']} | {one['tokens_per_s']:.0f} | "
            f"{one['engine_tokens_per_s']:.0f} | {median:.0f} ms | {late:.0f} ms |"
        )
    return "\n".join([head, "", *lines])


if __name__ == "__main__":
    main()
