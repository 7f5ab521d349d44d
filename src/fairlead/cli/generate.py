"""What `fairlead generate` does."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import ValidationError

from fairlead.core.errors import ConfigError
from fairlead.core.seeds import Seed
from fairlead.data.convert import prompts as prompts_of
from fairlead.data.readers import read
from fairlead.decoding import DECODERS, Decoded, DecoderSettings
from fairlead.decoding.loading import load_reward, load_value, parse_decoder
from fairlead.generation.sampling import Sampling
from fairlead.models.loading import load_policy
from fairlead.pipeline.sampling import sample_texts
from fairlead.pipeline.values import parse_value, put
from fairlead.records import Prompt

MAX_NEW_TOKENS = 128


@dataclass(frozen=True)
class Chosen:
    """A decoder as the command line names it."""

    kind: str
    reward: str | None = None
    """Folder of a reward model."""
    value: str | None = None
    """Folder of a value model, for replies that are under way."""
    settings: Sequence[str] = ()
    """As `a.b=value`."""


def chosen(
    kind: str | None, reward: str | None, value: str | None, settings: Sequence[str]
) -> Chosen | None:
    """The decoder that the options name; None for plain samples.

    Raises:
        ConfigError: options of a decoder are there, but no decoder.
    """
    if kind is not None:
        return Chosen(kind, reward, value, settings)
    if reward or value or settings:
        raise ConfigError(
            "a reward, a value model or a setting is given, but no decoder that would use it",
            expected="--decoder KIND",
            remedy="add --decoder best_of_n, for instance",
        )
    return None


def replies(
    model: str,
    texts: list[str],
    data: str | None,
    *,
    n: int,
    seed: int,
    decoder: Chosen | None = None,
    **sampling: Any,
) -> list[dict[str, Any]]:
    """Replies to prompts given as texts, or to the prompts of a data set.

    Args:
        model: folder or hub name of a policy.
        texts: what to ask.
        data: records whose prompts are asked.
        n: replies per prompt.
        seed: root of everything random.
        decoder: how to decode; None for plain samples.
        sampling: settings of `Sampling`; None stands for a default.

    Raises:
        ConfigError: there is nothing to answer, or a setting is out of range.
    """
    asked = [Prompt.of(text) for text in texts]
    if data is not None:
        asked += prompts_of(read(data).records)
    if not asked:
        raise ConfigError("nothing to answer", remedy="give a prompt, or --data with records")
    given = {key: value for key, value in sampling.items() if value is not None}
    if decoder is not None:
        return _decoded(model, asked, decoder, given, n=n, seed=Seed(seed))
    how = _sampling({"max_new_tokens": MAX_NEW_TOKENS, **given})
    policy = load_policy(model).eval()
    answers = sample_texts(policy, asked, how, n=n, seed=Seed(seed))
    return [
        {"prompt": prompt.messages[-1].content, "replies": own}
        for prompt, own in zip(asked, answers, strict=True)
    ]


def _decoded(
    model: str,
    asked: Sequence[Prompt],
    chosen: Chosen,
    sampling: Mapping[str, Any],
    *,
    n: int,
    seed: Seed,
) -> list[dict[str, Any]]:
    if n < 1:
        raise ConfigError("no reply was asked for", where="--n", expected="n >= 1", got=f"{n}")
    settings = decoder_settings(chosen, sampling)
    policy = load_policy(model).eval()
    reward = None if chosen.reward is None else load_reward(chosen.reward, policy)
    value = None if chosen.value is None else load_value(chosen.value, policy)
    decoder = settings.build(policy, reward, value)
    rounds = [decoder.decode(asked, seed=seed.child("reply", k)) for k in range(n)]
    return [
        {
            "prompt": prompt.messages[-1].content,
            "replies": [one.reply.text for one in own],
            "decoded": [_shown(one) for one in own],
        }
        for prompt, *own in zip(asked, *rounds, strict=True)
    ]


def decoder_settings(chosen: Chosen, sampling: Mapping[str, Any]) -> DecoderSettings:
    """The options of sampling go where this decoder has them; `--set` goes over them."""
    fields = getattr(DECODERS.get(chosen.kind), "model_fields", {})
    settings: dict[str, Any] = {}
    if "sampling" in fields and sampling:
        base = fields["sampling"].get_default()
        settings["sampling"] = {**base.model_dump(), **sampling}
    elif sampling:
        settings |= sampling
    for setting in chosen.settings:
        key, sign, text = setting.partition("=")
        if not sign:
            raise ConfigError(
                "a setting has no '='",
                where=f"--set {setting}",
                expected="key=value",
                remedy="write the value after the key, without blanks",
            )
        where = f"--set {setting}"
        put(settings, key.split("."), parse_value(text, where=where), where=where)
    return parse_decoder(chosen.kind, settings, where=f"--decoder {chosen.kind}")


def _shown(one: Decoded) -> dict[str, Any]:
    spent = asdict(one.spent) | {"tokens": one.spent.tokens}
    return {"score": one.score, "spent": spent, "counts": dict(one.counts)}


def price(decoded: Mapping[str, Any]) -> str:
    """What a reply cost, in words."""
    spent, score = decoded["spent"], decoded["score"]
    judged = "" if score is None else f"score {score:.3f}; "
    return (
        f"{judged}{spent['policy_tokens']} policy tokens, {spent['reward_tokens']} reward tokens, "
        f"{spent['reward_calls']} texts scored"
    )


def _sampling(settings: dict[str, Any]) -> Sampling:
    try:
        return Sampling.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        raise ConfigError(
            f"{key} is out of range",
            where=f"--{key.replace('_', '-')}",
            expected=first["msg"],
            got=repr(first["input"]),
            remedy="give a value that fits",
        ) from error
