"""The worked examples of docs/mapping-guide.md: mapping, body and row, read out of the page."""

import json
from dataclasses import dataclass
from typing import Any

from documented_blocks import blocks

PAGE = "docs/mapping-guide.md"
CONTENT_TYPES = {"json": "application/json", "form": "application/x-www-form-urlencoded"}


@dataclass(frozen=True, slots=True)
class Example:
    """One worked example."""

    line: int
    table: str
    mapping: str
    body: bytes
    content_type: str
    rows: list[dict[str, Any]]


def examples() -> list[Example]:
    """The page's examples, in order; AssertionError when a block of one is missing."""
    told = [block for block in blocks(PAGE) if block.info.split()[1:2] in (["mapping"], ["payload"], ["row"])]
    assert [block.info.split()[1] for block in told] == ["mapping", "payload", "row"] * (len(told) // 3)
    found = []
    for mapping, payload, row in zip(told[::3], told[1::3], told[2::3], strict=True):
        rows = json.loads(row.text)
        found.append(
            Example(
                mapping.line,
                mapping.info.split()[2],
                mapping.text,
                payload.text.strip().encode(),
                CONTENT_TYPES[payload.language],
                rows if isinstance(rows, list) else [rows],
            )
        )
    return found
