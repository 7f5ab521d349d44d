import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from problems import problem

from fairlead.core.errors import DataError
from fairlead.rewards.verifiers import CodeChecker, Limits

QUESTION = "Write a function add that gives the sum of two numbers."
ADD = "assert add(1, 2) == 3\nassert add(2, 2) == 4\ndef test_big():\n    assert add(10, 5) == 15\n"
CHECKER = CodeChecker()
HASTY = CodeChecker(limits=Limits(wall_seconds=0.5))


def checked(solution: str, tests: str = ADD, checker: CodeChecker = CHECKER):
    return checker.check(problem(tests, QUESTION), solution)


@pytest.mark.parametrize(
    "reply",
    [
        "def add(a, b): return a + b",
        "Here it is:\n```python\ndef add(a, b):\n    return a + b\n```\nIt adds.",
        "First try:\n```\ndef add(a, b): return 0\n```\nThen:\n```py\ndef add(a, b): return a + b",
        "print(3, 4, 15)\nadd = lambda a, b: a + b",
    ],
)
def test_right_code_passes(reply):
    found = checked(reply)
    assert (found.score, found.reason) == (1.0, "correct")


def attacks() -> dict[str, tuple[str, str]]:
    """Solutions that must not pass, with the reason that each must have, by name."""
    found: dict[str, tuple[str, str]] = {}
    for entry in Path(__file__).with_name("attacks.txt").read_text().split("=== ")[1:]:
        head, _, source = entry.partition("\n")
        reason, _, name = head.partition(": ")
        found[name] = (source, reason)
    return found


