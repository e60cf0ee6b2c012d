"""The report in a browser: zoom, search, steps, both themes, a phone, no script at all."""

from __future__ import annotations

import pytest

from tests.report.test_html import NASTY, NASTY_FILE

FIRST_TICK = "#drawing text.edge, #drawing text.tick"


@pytest.fixture
def panicked(cli, config):
    cli("create", "--config", config("testvm-13932"))
    cli("reboot")


def ticks(page):
    return page.locator(FIRST_TICK).all_text_contents()


def chosen(page):
    return page.locator(".steps [aria-selected=true]").text_content()


def test_buttons_and_keys_zoom(panicked, opened):
    page = opened()
    whole = ticks(page)
    assert "0x100000000" in whole
    page.get_by_role("button", name="Zoom in").click()
    assert ticks(page) != whole
    page.get_by_role("button", name="All").click()
    assert ticks(page) == whole
    page.locator("#drawing").focus()
    for key in ("+", "ArrowRight", "ArrowLeft", "-"):
        before = ticks(page), page.locator("#drawing .frame").get_attribute("x")
        page.keyboard.press(key)
        assert (ticks(page), page.locator("#drawing .frame").get_attribute("x")) != before, key
    page.keyboard.press("0")
    assert ticks(page) == whole


def test_the_wheel_zooms_where_it_points(panicked, opened):
    page = opened()
    whole = ticks(page)
    page.locator("#drawing").scroll_into_view_if_needed()
    page.locator("#drawing").hover(position={"x": 100, "y": 100})
    page.mouse.wheel(0, -600)
    page.wait_for_function(
        "old => document.querySelector('#drawing text.edge,"
        "#drawing text.tick').textContent !== old",
        arg=whole[-1],
    )
    assert ticks(page) != whole


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("0x100000000", "one page too many: its entry is zeroed"),
        ("0x100001000", "present rwx, dirty"),
        ("4G", "0x100000000 · sysmem + 0x0"),
        ("bootrom", "0xffe00000 · bootrom + 0x0"),
        ("ffe00000", "0xffe00000 · bootrom + 0x0"),
        ("0xc0000000", "no memmap"),
        ("nowhere", "Nothing is called nowhere"),
    ],
)
def test_search_goes_there(panicked, opened, typed, told):
    page = opened()
    page.fill("#query", typed)
    page.keyboard.press("Enter")
    assert told in page.locator("#readout").text_content()


def test_a_click_chooses_an_address(panicked, opened):
    page = opened()
    page.locator("#drawing").click(position={"x": 20, "y": 80})
    assert "sysmem + 0x" in page.locator("#readout").text_content()
    page.get_by_role("button", name="3 one page too many").click()
    assert "0x100000000 · sysmem" in page.locator("#readout").text_content()


def test_steps_by_keyboard(panicked, opened):
    page = opened()
    assert chosen(page).startswith("2.1 reboot: reinit")
    assert page.locator("#drawing .went").count() > 0
    page.locator(".steps [aria-selected=true]").focus()
    page.keyboard.press("ArrowLeft")
    assert chosen(page).startswith("1.2 create: boot")
    assert page.locator("section.step:visible").count() == 1
    assert page.locator("#drawing .went").count() == 0
    page.keyboard.press("Home")
    assert chosen(page).startswith("1.1")
    page.locator("h1").click()
    page.keyboard.press("n")
    assert chosen(page).startswith("1.2")
    page.keyboard.press("p")
    assert chosen(page).startswith("1.1")


def test_everything_is_reached_by_tab_and_shows_it(panicked, opened):
    page = opened()
    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(
            "() => { const e = document.activeElement;"
            "const name = e === document.body ? 'body' : e.id || e.textContent;"
            "return [name, getComputedStyle(e).outlineStyle]; }"
        )
        assert outline != "none" or name == "body", name
        seen.add(name)
    assert {"theme", "query", "drawing", "+", "tab-2.1"} <= seen


@pytest.mark.parametrize(("scheme", "other"), [("light", "Dark"), ("dark", "Light")])
def test_themes(panicked, opened, scheme, other):
    page = opened(color_scheme=scheme)
    paper = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(paper)
    assert (before == "rgb(21, 23, 26)") == (scheme == "dark")
    page.get_by_role("button", name=other, exact=True).click()
    assert page.evaluate(paper) != before


def test_a_phone_scrolls_down_only(panicked, opened):
    page = opened(viewport={"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_names_are_text_here_too(cli, vm_file, opened):
    cli("create", "--config", vm_file(NASTY_FILE))
    page = opened()
    assert page.locator("h1").text_content().startswith(NASTY)
    assert page.locator("img").count() == 0
    assert page.get_by_role("button", name="<script>alert(2)").count() == 1
    page.fill("#query", "<script>")
    page.keyboard.press("Enter")
    assert "<script>alert(2)<!--&amp; + 0x0" in page.locator("#readout").text_content()


def test_without_a_script_all_is_said(panicked, opened):
    page = opened(java_script_enabled=False)
    assert page.locator("section.step:visible").count() == 3
    assert page.get_by_role("table", name="Memmaps").is_visible()
    assert page.locator("#canvas").is_hidden()


def test_on_paper_every_step_is_there(panicked, opened):
    page = opened()
    page.emulate_media(media="print")
    assert page.locator("section.step:visible").count() == 3
    assert page.locator("#search").is_hidden()
