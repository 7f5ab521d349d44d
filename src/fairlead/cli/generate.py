"""What `fairlead generate` does."""

from typing import Any

from pydantic import ValidationError

from fairlead.core.errors import ConfigError
from fairlead.core.seeds import Seed
from fairlead.data.convert import prompts as prompts_of
from fairlead.data.readers import read
from fairlead.generation.sampling import Sampling
from fairlead.models.loading import load_policy
from fairlead.pipeline.sampling import sample_texts
from fairlead.records import Prompt


def replies(
    model: str, texts: list[str], data: str | None, *, n: int, seed: int, **sampling: Any
) -> list[dict[str, Any]]:
    """Replies to prompts given as texts, or to the prompts of a data set.

    Raises:
        ConfigError: there is nothing to answer, or a setting is out of range.
    """
    asked = [Prompt.of(text) for text in texts]
    if data is not None:
        asked += prompts_of(read(data).records)
    if not asked:
        raise ConfigError("nothing to answer", remedy="give a prompt, or --data with records")
    how = _sampling(sampling)
    policy = load_policy(model).eval()
    answers = sample_texts(policy, asked, how, n=n, seed=Seed(seed))
    return [
        {"prompt": prompt.messages[-1].content, "replies": own}
        for prompt, own in zip(asked, answers, strict=True)
    ]


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
