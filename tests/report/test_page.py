import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fairlead.core.estimates import Estimate, NamedEstimate
from fairlead.core.files import read_json, write_json
from fairlead.lineage import (
    Figure,
    Reply,
    Sample,
    Series,
    StageResult,
    Table,
    read,
    read_run,
    write_result,
    write_run,
)
from fairlead.report import render, write_report
from fairlead.report.numbers import duration, number
from fairlead.report.page import interval_bar

VOID = {"meta", "br", "link", "img", "input", "hr"}
ATTACK = "<script>alert(1)</script>\"'&<img src=x onerror=y>"


class Page(HTMLParser):
    """Checks nesting and collects tags, attributes, links and headings."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def html(finished_run: Path) -> str:
    return render(finished_run)


def test_page_is_self_contained(html: str):
    page = Page(html)
    loading = {"script", "link", "img", "iframe", "object", "embed", "image"}
    assert [tag for tag, _ in page.tags if tag in loading] == []
    addresses = set(re.findall(r"https?://[^\"'\s<)]+", html))
    assert addresses == {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "@import" not in html
    assert set(re.findall(r"url\((.)", html)) == {"#"}


def test_page_is_accessible(html: str):
    page = Page(html)
    assert page.all("html") == [{"lang": "en"}]
    identifiers = [a["id"] for _, a in page.tags if "id" in a]
    for attributes in page.all("a"):
        assert (attributes["href"] or "")[1:] in identifiers
    named = [a for a in page.all("svg") if "aria-label" in a]
    assert len(named) == 2 + 2 * 7  # two figures; seven curves of each of two training stages
    assert all(a.get("aria-hidden") == "true" for a in page.all("svg") if a not in named)
    heads = page.all("th")
    assert len(heads) > 20
    assert all(a.get("scope") in ("row", "col") for a in heads)
    assert [tag for tag, _ in page.tags if tag == "h1"] == ["h1"]


def test_page_shows_every_section(html: str):
    headings = re.findall(r"<h2[^>]*>(.*?)</h2>", html)
    assert headings == [
        "Nothing was audited",
        "Estimates",
        "Figures",
        "Tables",
        "Training curves",
        "Sample replies",
        "Notes",
        "How to reproduce",
        "What ran, and how long",
        "Lineage",
    ]
    assert "4 stages ran in 1 h 27 min." in " ".join(html.split())
    assert "0.601 to 0.683" in html
    assert html.count('<article class="sample">') == 8
    assert "2 more prompts" in html
    assert "step (means of 3)" in html  # 700 steps in at most 300 points


def test_page_names_every_recorded_hash(finished_run: Path, html: str):
    for name in ("prepare", "reward", "dpo", "evaluate"):
        manifest = read(finished_run / "stages" / name)
        digests = [manifest.key, *manifest.outputs.values(), *manifest.inputs.stages.values()]
        assert [digest for digest in digests if digest not in html] == []


def test_page_is_the_same_each_time(finished_run: Path, html: str):
    path = write_report(finished_run)
    assert path == finished_run / "report.html"
    assert path.read_text() == html


def test_text_from_data_is_escaped(finished_run: Path, tmp_path: Path):
    run = read_run(finished_run)
    stage = run.stages[0].model_copy(update={"name": ATTACK, "kind": ATTACK, "folder": "stage"})
    recipe = {ATTACK: ATTACK}
    update = {"name": ATTACK, "recipe": recipe, "stages": (stage,)}
    write_run(tmp_path, run.model_copy(update=update))
    series = (Series(label=ATTACK, x=(0, 1), y=(0, 1)), Series(label="$_", x=(0,), y=(0,)))
    result = StageResult(
        estimates=(NamedEstimate(name=ATTACK, value=0, low=0, high=0, n=1, method=ATTACK),),
        notes=(ATTACK,),
        tables=(Table(title=ATTACK, columns=(ATTACK,), rows=((ATTACK,),)),),
        figures=(
            Figure(title=ATTACK, x_label=ATTACK, y_label=ATTACK, series=series, caption=ATTACK),
        ),
        samples=(Sample(prompt=ATTACK, replies=(Reply(policy=ATTACK, text=ATTACK),)),),
    )
    write_result(tmp_path / "stage", result)
    entry = f'{{"step": 1, "{ATTACK[:25]}": 1}}\n'
    (tmp_path / "stage" / "metrics.jsonl").write_text(entry)
    text = render(tmp_path)
    assert "<script" not in text
    assert "<img" not in text
    page = Page(text)
    assert [a for _, a in page.tags if "onerror" in a or "src" in a] == []
    assert text.count("&lt;script&gt;") > 20


def test_run_that_stopped_says_so(finished_run: Path, tmp_path: Path):
    value = read_json(finished_run / "run.json")
    value["stages"][3]["status"] = "failed"
    write_json(tmp_path / "run.json", {**value, "finished": None})
    text = render(tmp_path)
    assert "This run is not complete: evaluate failed." in text
    assert "Stage failed: the stage is not complete: it has no manifest." in text
    assert "not finished" in text
    assert '<section id="estimates"' not in text


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [
        (0.5, 0.25, 0.75, (0, 1, 25, 75, 50, None)),
        (-0.5, -1.0, 0.0, (-1, 1, 0, 50, 25, 50)),
        (5.0, 2.5, 10.0, (0, 11, 22.73, 90.91, 45.45, None)),
        (-5.0, -10.0, 5.5, (-11, 6.05, 5.87, 96.77, 35.19, 64.52)),
    ],
)
def test_bars_lie_where_the_interval_is(value: float, low: float, high: float, expected: tuple):
    bar = interval_bar(Estimate(value=value, low=low, high=high, n=1, method="m"))
    assert bar is not None
    places = (bar.left, bar.right, bar.low, bar.high, bar.value, bar.zero)
    assert places == pytest.approx(expected, abs=0.005)


def test_no_interval_has_no_bar():
    assert interval_bar(Estimate(value=1, low=float("nan"), high=1, n=1, method="m")) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234567, "1,234,567"),
        (0.12345, "0.123"),
        (-0.5, "\N{MINUS SIGN}0.500"),
        (12.345, "12.3"),
        (12345.6, "12,346"),
        (0.00012, "1.20e\N{MINUS SIGN}04"),
        (0.0, "0.000"),
        (None, "n/a"),
        (float("nan"), "n/a"),
        (True, "True"),
        ("word", "word"),
    ],
)
def test_numbers_read_well(value: object, text: str):
    assert number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.44, "0.4 s"),
        (59.4, "59 s"),
        (59.9, "1 min 00 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations_read_well(seconds: float, text: str):
    assert duration(seconds) == text
