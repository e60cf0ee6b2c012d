"""A browser, if there is one, in which a page may load nothing and complain of nothing."""

from __future__ import annotations

import os

import pytest

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def chromium():
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if not os.access(CHROMIUM, os.X_OK):
        pytest.skip(f"needs {CHROMIUM}")
    with api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def visiting(chromium):
    """New pages; what they load from elsewhere or complain of fails the test."""
    contexts, wrong = [], []

    def route(route, request):
        if request.url.startswith(("file:", "data:")):
            route.continue_()
        else:
            wrong.append(request.url)
            route.abort()

    def visit(**options):
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        context.route("**/*", route)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
        return page

    yield visit
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture
def opened(visiting, cli, tmp_path):
    """Write the report of a VM, and open it."""

    def open_(*argv, **options):
        path = tmp_path / "report.html"
        status, _, err = cli("report", "-o", path, *argv)
        assert status == 0, err
        page = visiting(**options)
        page.goto(path.as_uri())
        return page

    return open_
