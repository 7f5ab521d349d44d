"""What a recipe says about watching a run, and what the run's report shows of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import PositiveInt

from fairlead.core.errors import DataError
from fairlead.core.results import Figure, Series, StageResult, Table
from fairlead.data.chat import ChatFormat, Ids, encode_prompts
from fairlead.data.checks import prompt_of
from fairlead.data.convert import tasks
from fairlead.models.policy import Policy
from fairlead.pipeline.rewards import AnyReward, as_spec
from fairlead.pipeline.stage import Context
from fairlead.records import Problem, Prompt
from fairlead.stats.looks import lower_gains
from fairlead.stats.means import paired_difference
from fairlead.training.watch import Watch, WatchConfig

TITLES = {"held_out": "held-out reward", "proxy": "reward trained on"}


class WatchSpec(WatchConfig):
    """A reward that is not trained on, measured on held-out prompts while training."""

    reward: str | AnyReward
    """The held-out reward: another reward model, an ensemble, or any other reward by its `kind`."""
    data: str
    """Records whose prompts are asked; none of them should be trained on."""
    prompts: PositiveInt = 128
    """Held-out prompts at most, drawn at random."""

    def references(self) -> list[tuple[str, str]]:
        """(field, name) of everything it reads."""
        rewards = [("reward", name) for name in as_spec(self.reward).references()]
        return [("data", self.data), *rewards]


@dataclass(frozen=True)
class HeldOut:
    """The prompts of a watch."""

    records: Sequence[Prompt | Problem]
    prompts: list[tuple[int, Ids]]
    trained: int
    """How many of them are trained on too."""


def drawn(
    spec: WatchSpec,
    context: Context,
    policy: Policy,
    *,
    room: int,
    trained: Sequence[Prompt | Problem],
) -> HeldOut:
    """Held-out prompts that leave room for a reply.

    Raises:
        DataError: there are fewer than two.
    """
    records = tasks(context.records(spec.data))
    asked = [prompt_of(record) for record in records]
    kept, _ = encode_prompts(asked, ChatFormat(policy.tokenizer), max_length=room)
    if len(kept) < 2:
        raise DataError(
            "nothing to watch a run on",
            where=f"watch.data: {spec.data}",
            expected="at least two prompts that leave room for a reply",
            got=str(len(kept)),
            remedy="name records with more prompts",
        )
    order = context.seed.child("watch", "prompts").numpy().permutation(len(kept))
    few = [kept[i] for i in sorted(order[: spec.prompts].tolist())]
    known = {prompt_of(record).messages for record in trained}
    return HeldOut(records, few, sum(asked[i].messages in known for i, _ in few))


def seen(watch: Watch, held_out: HeldOut, result: StageResult) -> StageResult:
    """A stage's result with what the watch saw."""
    return result.model_copy(
        update={
            "notes": (*result.notes, *_notes(watch, held_out)),
            "figures": (*result.figures, _figure(watch)),
            "tables": (*result.tables, _table(watch)),
        }
    )


def _notes(watch: Watch, held_out: HeldOut) -> tuple[str, ...]:
    rule = (
        f"watched by {watch.held_out.name} on {len(watch.prompts)} held-out prompts, "
        f"{watch.config.samples} replies each, {len(watch.looks)} looks"
    )
    overlap = (
        (f"{held_out.trained} of the watched prompts are trained on too",)
        if held_out.trained
        else ()
    )
    fall = watch.fall
    if fall is None:
        return (f"{rule}: no fall of the held-out reward was shown", *overlap)
    since, at = watch.looks[fall.since].step, watch.looks[fall.at].step
    alarm = (
        f"{rule}: the reward is over-optimised from update {at} on. Since update {since} the "
        f"held-out reward fell by at least {-fall.most:.3g} while the one trained on rose by at "
        f"least {fall.rise:.3g} (chance of a false alarm over all looks: {watch.config.error:g})"
    )
    done = (
        f"the run was stopped there, and the policy of update {watch.best} kept: the look whose "
        "gain over the start has the highest lower bound"
        if watch.finished
        else "the run went on, as `watch.stop` is not set"
    )
    return (alarm, done, *overlap)


def _figure(watch: Watch) -> Figure:
    """Gains over the start in deviations of the start's prompts, and where the alarm came."""
    lines = {name: _line(watch, name) for name in TITLES}
    marks = [Series(label="look kept", x=(watch.best,), y=_at(lines, watch.best), style="points")]
    if watch.fall is not None:
        onset = watch.looks[watch.fall.at].step
        marks.insert(0, Series(label="onset", x=(onset,), y=_at(lines, onset), style="points"))
    return Figure(
        title="Watch: the reward trained on and a held-out one",
        x_label="updates",
        y_label="gain over the start (deviations over prompts)",
        series=(*lines.values(), *(marks if watch.fall is not None else ())),
        caption="Bands are 95 % intervals over prompts, each by itself; the alarm uses bounds that "
        "hold over all looks together.",
    )


def _line(watch: Watch, measure: str) -> Series:
    table = watch.series(measure)
    spread = float(table[0].std()) or 1.0
    gains = [paired_difference(row / spread, table[0] / spread) for row in table]
    return Series.of(TITLES[measure], tuple(float(look.step) for look in watch.looks), gains)


def _at(lines: dict[str, Series], step: int) -> tuple[float | None]:
    held_out = lines["held_out"]
    return (held_out.y[held_out.x.index(float(step))],)


def _table(watch: Watch) -> Table:
    bounds = lower_gains(watch.series("held_out"), error=watch.config.error)
    rows = tuple(
        (look.step, *(float(v) for v in look.table.mean(axis=1)), float(low))
        for look, low in zip(watch.looks, bounds, strict=True)
    )
    columns = (
        "updates",
        "held-out reward",
        "reward trained on",
        "ensemble spread",
        "KL (nats)",
        "length (tokens)",
        "entropy (nats/token)",
        "held-out gain, lower bound",
    )
    without = [i for i in range(len(columns)) if np.isnan([row[i] for row in rows]).all()]
    kept = [i for i in range(len(columns)) if i not in without]
    return Table(
        title="What the watch saw",
        columns=tuple(columns[i] for i in kept),
        rows=tuple(tuple(row[i] for i in kept) for row in rows),
    )
