"""Render docs/errors.md: every reason that an answer or a record set aside can carry, from the contract and mapping."""

import re

from contract_comments import comments
from intertie.api.v1 import errors_pb2
from intertie_ingest.model import RecordReason
from intertie_mapper.errors import TargetReason
from intertie_mapping.errors import DocumentReason, Reason

PREFIX = "ERROR_REASON_"
#: how a reason's comment ends: (INVALID_ARGUMENT) or (INVALID_ARGUMENT, HTTP 415)
CODE = re.compile(r"\s*\((?P<code>[A-Z_]+)(?:, HTTP (?P<status>\d{3}))?\)$")

HEAD = """\
# Errors

Generated from the contracts and the mapping language by `make generate`; do not edit.

## What a call is refused with

Every error carries a `google.rpc.ErrorInfo` of domain `intertie` with one of these reasons, over gRPC in the status
details, over HTTP in the body: `{"code": 5, "message": "…", "details": [{"@type":
"type.googleapis.com/google.rpc.ErrorInfo", "reason": "SYSTEM_NOT_FOUND", …}]}`. Reasons are stable and made to be
compared; messages are made for people and may change. `google.rpc.RetryInfo` (over HTTP `Retry-After`) says when trying
again helps, `google.rpc.BadRequest` names each field at fault.

| reason | code | what it means |
|---|---|---|
"""

DOCUMENTS = """
## Why a body is not taken

What a webhook or a push sends must be a document that can be stored and mapped; if not, it was refused for
one of these:

| reason | what it means |
|---|---|
"""

RECORDS = """
## Why a record is set aside

A delivery that was accepted can still turn out not to fit its target. Its record is then set aside with one of these
reasons, the field and a message; nothing is lost, and it can be replayed once the mapping, the data or the target is
mended.

| reason | what it means |
|---|---|
"""


def _row(name: str, comment: str) -> str:
    match = CODE.search(comment)
    if match is None:
        raise ValueError(f"the comment of {name} must end in its code, as in (NOT_FOUND)")
    code = match["code"] + (f", HTTP {match['status']}" if match["status"] else "")
    return f"| `{name.removeprefix(PREFIX)}` | {code} | {_cell(comment[: match.start()])} |\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def render() -> str:
    """Give the page's text; ValueError when a reason is not explained."""
    reasons = errors_pb2.ErrorReason.DESCRIPTOR
    explained = comments()
    rows = [
        _row(value.name, explained[f"{reasons.full_name}.{value.name}"]) for value in reasons.values if value.number
    ]
    documents = [f"| `{reason.value}` | {_cell(reason.sentence)} |\n" for reason in DocumentReason]
    sentences = {reason.value: reason.sentence for reason in (*Reason, *TargetReason, *RecordReason)}
    records = [f"| `{reason}` | {_cell(sentence)} |\n" for reason, sentence in sentences.items()]
    return "".join([HEAD, *rows, DOCUMENTS, *documents, RECORDS, *records])
