"""What `fairlead generate` does."""

from typing import Any

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
        ConfigError: there is nothing to answer.
    """
    asked = [Prompt.of(text) for text in texts]
    if data is not None:
        asked += prompts_of(read(data).records)
    if not asked:
        raise ConfigError("nothing to answer", remedy="give a prompt, or --data with records")
    policy = load_policy(model).eval()
    answers = sample_texts(policy, asked, Sampling(**sampling), n=n, seed=Seed(seed))
    return [
        {"prompt": prompt.messages[-1].content, "replies": own}
        for prompt, own in zip(asked, answers, strict=True)
    ]
