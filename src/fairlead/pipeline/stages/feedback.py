"""Labels of a feedback campaign as data of a run."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from fairlead.core.errors import ConfigError
from fairlead.core.results import StageResult, Table
from fairlead.feedback.exports.settings import ExportSettings
from fairlead.pipeline.stage import Context, Stage

if TYPE_CHECKING:
    from fairlead.feedback.store import Store


class FeedbackStage(Stage):
    """Exports a campaign into `train.jsonl`, or what `export.parts` names, with its data card.

    `data: {feedback: STORE, campaign: NAME}` in any stage is the same as such a stage before it.
    The stage runs again when an answer was added, changed or withdrawn.
    """

    kind: Literal["feedback"] = "feedback"
    feedback: str
    """Database of the feedback service: an SQLite file or postgresql://..."""
    campaign: str
    """Name, project/name or number."""
    export: ExportSettings = ExportSettings()
    """What leaves, and how."""
    file_fields: ClassVar[tuple[str, ...]] = ()

    def run(self, context: Context) -> StageResult:
        """Writes the records, the raw answers beside them, the card and the manifest."""
        from datetime import UTC, datetime

        from fairlead.feedback.campaigns import find_campaign
        from fairlead.feedback.exports.write import export_into
        from fairlead.feedback.permissions import LOCAL

        store = self._store()
        try:
            number = find_campaign(store, LOCAL, self.campaign).id
            now = datetime.now(UTC)
            made = export_into(store, LOCAL, number, context.folder, self.export, now=now)
        finally:
            store.close()
        return _result(made.manifest)

    def check_inputs(self) -> None:
        """Sees to it that the store and the campaign are there.

        Raises:
            ConfigError: there is no such database, or its driver is not installed.
            Missing: it has no such campaign.
        """
        super().check_inputs()
        self._digest()

    def settings(self) -> dict[str, Any]:
        """Its settings, and a hash of the labels: new ones make another result."""
        return {**super().settings(), "labels": self._digest()}

    def _digest(self) -> str:
        from fairlead.feedback.campaigns import find_campaign
        from fairlead.feedback.exports.write import labels_digest
        from fairlead.feedback.permissions import LOCAL

        store = self._store()
        try:
            return labels_digest(store, LOCAL, find_campaign(store, LOCAL, self.campaign).id)
        finally:
            store.close()

    def _store(self) -> "Store":
        from pathlib import Path

        try:
            from fairlead.feedback.store import open_store
        except ModuleNotFoundError as error:
            raise ConfigError(
                "the feedback store needs packages that are not installed",
                where=f"stage {self.name}",
                got=str(error),
                remedy="pip install 'fairlead[feedback]'",
            ) from error
        if "://" not in self.feedback and not Path(self.feedback).is_file():
            raise ConfigError(
                "there is no such database",
                where=f"stage {self.name}, feedback",
                got=self.feedback,
                remedy="check the path; `fairlead feedback serve --db FILE` makes one",
            )
        return open_store(self.feedback)


def _result(manifest: dict[str, Any]) -> StageResult:
    sizes = ", ".join(f"{name} {n}" for name, n in manifest["records"].items())
    found = ", ".join(f"{kind} {n}" for kind, n in manifest["personal_data"]["found"].items())
    notes = [
        f"{manifest['answers']} answers by {manifest['people']} people as {manifest['format']}; "
        f"parts: {sizes}",
        f"personal data found: {found or 'none'}",
    ]
    rows = tuple(manifest["left_out"].items())
    agreement = tuple(
        (one["question"], c["name"], c["value"], c["low"], c["high"], c["why"])
        for one in manifest["quality"]
        for c in one["agreement"]
    )
    return StageResult(
        notes=tuple(notes),
        tables=(
            Table(title="Left out", columns=("what", "how many"), rows=rows),
            Table(
                title="Agreement",
                columns=("question", "coefficient", "value", "low", "high", "why undefined"),
                rows=agreement,
            ),
        ),
    )


def with_labels(stages: Any) -> Any:
    """Puts a stage of kind `feedback` before each stage whose `data` names a campaign.

    Stages that name the same campaign in the same way share one.
    """
    if not isinstance(stages, list | tuple):
        return stages
    found: list[Any] = []
    known: dict[str, str] = {}
    for stage in stages:
        data = stage.get("data") if isinstance(stage, dict) else None
        if not isinstance(data, dict) or "feedback" not in data:
            found.append(stage)
            continue
        key = repr(sorted(data.items(), key=lambda one: str(one[0])))
        if key not in known:
            known[key] = f"{stage.get('name', 'stage')}-labels"
            found.append({"kind": "feedback", "name": known[key], **data})
        found.append({**stage, "data": f"@{known[key]}/train.jsonl"})
    return found
