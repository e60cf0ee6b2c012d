"""The site in a browser, opened from the disk: phone and desk, light and dark, search, copy."""

from __future__ import annotations

import pytest

WIDTHS = (390, 1400)
# Those with the widest tables, the longest lines, pictures.
PAGES = (
    "index",
    "tutorial",
    "guest-memory",
    "explore",
    "reference/commands",
    "reference/configuration",
    "reference/json",
    "explanation/nested-tables",
)


@pytest.fixture
def looking(site, visiting):
    """Open pages of the site."""

    def look(name="index", **options):
        page = visiting(**options)
        page.goto((site / f"{name}.html").as_uri())
        return page

    return look


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_is_wider_than_its_window(looking, site, width):
    page = looking(viewport={"width": width, "height": 850})
    for name in PAGES:
        page.goto((site / f"{name}.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert page.locator("article h1").is_visible(), name


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_as_bright_as_the_system(looking, scheme):
    page = looking(color_scheme=scheme)
    colours = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g)")
    assert (sum(map(int, colours[:3])) < 384) == (scheme == "dark")


def test_search_works_from_the_disk(looking):
    page = looking()
    page.get_by_role("button", name="Search").first.click()
    page.keyboard.type("naively", delay=50)
    page.keyboard.press("Enter")
    page.wait_for_url("**/guest-memory.html?h=naively*")


def test_commands_are_copied_without_what_they_print(looking):
    page = looking("tutorial", permissions=["clipboard-read", "clipboard-write"])
    page.locator(".md-code__button, .md-clipboard").first.click()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.splitlines()[0] == "bhyvesim create configs/testvm.yaml"
    assert "the guest touched" not in copied
