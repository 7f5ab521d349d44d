"""Asks the faulty server, as a process: `python faulty_client.py SETTINGS CACHE RESULT COUNT`."""

import json
import sys
from pathlib import Path

from fairlead.judges.asking import Question
from fairlead.judges.server import ServerRespondent, ServerSettings
from fairlead.records import Prompt


def question(item: int) -> Question:
    """Every fifth wants words, the others a choice."""
    prompt = Prompt.of(f"item {item}: which reply is better?")
    return Question(prompt=prompt) if item % 5 == 0 else Question(prompt=prompt, options=("A", "B"))


if __name__ == "__main__":
    settings, cache, result, count = sys.argv[1:]
    respondent = ServerRespondent(ServerSettings.model_validate_json(settings), cache=Path(cache))
    answers = respondent.ask([question(i) for i in range(int(count))])
    spent = respondent.spent
    said = {"answers": [a.model_dump() for a in answers], "spent": list(spent)}
    Path(result).write_text(json.dumps(said))
