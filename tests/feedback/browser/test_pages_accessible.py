"""axe on every page, light and dark, wide and narrow; widths down to 320 px; forced motion off."""

import pytest
import tour
from axe_playwright_python.sync_playwright import Axe
from labelling_site import Site

WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 320, "height": 640}
LOOKS = {"light-wide": ("light", WIDE), "dark-narrow": ("dark", NARROW)}
OTHER_LOOKS = {"dark-wide": ("dark", WIDE), "light-narrow": ("light", NARROW)}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    made = Site(tmp_path_factory.mktemp("tour"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def stops(site):
    return tour.build(site)


def problems(page) -> list[str]:
    """What axe finds, with the rule and where."""
    found = Axe().run(page).response["violations"]
    return [
        f"{one['impact']} {one['id']}: {one['nodes'][0]['html'][:160]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


def walk(site, visit, stops, looks):
    """Every page in every look: what axe says, and whether something sticks out sideways."""
    found: list[str] = []
    people = {}
    for stop in stops:
        page = people.get(stop.who) if stop.name not in ("kept",) else None
        if page is None:
            page = visit(stop.who)
            people.setdefault(stop.who, page)
        page.goto(site.url + stop.path)
        if stop.act:
            stop.act(page)
        for name, (scheme, size) in looks.items():
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            page.set_viewport_size(size)
            found += [f"{stop.name} {name}: {one}" for one in problems(page)]
            if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                found.append(f"{stop.name} {name}: scrolls sideways")
    return found


def test_axe_finds_nothing_serious(site, visit, stops):
    assert walk(site, visit, stops, LOOKS) == []


@pytest.mark.slow
def test_axe_finds_nothing_serious_in_the_other_looks(site, visit, stops):
    assert walk(site, visit, stops, OTHER_LOOKS) == []


def test_login_panel(site, visit, stops):
    page = visit(stops[2].who, next(one.path for one in stops if one.name == "task-binary"))
    page.evaluate("document.querySelector('dialog').showModal()")
    assert problems(page) == []


def test_text_at_twice_its_size_fits(site, visit, stops):
    """200 % zoom is a window of half the width at twice the density."""
    size = {"width": 640, "height": 450}
    page = visit(stops[2].who, device_scale_factor=2, viewport=size)
    for stop in stops:
        if stop.who == stops[2].who and stop.act is None:
            page.goto(site.url + stop.path)
            assert not page.evaluate("document.documentElement.scrollWidth > innerWidth"), stop.name
