"""The site: it builds, whatever it names is there, and nothing is fetched from elsewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest
import yaml

from tests.sessions import ROOT

DOCS = ROOT / "docs"


# What is loaded with a page: elements, and where they name it.
LOADED = {"script": "src", "img": "src", "source": "srcset", "iframe": "src", "link": "href"}


class Names(HTMLParser):
    """What a page names: to load with it, or to go to."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.links = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if (loaded := attributes.get(LOADED.get(tag))) is not None:
            self.loads.append(loaded)
        if tag == "a" and attributes.get("href"):
            self.links.append(attributes["href"])


@pytest.fixture(scope="module")
def pages(site):
    return {path: Names(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}


def nav(entries):
    """The pages under these entries of the nav, in order."""
    for entry in entries:
        for what in entry.values():
            yield from nav(what) if isinstance(what, list) else [what]


def test_every_page_is_in_the_nav_once():
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    named = sorted(nav(config["nav"]))
    assert named == sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))


def test_pages_load_nothing_from_elsewhere(pages):
    loaded = {(page.name, name) for page, names in pages.items() for name in names.loads}
    assert len(loaded) > len(pages)
    assert [one for one in loaded if urlsplit(one[1]).netloc] == []


def test_style_sheets_load_nothing_from_elsewhere(site):
    sheets = [path.read_text(encoding="utf-8") for path in site.rglob("*.css")]
    assert len(sheets) >= 3
    for sheet in sheets:
        loaded = re.findall(r"(?:url\(|@import)\s*[\"']?([^\"')]*)", sheet)
        assert [name for name in loaded if urlsplit(name).netloc] == []


def test_whatever_a_page_names_is_there(pages, site):
    for page, names in pages.items():
        if page.name == "404.html":  # its addresses are those of the root
            continue
        for name in (*names.loads, *names.links):
            there = urlsplit(name)
            if there.scheme or not there.path:
                continue
            target = (page.parent / unquote(there.path)).resolve()
            assert target.is_relative_to(site), (page.name, name)
            assert target.exists(), (page.name, name)
