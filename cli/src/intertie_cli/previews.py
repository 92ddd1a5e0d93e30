"""What a mapping would do, as a person reads it: record by record, column by column."""

import json

from intertie.mapper.v1 import mapper_pb2
from intertie_cli import cells
from intertie_cli.documents import json_of
from intertie_cli.output import Column, Printer

PROBLEM_COLUMNS: list[Column] = [
    ("field", lambda problem: problem.field),
    ("problem", lambda problem: problem.message),
]
_VERBS = {
    mapper_pb2.RecordPreview.ACTION_INSERT: "insert",
    mapper_pb2.RecordPreview.ACTION_CHANGE: "change",
    mapper_pb2.RecordPreview.ACTION_UNCHANGED: "unchanged",
    mapper_pb2.RecordPreview.ACTION_REFUSED: "refused",
    mapper_pb2.RecordPreview.ACTION_FILTERED: "filtered",
}


def show(printer: Printer, answer: mapper_pb2.PreviewMappingResponse) -> None:
    """Prints problems of the mapping itself, else a line for each column of each record."""
    if printer.is_json:
        printer.json(json_of(answer))
    elif answer.problems:
        printer.items(answer.problems, PROBLEM_COLUMNS, none="")
    elif not answer.previews:
        printer.note("There are no cached records to try; give one with --record.")
    else:
        headings = ["record", "action", "column", "now", "then", "why not"]
        printer.rows(headings, (row for preview in answer.previews for row in _rows(preview)))


def _rows(preview: mapper_pb2.RecordPreview) -> list[list[str]]:
    action = _VERBS.get(preview.action, "")
    why = f"{preview.field}: {preview.message}" if preview.field else preview.message
    first = [preview.external_id, action, "", "", "", why]
    rows = []
    is_new = preview.action == mapper_pb2.RecordPreview.ACTION_INSERT
    for column in preview.columns:
        now = "" if is_new else _value(column.old_value)
        rows.append(["", "", column.column, now, _value(column.new_value), ""])
    if not rows:
        return [first]
    rows[0][0], rows[0][1], rows[0][5] = first[0], first[1], first[5]
    return rows


def _value(raw: bytes) -> str:
    """Text as it is, everything else as JSON."""
    if not raw:
        return ""
    try:
        value = json.loads(raw)
    except ValueError:
        value = raw.decode(errors="replace")
    return cells.short(value if isinstance(value, str) else raw)
