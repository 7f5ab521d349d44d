"""Requests with many good answers, for seeing how many of them a model finds."""

from functools import cache

from fairlead.records import Prompt

_FORMS = (
    "Write two sentences about {}.",
    "Suggest a title for a story about {}.",
    "Invent a proverb about {}.",
    "What would you tell a child about {}?",
    "Write the first line of a poem about {}.",
    "Name something that goes well with {}, and say why.",
    "Ask me a question about {}.",
    "Describe {} to somebody who has never met with it.",
    "Tell me a short joke about {}.",
    "Give me an idea for an afternoon with {}.",
)
_TOPICS = (
    "rain",
    "a lighthouse",
    "bread",
    "an old bicycle",
    "the moon",
    "a market",
    "snow",
    "a river",
    "chess",
    "a garden",
    "trains",
    "a violin",
)


@cache
def own_openings() -> tuple[Prompt, ...]:
    """All of them, over a hundred, always the same; forms and topics take turns."""
    forms, topics = len(_FORMS), len(_TOPICS)
    return tuple(
        Prompt.of(_FORMS[(i + i // topics) % forms].format(_TOPICS[i % topics]))
        for i in range(forms * topics)
    )
