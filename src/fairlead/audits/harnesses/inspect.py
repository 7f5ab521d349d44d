"""Inspect (UK AI Security Institute): its tasks asked of our models, its logs read and written."""

# The package is an extra: its types are not there when this is checked.
# pyright: reportMissingImports=false

import asyncio
import math
import os
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fairlead.audits.base import Model
from fairlead.audits.harnesses.paired import ItemScore, Scores, required
from fairlead.core.errors import ConfigError, DataError
from fairlead.core.results import Finding
from fairlead.judges.asking import Answer, Question
from fairlead.records import Message, Prompt

EXTRA = "inspect"
PATIENCE_S = 0.05
"""Seconds that requests are gathered before they are asked together."""


def run_task(
    task: str,
    model: Model,
    *,
    limit: int | None,
    max_tokens: int,
    arguments: dict[str, Any],
    seed: int,
    folder: Path,
) -> Path:
    """Runs an Inspect task on a model and returns the log that Inspect wrote.

    Args:
        task: a file (`task.py`, `task.py@name`) or the name of an installed task.
        model: who is asked.
        limit: items at most.
        max_tokens: longest reply where the task does not say.
        arguments: of the task.
        seed: of the order of items, where the task shuffles them.
        folder: where the log goes.

    Raises:
        ConfigError: inspect-ai is not installed.
        DataError: the task failed.
    """
    inspect_ai = required("inspect_ai", EXTRA)
    from inspect_ai.model import GenerateConfig, get_model

    _register()
    asked = get_model(
        f"fairlead/{model.name}",
        config=GenerateConfig(max_tokens=max_tokens, seed=seed, max_connections=256),
        memoize=False,
        audited=model,
    )
    logs = inspect_ai.eval(
        _near(task),
        model=asked,
        task_args=arguments,
        limit=limit,
        log_dir=str(folder),
        log_format="json",
        display="none",
        fail_on_error=False,
    )
    (log,) = logs
    if log.status != "success":
        raise DataError(
            f"Inspect could not finish the task {task}",
            where=str(log.location),
            expected="status success",
            got=f"{log.status}: {log.error.message if log.error else 'no reason given'}",
            remedy="run the task with `inspect eval` to see where it fails",
        )
    return Path(str(log.location).removeprefix("file://"))


def read_log(path: str | Path, score: str | None = None) -> Scores:
    """Scores of the items of an Inspect log; epochs of an item are averaged.

    Args:
        path: the log, `.eval` or `.json`.
        score: name of the scorer; None where the log has one only.

    Raises:
        ConfigError: inspect-ai is not installed, or the scorer is not named and there are several.
        DataError: the file is no log, or holds no samples.
    """
    required("inspect_ai", EXTRA)
    from inspect_ai.log import read_eval_log
    from inspect_ai.scorer import value_to_float

    try:
        log = read_eval_log(str(path))
    except Exception as error:  # whatever the package raises for what is no log
        raise DataError(
            "not an Inspect log", where=str(path), got=str(error), remedy="name an .eval or .json"
        ) from error
    samples = log.samples or []
    name = score or _only_score(samples, path)
    number = value_to_float()
    epochs: dict[str, list[ItemScore]] = {}
    for sample in samples:
        found = (sample.scores or {}).get(name)
        value = math.nan if found is None else float(number(found.value))
        state = _state(sample, found, value)
        item = ItemScore(
            value=value if state == "scored" else math.nan,
            state=state,
            prompt=_text(sample.input),
            reply=sample.output.completion if sample.output.choices else "",
        )
        epochs.setdefault(str(sample.id), []).append(item)
    if not epochs:
        raise DataError("the log holds no samples", where=str(path), remedy="log samples, too")
    return {item: _averaged(several) for item, several in epochs.items()}


def write_log(finding: Finding, model: str, path: Path) -> None:
    """Writes a finding as an Inspect log, for its viewer and for tools that read its logs.

    Gates and estimates become metrics; the passages, the only items that a finding keeps in full,
    become samples.

    Raises:
        ConfigError: inspect-ai is not installed.
    """
    required("inspect_ai", EXTRA)
    from inspect_ai.log import (
        EvalConfig,
        EvalDataset,
        EvalLog,
        EvalMetric,
        EvalResults,
        EvalSample,
        EvalScore,
        EvalSpec,
        write_eval_log,
    )
    from inspect_ai.model import ModelOutput
    from inspect_ai.scorer import Score

    scores = [
        EvalScore(
            name=gate.name,
            scorer="fairlead",
            scored_samples=gate.items - sum(gate.unscored.values()),
            unscored_samples=sum(gate.unscored.values()),
            metrics={
                key: EvalMetric(name=key, value=value)
                for key, value in _finite(
                    change=gate.change.value,
                    low=gate.change.low,
                    high=gate.change.high,
                    margin=gate.margin,
                ).items()
            },
            metadata={"verdict": gate.verdict, "harm": gate.harm, "hard": gate.hard},
        )
        for gate in finding.gates
    ]
    samples = [
        EvalSample(
            id=number,
            epoch=1,
            input=passage.prompt,
            target=passage.baseline,
            output=ModelOutput.from_content(model, passage.candidate),
            scores={"fairlead": Score(value="I", explanation=passage.note)},
            metadata={"about": passage.about},
        )
        for number, passage in enumerate(finding.passages, start=1)
    ]
    log = EvalLog(
        status="success",
        eval=EvalSpec(
            created=datetime.now(UTC).isoformat(),
            task=f"fairlead/{finding.audit}",
            dataset=EvalDataset(name=finding.audit, samples=len(samples)),
            model=f"fairlead/{model}",
            config=EvalConfig(),
        ),
        results=EvalResults(
            total_samples=len(samples), completed_samples=len(samples), scores=scores
        ),
        samples=samples,
    )
    write_eval_log(log, str(path), format="json")


