"""Generate the reference pages of docs/, its schema and openapi.json; with --check, say whether they are current."""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import access_page
import contract_page
import errors_page
import metrics_page
import openapi_page
import settings_page
from intertie_cli.declared import schema

ROOT = Path(__file__).resolve().parent.parent
PAGES: dict[str, Callable[[], str]] = {
    "docs/access.md": access_page.render,
    "docs/errors.md": errors_page.render,
    "docs/integrations.schema.json": schema.text,
    "docs/metrics.md": metrics_page.render,
    "docs/settings.md": settings_page.render,
    **{f"docs/reference/{package}.md": partial(contract_page.render, package) for package in contract_page.PACKAGES},
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
