"""Options that several commands take, and how their values are read: documents, secrets, times."""

import getpass
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf.timestamp_pb2 import Timestamp

from intertie_cli.problems import UsageError

MOST_ID = 2**32 - 1
"""The highest number of a system, connection, mapping or grant."""
MOST_ROW = 2**63 - 1
"""The highest number of a row of the other tables."""

Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.")]
System = Annotated[str, typer.Option("--system", help="Of the system of this name.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Config = Annotated[str, typer.Option("--config", help="A JSON object, or @FILE, or - for standard input.")]
SECRET_HELP = "@FILE, env:NAME, or - to be asked for it (on the command line itself others may read it)."

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def document(text: str, option: str = "--config") -> bytes:
    """The JSON object that an option gives: itself, `@FILE`, or `-` for standard input. Raises UsageError."""
    raw = json_value(text, option)
    if not isinstance(json.loads(raw), dict):
        raise UsageError(f"{option}: must be a JSON object")
    return raw


def json_value(text: str, option: str) -> bytes:
    """Any JSON that an option gives: itself, `@FILE`, or `-` for standard input. Raises UsageError."""
    if text == "-":
        raw = sys.stdin.buffer.read()
    elif text.startswith("@"):
        raw = _file(text[1:], option)
    else:
        raw = text.encode()
    try:
        json.loads(raw)
    except ValueError as error:
        raise UsageError(f"{option}: not JSON: {error}") from None
    return raw.strip()


def secret(text: str, option: str) -> str:
    """The secret that an option names: `@FILE`, `env:NAME`, `-` to ask (or read standard input), else the text itself.

    Raises UsageError.
    """
    if text == "-":
        value = getpass.getpass(f"{option.lstrip('-').replace('-', ' ')}: ") if sys.stdin.isatty() else sys.stdin.read()
    elif text.startswith("@"):
        value = _file(text[1:], option).decode()
    elif text.startswith("env:"):
        value = os.environ.get(text[4:], "")
    else:
        value = text
    value = value.rstrip("\r\n")
    if not value:
        raise UsageError(f"{option}: the secret is empty")
    return value


def ending(text: str, option: str) -> Timestamp | None:
    """The time at which something ends, as `moment` reads it but no age; None for `never`. Raises UsageError."""
    if text == "never":
        return None
    if not text or text[-1] in _UNITS:
        raise UsageError(f"{option}: write a time, such as 2027-01-31T12:00:00Z, or never")
    return moment(text, option)


def moment(text: str, option: str) -> Timestamp | None:
    """The time that an option gives: `2025-01-20`, `2025-01-20T12:00:00Z`, or an age such as `30m`, `2h`, `7d`.

    Times without a zone are UTC. None for an empty text. Raises UsageError.
    """
    if not text:
        return None
    try:
        if text[-1] in _UNITS and text[:-1].isdigit():
            at = datetime.now(UTC) - timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
        else:
            at = datetime.fromisoformat(text)
            at = at if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise UsageError(f"{option}: write a time as 2025-01-20T12:00:00Z, or an age as 30m, 2h or 7d") from None
    timestamp = Timestamp()
    timestamp.FromDatetime(at)
    return timestamp


def reference_number(text: str) -> int | None:
    """The number that a reference is; None when it is a name. Raises UsageError for one that nothing can have."""
    if not (text.isascii() and text.isdigit()):
        return None
    if int(text) > MOST_ID:
        raise UsageError(f"{text} is not the number of anything")
    return int(text)


def confirm(question: str, yes: bool) -> None:
    """Asks before something is lost; without a terminal it must have been said. Raises UsageError, typer.Abort."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{question} Say --yes")
    typer.confirm(question, abort=True, err=True)


def merged(current: bytes, changes: dict[str, Any]) -> bytes:
    """The JSON object with these keys changed; what is no object counts as empty."""
    try:
        known = json.loads(current or b"{}")
    except ValueError:
        known = {}
    return json.dumps({**(known if isinstance(known, dict) else {}), **changes}, ensure_ascii=False).encode()


def _file(name: str, option: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise UsageError(f"{option}: {name} cannot be read ({error.strerror})") from None
