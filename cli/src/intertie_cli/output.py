"""What a command prints: tables for people or JSON for programs, on standard output; remarks on standard error."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Any

from google.protobuf.message import Message
from rich.console import Console
from rich.table import Table
from rich.text import Text

from intertie_cli.documents import json_of

Column = tuple[str, Callable[[Any], str]]
"""A heading, and what stands under it for one item."""

_WIDE = 100_000
_COLOURS = {
    "error": "red",
    "failed": "red",
    "set aside": "red",
    "refused": "red",
    "timeout": "red",
    "foreign": "red",
    "pending": "yellow",
    "behind": "yellow",
    "synced": "green",
    "confirmed": "green",
    "success": "green",
    "current": "green",
}


class Format(StrEnum):
    """How a command prints its answer."""

    TABLE = "table"
    JSON = "json"


class Printer:
    """Prints in one format."""

    def __init__(self, format: Format = Format.TABLE) -> None:
        self.format = format
        # Into a pipe a line is as long as it is: cutting or folding it there would break what reads it.
        width = None if sys.stdout.isatty() else _WIDE
        self._console = Console(width=width, highlight=False)

    @property
    def is_json(self) -> bool:
        """Whether a program reads."""
        return self.format is Format.JSON

    def items(self, items: Sequence[Message], columns: Sequence[Column], *, none: str) -> None:
        """A table of the items, a line each, or a JSON array of them. `none` is said when there are none."""
        if self.is_json:
            self.json([json_of(item) for item in items])
        elif items:
            self.rows([heading for heading, _ in columns], ([cell(item) for _, cell in columns] for item in items))
        else:
            self.note(none)

    def item(self, item: Message) -> None:
        """All fields of one item that say something, a line each, or a JSON object."""
        if self.is_json:
            self.json(json_of(item))
        else:
            self.fields(json_of(item))

    def fields(self, fields: dict[str, Any]) -> None:
        """Names and values, a line each; empty ones are left out, documents are printed as JSON."""
        grid = Table.grid(padding=(0, 2))
        for name, value in fields.items():
            if value in (None, "", [], {}):
                continue
            text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
            grid.add_row(Text(name, style="bold"), _coloured(text))
        self._console.print(grid)

    def rows(self, headings: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
        """A table; columns that are empty in all rows are left out."""
        cells = [list(row) for row in rows]
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
        kept = [index for index, heading in enumerate(headings) if any(row[index] for row in cells) or _is_first(index)]
        for index, heading in enumerate(headings):
            if index in kept:
                table.add_column(heading.upper(), overflow="fold")
        for row in cells:
            table.add_row(*(_coloured(row[index]) for index in kept))
        self._console.print(table)

    def json(self, document: Any) -> None:
        """One JSON document, indented."""
        sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")

    def json_line(self, document: Any) -> None:
        """One JSON document on a line of its own, at once: for what comes one by one."""
        sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def line(self, text: str) -> None:
        """A plain line on standard output, at once."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def text(self, text: str) -> None:
        """A whole text on standard output, as it is."""
        sys.stdout.write(text)
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """A remark for a person, on standard error: a program never reads it by mistake."""
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def _coloured(text: str) -> Text:
    # Text, not markup: what stands in square brackets comes from data, not from us.
    return Text(text, style=_COLOURS.get(text, ""))


def _is_first(index: int) -> bool:
    return index == 0
