"""`fairlead serve`: parses, loads, serves."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fairlead.cli.shell import for_people, out, quiet
from fairlead.core.errors import ConfigError

if TYPE_CHECKING:
    from fairlead.cli.generate import Chosen
    from fairlead.serving.app import Served
    from fairlead.serving.settings import ServeSettings
    from fairlead.serving.votes import Votes
    from fairlead.serving.worker import Worker


@for_people
def serve(
    model: Annotated[str, typer.Argument(help="Folder or hub name of a policy.")],
    decoder: Annotated[
        str | None,
        typer.Option(
            "--decoder",
            help="How replies are chosen: best_of_n, beam, args, cards... Without it they are"
            " drawn token by token, all requests in one batch.",
        ),
    ] = None,
    reward: Annotated[
        str | None,
        typer.Option("--reward", help="Folder of the reward model that the decoder goes by."),
    ] = None,
    value: Annotated[
        str | None,
        typer.Option("--value", help="Folder of a value model, for replies under way."),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Setting of the decoder, e.g. n=8.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="What clients call the model; the folder's name.")
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="0 for any that is free.")] = 8000,
    api_key_env: Annotated[
        str | None,
        typer.Option(
            "--api-key-env",
            help="Environment variable with the key that clients must send. Needed to listen"
            " beyond this machine.",
        ),
    ] = None,
    rows: Annotated[
        int, typer.Option("--rows", help="Replies made together: the memory knob.")
    ] = 64,
    queue: Annotated[
        int, typer.Option("--queue", help="Replies that may wait; more get status 429.")
    ] = 64,
    timeout: Annotated[
        float, typer.Option("--timeout", help="Seconds that a request may take in all.")
    ] = 120.0,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", help="Longest reply, in tokens.")
    ] = 1024,
    feedback: Annotated[
        str | None,
        typer.Option(
            "--feedback",
            envvar="FAIRLEAD_FEEDBACK_DB",
            help="Feedback database that takes what is sent to /v1/feedback; made if not there.",
        ),
    ] = None,
    campaign: Annotated[
        str,
        typer.Option(
            "--campaign",
            help="NAME or PROJECT/NAME; opinions go to NAME-good, NAME-score, NAME-preferred.",
        ),
    ] = "served/chat",
    seed: Annotated[
        int, typer.Option("--seed", help="Root of what is drawn for requests without a seed.")
    ] = 0,
    log_prompts: Annotated[
        bool, typer.Option("--log-prompts", help="Write what was asked and answered to the log.")
    ] = False,
) -> None:
    r"""Serve a policy to any OpenAI client, and take feedback on what it says.

    \b
    fairlead serve runs/quickstart-0/stages/dpo/model
    fairlead serve POLICY --decoder best_of_n --set n=8 --reward REWARD_MODEL
    fairlead serve POLICY --feedback labels.db --campaign chat
    """
    quiet()
    _serving_is_installed()
    from fairlead.cli.generate import chosen as decoder_named
    from fairlead.serving.server import key_from, listening, refuse_open, serve_until_stopped

    how = _settings(
        name=name or _name(model),
        host=host,
        port=port,
        api_key=key_from(api_key_env),
        rows=rows,
        queue=queue,
        timeout_s=timeout,
        max_tokens=max_tokens,
        seed=seed,
        log_prompts=log_prompts,
    )
    refuse_open(how)
    chosen = decoder_named(decoder, reward, value, settings or [])
    with listening(how) as listener:
        served, worker = _loaded(model, chosen, how)
        votes = None if feedback is None else _votes(feedback, campaign)
        try:
            serve_until_stopped(listener, served, how, worker, votes, say=_say)
        finally:
            if votes is not None:
                votes.close()


def _say(line: str) -> None:
    out.print(line, highlight=False, markup=False)


def _name(model: str) -> str:
    """The folder's name, or that of the stage whose `model` it is; a hub name as it is."""
    folder = Path(model)
    if not folder.exists():
        return model
    whole = folder.resolve()
    return whole.parent.name if whole.name == "model" else whole.name


def _settings(**values: Any) -> "ServeSettings":
    from pydantic import ValidationError

    from fairlead.serving.settings import ServeSettings

    try:
        return ServeSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        option = str(first["loc"][0]).removesuffix("_s").replace("_", "-")
        raise ConfigError(
            "this setting of the server cannot work",
            where=f"--{option}",
            expected=first["msg"],
            got=str(first["input"]),
        ) from error


def _loaded(
    model: str, chosen: "Chosen | None", settings: "ServeSettings"
) -> "tuple[Served, Worker]":
    """What is served, and who answers."""
    from fairlead.cli.generate import decoder_settings
    from fairlead.decoding.loading import load_reward, load_value
    from fairlead.models.loading import load_policy
    from fairlead.serving.choosing import prepared

    if chosen is None:
        return prepared(load_policy(model), settings)
    decoder = decoder_settings(chosen, {})
    policy = load_policy(model)
    reward = None if chosen.reward is None else load_reward(chosen.reward, policy)
    value = None if chosen.value is None else load_value(chosen.value, policy)
    return prepared(policy, settings, decoder, reward, value)


def _votes(db: str, campaign: str) -> "Votes":
    try:
        from fairlead.serving.votes import open_votes
    except ModuleNotFoundError as error:
        raise ConfigError(
            "the feedback store needs packages that are not installed",
            where="--feedback",
            got=str(error),
            remedy="pip install 'fairlead[feedback]'",
        ) from error
    return open_votes(db, campaign)


def _serving_is_installed() -> None:
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as error:
        raise ConfigError(
            "the server needs packages that are not installed",
            got=str(error),
            remedy="pip install 'fairlead[serve]'",
        ) from error
