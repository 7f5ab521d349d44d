"""Checks code by running a problem's tests against it, each in a confined process of its own."""

import ast
import json
import os
import signal
from typing import Any, Literal

from fairlead.core.errors import DataError
from fairlead.records import Problem
from fairlead.rewards.verifiers.base import FENCED, NO_ANSWER, Checked, Checker
from fairlead.rewards.verifiers.confined.examiner import number_of_tests
from fairlead.rewards.verifiers.confined.exchange import TOO_LONG
from fairlead.rewards.verifiers.sandbox import Ended, Job, Limits, run

REASONS = {
    "MemoryError": "memory",
    "SyntaxError": "malformed",
    "IndentationError": "malformed",
    "TabError": "malformed",
    "PermissionError": "forbidden",
    "BlockingIOError": "forbidden",
    "RecursionError": "recursion",
}


class CodeChecker(Checker):
    """Runs Python tests against the code in a reply.

    `Problem.answer` holds the tests: a Python source in which every assertion and every bare call
    of the top level is a test, and every function whose name begins with `test`; all else prepares
    them. Tests see the public names of the solution. They must import what they use themselves.

    Solution and tests live in two confined processes. Only plain values cross between them (see
    `confined/exchange.py`), so the solution can neither read nor change the tests, nor end them,
    nor return an object that equals everything.
    """

    kind: Literal["code"] = "code"
    score: Literal["all", "fraction"] = "all"
    """1 where all tests pass, or the share of tests that pass."""
    limits: Limits = Limits()
    """What each of the two processes may use."""
    builtins: tuple[str, ...] = ()
    """Built-in names that solutions may define for the tests, such as `sum` in a problem of MBPP.

    All others stay Python's own, so that no solution can bring an `abs` that suits it.
    """

    def check(self, problem: Problem, text: str) -> Checked:
        """Checks a reply: its last fenced block, or all of it where none is fenced.

        Raises:
            ConfigError: this machine cannot confine untrusted code.
            DataError: the problem's answer is no Python source with tests.
        """
        total = count_tests(problem.answer)
        inside = self.answer_in(text)
        blocks = FENCED.findall(inside or "")
        source = blocks[-1][1] if blocks else inside
        if source is None or not source.strip():
            return NO_ANSWER
        solution, examiner = self._run(source, problem.answer)
        results = _results(examiner.output)
        passed = sum(r["passed"] for r in results)
        share = passed / total
        if passed == total and not examiner.stopped:
            return Checked(1.0, source, "correct")
        reason, detail = _why(solution, examiner, results)
        return Checked(share if self.score == "fraction" else 0.0, source, reason, detail)

    def _run(self, source: str, tests: str) -> list[Ended]:
        asked, answers = os.pipe(), os.pipe()
        jobs = [
            Job(
                "solution",
                {"source": source, "read_from": asked[0], "write_to": answers[1]},
                (asked[0], answers[1]),
            ),
            Job(
                "examiner",
                {
                    "tests": tests,
                    "builtin": list(self.builtins),
                    "read_from": answers[0],
                    "write_to": asked[1],
                },
                (answers[0], asked[1]),
            ),
        ]
        return run(jobs, self.limits)


def count_tests(source: str) -> int:
    """How many tests a source has.

    Raises:
        DataError: it is no Python, or has none.
    """
    try:
        count = number_of_tests(ast.parse(source))
    except (SyntaxError, ValueError) as error:
        raise _no_tests(f"{error}") from error
    if not count:
        raise _no_tests("no test in it")
    return count


def _no_tests(got: str) -> DataError:
    return DataError(
        "the answer of a code problem must be its tests",
        expected="Python with assertions, bare calls or functions named test… at its top level",
        got=got,
        remedy="put the tests' source in Problem.answer",
    )


def _results(report: bytes) -> list[dict[str, Any]]:
    """Complete lines of the report.

    The last may be cut where the tests were stopped, and a dying interpreter may add words.
    """
    lines = report.split(b"\n")[:-1]
    return [json.loads(line) for line in lines if line.startswith(b"{") and line.endswith(b"}")]


def _why(solution: Ended, examiner: Ended, results: list[dict[str, Any]]) -> tuple[str, str]:
    """Why not all tests passed: a short code and the first failure in words."""
    failed = next((r for r in results if not r["passed"]), {"error": "", "text": ""})
    detail = f"{failed['error']}: {failed['text']}" if failed["error"] else ""
    if examiner.stopped:
        return examiner.stopped, detail
    if failed["error"] == "LinkBroken" and failed["text"] == TOO_LONG:
        return "output", detail
    if failed["error"] == "LinkBroken":
        return _how_it_died(solution.status), detail
    if not results:
        return "crashed", detail
    return REASONS.get(failed["error"], "wrong"), detail


def _how_it_died(status: int | None) -> str:
    if status in (-signal.SIGXCPU, -signal.SIGKILL):
        return "timeout"
    if status == -signal.SIGXFSZ:
        return "disk"
    return "crashed" if status is not None and status < 0 else "exited"
