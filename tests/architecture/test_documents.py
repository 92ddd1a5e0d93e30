"""What the documents point at is there: links, files, and make targets."""

import re
from pathlib import Path

import pytest

from source_tree import DISTRIBUTIONS, ROOT

PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(home / "README.md" for home in DISTRIBUTIONS.values())]
)
LINK = re.compile(r"\]\((?!\w+:)(?P<target>[^)#\s]+)(?:#[^)]*)?\)")
#: `services/ingest/src/intertie_ingest/store.py`, `tests/stores/`: a path from the root, in code style
PATH = re.compile(
    r"`((?:\.ci|benchmarks|chassis|cli|deploy/(?:grafana|kubernetes|prometheus)|docs|gateway|mapping|protos|scripts|services|tests)/[\w./-]+)`"
)
TARGET = re.compile(r"`make ([a-z-]+)`|^make ([a-z-]+)", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_points_at_what_is_there(page: Path) -> None:
    """Every relative link, every path from the root and every `make` target that a page names exists."""
    text = page.read_text(encoding="utf-8")
    broken = [match["target"] for match in LINK.finditer(text) if not (page.parent / match["target"]).exists()]
    missing = [path for path in PATH.findall(text) if not (ROOT / path).exists()]
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    unknown = [name for pair in TARGET.findall(text) for name in pair if name and name not in targets]
    assert (broken, missing, unknown) == ([], [], [])
