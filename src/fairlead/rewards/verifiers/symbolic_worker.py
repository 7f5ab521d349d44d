"""Compares mathematical expressions in a process that can be stopped.

Run as a script: it answers each line of JSON on standard input with one on standard output.
Expressions are read as LaTeX by math-verify; nothing in them is evaluated as Python.
"""

import json
import logging
import resource
import sys
from typing import Any


def main(memory_bytes: int) -> None:
    """Serves comparisons until standard input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.disable()
    from math_verify import LatexExtractionConfig, parse, verify

    config = [LatexExtractionConfig(boxed_match_priority=0)]

    def parsed(expression: str) -> list[Any]:
        # Its own time limits use signals that only a main thread may set, and stop less than all.
        return parse(f"\\boxed{{{expression}}}", config, parsing_timeout=None)  # pyright: ignore

    _say({"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = parsed(request["answer"])
            gold = parsed(request["gold"])
            equal = bool(answer and verify(gold, answer, timeout_seconds=None))
            _say({"equal": equal, "readable": bool(answer)})
        except MemoryError:
            return
        except Exception:
            _say({"equal": False, "readable": False})


def _say(message: dict[str, bool]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
