"""Matches patterns and validates JSON in a process that can be stopped.

Run as a script: it answers each line of JSON on standard input with one on standard output. A
pattern may need time that doubles with every letter, and Python cannot stop one that runs.
"""

import json
import re
import resource
import sys
from typing import Any


def matched(pattern: str, text: str) -> str:
    """Empty where the pattern matches the whole text; otherwise a reason."""
    return "" if re.fullmatch(pattern, text, re.S) else "malformed"


def validated(schema: dict[str, Any], text: str) -> tuple[str, str]:
    """Reason and detail; both empty where the text is JSON that fits the schema."""
    from jsonschema.validators import validator_for
    from referencing import Registry

    try:
        value = json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError) as error:
        return "malformed", str(error)[:200]
    # An empty registry: a schema cannot have other schemas fetched from the network.
    validator = validator_for(schema)(schema, registry=Registry())
    fault = next(iter(validator.iter_errors(value)), None)
    return ("", "") if fault is None else ("wrong", f"{fault.json_path}: {fault.message}"[:200])


def _refused(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def main(memory_bytes: int) -> None:
    """Serves questions until standard input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _say("", "")
    for line in sys.stdin:
        question = json.loads(line)
        try:
            if "pattern" in question:
                _say(matched(question["pattern"], question["text"]), "")
            else:
                _say(*validated(question["schema"], question["text"]))
        except MemoryError:
            return
        except RecursionError:
            _say("malformed", "nested too deeply")


def _say(reason: str, detail: str) -> None:
    print(json.dumps({"reason": reason, "detail": detail}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
