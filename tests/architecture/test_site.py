"""The site reads as the forge does, and fetches nothing from anywhere."""

import os
import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from source_tree import ROOT

PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md"])
BLOCKS = {"h1", "h2", "h3", "pre", "ul", "ol", "li", "table", "tr", "th", "td"}
FETCHED = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*(?:src|href)=["'](?:https?:)?//""")


class Blocks(HTMLParser):
    """Counts the blocks of a page, of the site's inside its article alone."""

    def __init__(self, is_whole: bool) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()
        self._is_inside = is_whole

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Count it."""
        self._is_inside |= tag == "article"
        if self._is_inside and tag in BLOCKS:
            self.found[tag] += 1

    def handle_endtag(self, tag: str) -> None:
        """The article's end is that of the page."""
        self._is_inside &= tag != "article"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, check=True)
    return folder


def test_pages_have_the_blocks_that_the_forge_shows(site: Path) -> None:
    """The two parsers differ in lists and fences; where a page meets such a difference, its lists fall apart."""
    differing = {}
    for page in PAGES:
        forge, ours = Blocks(is_whole=True), Blocks(is_whole=False)
        forge.feed(MarkdownIt("commonmark").enable("table").render(page.read_text(encoding="utf-8")))
        ours.feed(_built(site, page).read_text(encoding="utf-8"))
        if forge.found != ours.found:
            differing[str(page.relative_to(ROOT))] = (forge.found - ours.found, ours.found - forge.found)
    assert differing == {}


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    """No font, script, style or picture of another host: the site is read where there is no internet."""
    pages = list(site.rglob("*.html"))
    assert len(pages) > len(PAGES)
    assert [page.name for page in pages if FETCHED.search(page.read_text(encoding="utf-8"))] == []


def _built(site: Path, page: Path) -> Path:
    home = ROOT / "docs" if page.is_relative_to(ROOT / "docs") else ROOT
    name = page.relative_to(home).with_suffix(".html")
    return site / (name.with_name("index.html") if page.name == "README.md" else name)