ATTACKS = attacks() | {
    "says nothing": ("   ", "no_answer"),
    "has a null byte": ("def add(a, b):\0 return a + b", "malformed"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_nothing_but_right_code_passes(name):
    solution, reason = ATTACKS[name]
    reply = f"```python\n{solution}\n```" if solution.strip() else solution
    found = checked(reply, checker=HASTY if reason == "timeout" else CHECKER)
    assert found.score == 0.0
    assert found.reason == reason


def test_after_all_attacks_at_once_the_run_goes_on_and_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    quick = [s for s, reason in ATTACKS.values() if reason != "timeout"][::3]
    before = set(psutil.Process().children(recursive=True))
    with ThreadPoolExecutor(4) as pool:
        scores = list(pool.map(lambda s: checked(s).score, [*quick, "def add(a, b): return a + b"]))
    assert scores == [0.0] * len(quick) + [1.0]
    assert list(tmp_path.iterdir()) == []
    assert set(psutil.Process().children(recursive=True)) == before


@pytest.mark.parametrize(
    "solution",
    [
        "def abs(x): return 0\ndef add(a, b): return 9",
        "class math:\n  isclose = staticmethod(lambda *a: True)\ndef add(a, b): return 9",
        "import math\nmath.isclose = lambda *a: True\ndef add(a, b): return 9",
        "class N:\n  __sub__ = __rsub__ = lambda s, o: 0\n  __float__ = lambda s: 3.0\n"
        "def add(a, b): return N()",
    ],
)
def test_tests_use_python_s_own_functions(solution):
    for tests in ("assert abs(add(1, 2) - 3) < 1e-6", "assert math.isclose(add(1, 2), 3)"):
        assert checked(solution, tests).score == 0.0
        assert checked("def add(a, b): return a + b", tests).score == 1.0


def test_a_swallowing_test_does_not_take_a_dead_solution_for_a_raised_error():
    tests = "try:\n    f(-1)\nexcept Exception:\n    ok = True\nassert ok\nassert True"
    assert checked("import os\ndef f(x): os._exit(0)", tests).score == 0.0
    assert checked("def f(x): raise ValueError(x)", tests).score == 1.0


RICH = {
    "changes its argument": (
        "x = [3, 1]\nassert sort(x) is None\nassert x == [1, 3]",
        "def sort(x): x.sort()",
    ),
    "changes a matrix": (
        "m = [[1, 2], [3, 4]]\nturn(m)\nassert m == [[3, 1], [4, 2]]",
        "def turn(m):\n  for i, row in enumerate(list(zip(*m[::-1]))): m[i] = list(row)",
    ),
    "calls back": (
        "assert twice(lambda x: x + 3, 7) == 13\nassert twice(str.upper, 'a') == 'A'",
        "def twice(f, x): return f(f(x))",
    ),
    "yields": ("assert list(count(3)) == [0, 1, 2]", "def count(n): yield from range(n)"),
    "raises": (
        "try: f()\nexcept ValueError as e: assert str(e) == 'no'\nelse: assert False\nassert True",
        "def f(): raise ValueError('no')",
    ),
    "has a class": (
        "s = Stack()\ns.push(1); s.push([2])\nassert s.pop() == [2]\nassert len(s) == 1\n"
        "assert isinstance(s, Stack)\nassert s.items == [1]\nassert str(s) == '<1>'\n"
        "assert Stack() == Stack()\n"
        "def test_empty():\n  s = Stack()\n  try: s.pop()\n  except Empty: pass\n"
        "  else: assert False",
        "class Empty(LookupError): pass\nclass Stack:\n  def __init__(s): s.items = []\n"
        "  def push(s, x): s.items.append(x)\n  def __len__(s): return len(s.items)\n"
        "  def __str__(s): return f'<{len(s)}>'\n"
        "  def __eq__(s, o): return s.items == o.items\n"
        "  def pop(s):\n    if not s.items: raise Empty\n    return s.items.pop()",
    ),
    "a list of nodes": (
        "node, seen = make([1, 2]), []\nwhile node:\n  seen.append(node.value)\n"
        "  node = node.next\nassert seen == [1, 2]",
        "class Node:\n  def __init__(s, v, n): s.value, s.next = v, n\n"
        "def make(vs): return Node(vs[0], make(vs[1:])) if vs else None",
    ),
    "library values": (
        "from collections import Counter\nassert count('aab') == Counter(a=2, b=1)\n"
        "from fractions import Fraction\nassert half(1) == Fraction(1, 2)",
        "import collections, fractions\ndef count(s): return collections.Counter(s)\n"
        "def half(x): return fractions.Fraction(x, 2)",
    ),
    "large numbers": (
        "assert len(str(f(3000))) > 9000",
        "import math\ndef f(n): return math.factorial(n)",
    ),
    "a check function": (
        "def check(f):\n  assert f(2) == 4\ncheck(square)",
        "def square(x): return x * x",
    ),
}


@pytest.mark.parametrize("name", RICH)
def test_tests_can_do_what_tests_do(name):
    tests, solution = RICH[name]
    found = checked(solution, tests)
    assert (found.score, found.reason) == (1.0, "correct"), found.detail


def test_a_reply_may_repeat_the_question():
    """Many questions give the first lines of the function."""
    question = "def add(a, b):\n    'The sum of two numbers.'\n"
    found = CHECKER.check(problem(ADD, question), f"```\n{question}    return a + b\n```")
    assert found.score == 1.0


def test_the_text_of_a_failure_may_be_the_solution_s():
    raising = "class R:\n  def __str__(s): raise SystemExit\ndef f(): return R()"
    found = checked(raising, "assert f() == 1, f()\nassert f() == 2")
    assert (found.score, found.reason) == (0.0, "wrong")


def test_built_in_names_are_the_solution_s_where_the_checker_says_so():
    tests, solution = "assert sum(10, 15) == 6", "def sum(a, b): return 6"
    assert checked(solution, tests).score == 0.0
    assert checked(solution, tests, CodeChecker(builtins=("sum",))).score == 1.0


def test_fraction_of_tests():
    tests = "assert f(1) == 1\nassert f(2) == 2\nassert f(3) == 4\nassert f(4) == 4"
    share = CodeChecker(score="fraction", limits=Limits(wall_seconds=1.0))
    found = checked("def f(x): return x", tests, share)
    assert (found.score, found.reason) == (0.75, "wrong")
    late = checked("import time\ndef f(x):\n  if x == 3: time.sleep(9)\n  return x", tests, share)
    assert (late.score, late.reason) == (0.5, "timeout")
    gone = checked("import os\ndef f(x):\n  if x == 3: os._exit(0)\n  return x", tests, share)
    assert (gone.score, gone.reason) == (0.5, "exited")


@pytest.mark.parametrize("tests", ["", "x = 1", "assert", "def helper(): assert False"])
def test_a_problem_without_tests_is_refused(tests):
    with pytest.raises(DataError, match="must be its tests"):
        checked("x = 1", tests)
