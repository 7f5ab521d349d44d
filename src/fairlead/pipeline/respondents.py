"""Judges and critics as a recipe describes them."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    TypeAdapter,
    ValidationError,
)

from fairlead.constitution.principles import Constitution
from fairlead.constitution.scripted import ScriptedCritic
from fairlead.core.errors import ConfigError
from fairlead.core.seeds import Seed
from fairlead.judges.asking import Respondent
from fairlead.judges.local import LocalRespondent
from fairlead.judges.server.settings import Price, ServerSettings
from fairlead.models.loading import load_policy
from fairlead.pipeline.stage import Context
from fairlead.pipeline.values import parse_value


class RespondentSpec(BaseModel, ABC):
    """Who is asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    price: Price = Price()
    """What its tokens cost, for cost per label; a server's own price counts where it has one."""

    @abstractmethod
    def respondent(
        self, context: Context, constitution: Constitution | None, seed: Seed
    ) -> Respondent:
        """Loads or connects."""

    def costs(self) -> Price:
        """What its tokens cost."""
        return self.price

    def references(self) -> list[str]:
        """Models that it reads."""
        return []


class LocalSpec(RespondentSpec):
    """A model in this process."""

    kind: Literal["local"] = "local"
    model: str
    """A stage, a folder or a hub name; the model that is trained may criticise itself."""
    microbatch_tokens: PositiveInt = 8192
    """Tokens scored at once, the memory knob."""

    def respondent(
        self, context: Context, constitution: Constitution | None, seed: Seed
    ) -> LocalRespondent:
        """Loads the model."""
        policy = load_policy(context.model(self.model)).eval()
        return LocalRespondent(policy, self.microbatch_tokens, seed=seed, name=self.model)

    def references(self) -> list[str]:
        """The model."""
        return [self.model]


class ServerSpec(RespondentSpec):
    """A model behind an OpenAI-compatible server; answers are kept, so a resume pays nothing."""

    kind: Literal["server"] = "server"
    server: ServerSettings
    """Where it is, and what it may cost."""
    cache: str | None = None
    """File of answers already paid for; None for one in the run folder, which stages share."""

    def respondent(
        self, context: Context, constitution: Constitution | None, seed: Seed
    ) -> Respondent:
        """Opens the cache; nothing is sent yet."""
        from fairlead.judges.server import ServerRespondent

        cache = context.run_dir / "answers.db" if self.cache is None else context.path(self.cache)
        return ServerRespondent(self.server, cache)

    def costs(self) -> Price:
        """The server's price, which its budget counts too."""
        return self.server.price


class ScriptedSpec(RespondentSpec):
    """The scripted critic of the assistant's world."""

    kind: Literal["scripted"] = "scripted"
    name: str = "scripted"
    """What records call it."""
    error: float = Field(default=0.0, ge=0, le=1)
    """Probability that it takes a kept principle for broken or the other way round."""
    position: float = 0.0
    """Added to its log-odds for the reply shown first."""
    unreadable: float = Field(default=0.0, ge=0, le=1)
    """Probability that an answer holds nothing that can be read."""
    temperature: PositiveFloat = 0.25
    """Of its preferences, in broken principles."""

    def respondent(
        self, context: Context, constitution: Constitution | None, seed: Seed
    ) -> ScriptedCritic:
        """The critic for the principles at hand."""
        if constitution is None:
            raise ConfigError(
                "the scripted critic answers under principles alone",
                where=f"kind: {self.kind}",
                expected="a model in this process, or one behind a server",
                remedy="use it in the stages revise and ai_feedback",
            )
        return ScriptedCritic(
            constitution,
            seed.child(self.name),
            error=self.error,
            position=self.position,
            unreadable=self.unreadable,
            temperature=self.temperature,
            name=self.name,
        )


AnyRespondent = Annotated[LocalSpec | ServerSpec | ScriptedSpec, Field(discriminator="kind")]

_SPECS: TypeAdapter[AnyRespondent] = TypeAdapter(AnyRespondent)


def spec_values(text: str, *, where: str) -> Any:
    """Who is asked, as the command line names them: a model, a YAML file, or YAML in the line.

    `sft` and `runs/x/model` are models in this process; `judge.yaml` and `{kind: server, ...}`
    describe any.

    Raises:
        ConfigError: the file cannot be read, or is no YAML.
    """
    if text.endswith((".yaml", ".yml")):
        try:
            text = Path(text).expanduser().read_text("utf-8")
        except OSError as error:
            raise ConfigError(
                "the description of a model cannot be read",
                where=f"{where} {text}",
                got=str(error.strerror),
                remedy="name a YAML file such as docs/judges.md shows",
            ) from error
    value = parse_value(text, where=where)
    return {"kind": "local", "model": value} if isinstance(value, str) else value


def respondent_spec(text: str, *, where: str) -> AnyRespondent:
    """The same, checked.

    Raises:
        ConfigError: it describes nobody who could be asked.
    """
    try:
        return _SPECS.validate_python(spec_values(text, where=where))
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(
            "nobody is described who could be asked",
            where=where,
            expected="a model, or kind: local, server or scripted with its settings",
            got=faults,
            remedy="docs/judges.md shows examples",
        ) from error
