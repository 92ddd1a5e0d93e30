"""What the documents point at is there: links, files, and make targets."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from source_tree import DISTRIBUTIONS, ROOT

PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(home / "README.md" for home in DISTRIBUTIONS.values())]
)
LINK = re.compile(r"\]\((?!\w+:)(?P<target>[^)#\s]*)(?:#(?P<anchor>[^)]*))?\)")
FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ +(?P<text>.*)$", re.MULTILINE)
#: `services/ingest/src/intertie_ingest/store.py`, `tests/stores/`: a path from the root, in code style
FOLDERS = "|".join(
    [
        *("benchmarks", "chassis", "cli", "client", "deploy/(?:grafana|kubernetes|prometheus)", "docs", "gateway"),
        *("mapping", "protos", "scripts", "services", "tests"),
    ]
)
PATH = re.compile(rf"`((?:\.ci|{FOLDERS})/[\w./-]+)`")
TARGET = re.compile(r"`make ([a-z-]+)`|^make ([a-z-]+)", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_points_at_what_is_there(page: Path) -> None:
    """Every relative link, every path from the root and every `make` target that a page names exists."""
    text = page.read_text(encoding="utf-8")
    broken = list(_broken(page, text))
    missing = [path for path in PATH.findall(text) if not (ROOT / path).exists()]
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    unknown = [name for pair in TARGET.findall(text) for name in pair if name and name not in targets]
    assert (broken, missing, unknown) == ([], [], [])


def _broken(page: Path, text: str) -> Iterator[str]:
    for match in LINK.finditer(FENCED.sub("", text)):
        target = (page.parent / match["target"]) if match["target"] else page
        if not target.exists() or (match["anchor"] and match["anchor"] not in _anchors(target.resolve())):
            yield match[0]


@cache
def _anchors(page: Path) -> frozenset[str]:
    """The anchors that the forge gives a page's headings, and the site with it (mkdocs.yml)."""
    headings = HEADING.findall(FENCED.sub("", page.read_text(encoding="utf-8")))
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    return frozenset(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain)
