"""Generate the reference pages of docs/ and openapi.json; with --check, only say whether they are current."""

import argparse
import sys
from pathlib import Path

import access_page
import errors_page
import metrics_page
import openapi_page
import settings_page

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    "docs/access.md": access_page.render,
    "docs/errors.md": errors_page.render,
    "docs/metrics.md": metrics_page.render,
    "docs/settings.md": settings_page.render,
    "gateway/src/intertie_gateway/openapi.json": openapi_page.render,
}


def main() -> int:
    """Write the pages, or with --check return 1 when one is stale."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--check", action="store_true", help="write nothing; fail when a page is stale")
    check = arguments.parse_args().check

    stale = False
    for name, render in PAGES.items():
        page, text = ROOT / name, render()
        if page.exists() and page.read_text(encoding="utf-8") == text:
            continue
        if check:
            print(f"stale: {name} (run `make generate`)")
            stale = True
        else:
            page.write_text(text, encoding="utf-8")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