def question_of(messages: Sequence[Any], *, max_tokens: int, temperature: float) -> Question:
    """A request in Inspect's words as a question.

    Raises:
        ConfigError: a message holds something other than text.
    """
    turns: list[Message] = []
    for message in messages:
        if not isinstance(message.content, str) and any(
            part.type != "text" for part in message.content
        ):
            raise ConfigError(
                "the task shows something other than text",
                got=", ".join(sorted({part.type for part in message.content})),
                remedy="audit with a task of texts",
            )
        turns.append(Message(role=message.role, content=message.text))
    return Question(
        prompt=Prompt(messages=tuple(turns)), max_tokens=max_tokens, temperature=temperature
    )


def _near(task: str) -> str:
    """A task's file as seen from the working folder: Inspect takes no absolute paths."""
    file, mark, name = task.partition("@")
    return os.path.relpath(file) + mark + name if Path(file).is_file() else task


def _register() -> None:
    """Makes our models known to Inspect, once."""
    from inspect_ai.model import ModelAPI, ModelOutput, modelapi

    if "api" in _REGISTERED:
        return

    class FairleadAPI(ModelAPI):
        """Asks one of our models; requests that come together are asked together."""

        def __init__(self, model_name: str, *, audited: Model, **others: Any) -> None:
            config = others.pop("config")
            super().__init__(model_name, config=config)
            self.batches = _Batches(audited)

        async def generate(
            self, input: list[Any], tools: list[Any], tool_choice: Any, config: Any
        ) -> Any:
            if tools:
                raise ConfigError(
                    "the task gives tools, which an audited model is not given",
                    got=", ".join(tool.name for tool in tools),
                    remedy="run it by Inspect itself, and compare the logs (kind: inspect_logs)",
                )
            asked = question_of(
                input, max_tokens=config.max_tokens, temperature=config.temperature or 0.0
            )
            answer = await self.batches.ask(asked)
            if answer.state == "error":
                raise DataError("no answer came", got=answer.detail)
            reason = "max_tokens" if answer.state == "truncated" else "stop"
            return ModelOutput.from_content(self.model_name, answer.text, stop_reason=reason)

        def max_connections(self) -> int:
            return 256

    @modelapi(name="fairlead")
    def api() -> type[ModelAPI]:
        return FairleadAPI

    _REGISTERED["api"] = api


_REGISTERED: dict[str, Any] = {}


class _Batches:
    """Gathers requests for a moment and asks them together, one batch at a time."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.waiting: list[tuple[Question, asyncio.Future[Answer]]] = []
        self.asked: Counter[Question] = Counter()
        self.lock = asyncio.Lock()
        self.task: asyncio.Task[None] | None = None

    async def ask(self, question: Question) -> Answer:
        """The answer; the same question asked again at a temperature is another sample."""
        sample = self.asked[question] if question.temperature else 0
        self.asked[question] += 1
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.waiting.append((question.model_copy(update={"sample": sample}), future))
        if self.task is None or self.task.done():
            self.task = asyncio.create_task(self._flush())
        return await future

    async def _flush(self) -> None:
        async with self.lock:
            while self.waiting:
                await asyncio.sleep(PATIENCE_S)
                batch, self.waiting = self.waiting, []
                try:
                    answers = await asyncio.to_thread(self.model.ask, [q for q, _ in batch])
                except Exception as error:  # every waiting request must hear of it
                    for _, future in batch:
                        future.set_exception(error)
                    continue
                for (_, future), answer in zip(batch, answers, strict=True):
                    if not future.done():
                        future.set_result(answer)


def _only_score(samples: Sequence[Any], path: str | Path) -> str:
    names = sorted({name for sample in samples for name in (sample.scores or {})})
    if len(names) != 1:
        raise ConfigError(
            "which score counts is not clear",
            where=str(path),
            expected="one score, or `score` that names one",
            got=", ".join(names) or "none",
            remedy="set score: to one of these",
        )
    return names[0]


def _state(sample: Any, found: Any, value: float) -> str:
    if sample.error is not None:
        return "error"
    if found is None or math.isnan(value):
        return str(getattr(found, "reason", None) or "parse_fail")
    return "scored"


def _averaged(epochs: Sequence[ItemScore]) -> ItemScore:
    """Mean over the epochs of an item; one without a score leaves the item without."""
    values = [one.value for one in epochs]
    bad = next((one for one in epochs if one.state != "scored"), None)
    if bad is not None:
        return bad
    first = epochs[0]
    return ItemScore(sum(values) / len(values), "scored", first.prompt, first.reply)


def _text(shown: Any) -> str:
    if isinstance(shown, str):
        return shown
    return "\n\n".join(f"{message.role}: {message.text}" for message in shown)


def _finite(**numbers: float) -> dict[str, float]:
    return {key: value for key, value in numbers.items() if math.isfinite(value)}
