"""Structured logs on standard error: coloured lines for a person, JSON for a machine, never a secret.

Everything goes through one chain of processors, the standard library's loggers included.
"""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, BinaryIO

import orjson
import structlog

from intertie_chassis import traces
from intertie_chassis.calls import current_request_id

_SECRET_KEY = re.compile(r"secret|token|password|authorization|signature|cookie|private_key", re.IGNORECASE)
_SECRET_TEXT = re.compile(r"(://[^\s:/@]*:)[^\s/@]+(@)|((?:Bearer|Basic)\s+)[A-Za-z0-9._~+/=-]+", re.IGNORECASE)
_MASK = "***"
_QUIET = {
    "alembic": logging.WARNING,
    "aiosqlite": logging.WARNING,
    "asyncio": logging.WARNING,
    "httpx": logging.WARNING,
}

Event = MutableMapping[str, Any]


def configure(name: str, format: str = "auto", level: str = "info") -> None:
    """Sets up logging for the process `name`.

    Args:
        format: ``json``, ``console`` (always coloured), or ``auto``: console when standard error is a terminal.
        level: ``debug``, ``info``, ``warning`` or ``error``.
    """
    console = format == "console" or (format == "auto" and sys.stderr.isatty())
    number = logging.getLevelNamesMapping()[level.upper()]
    renderer: Any
    if console:
        renderer = structlog.dev.ConsoleRenderer(colors=True, pad_event_to=32)
    else:
        renderer = structlog.processors.JSONRenderer(serializer=_to_json)

    def add_service(_logger: Any, _method: str, event: Event) -> Event:
        event.setdefault("service", name)
        return event

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            add_service,
            _add_call,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            mask_secrets,
            renderer,
            _to_bytes,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: _Output(sys.stderr.buffer),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_ToStructlog()]
    root.setLevel(max(number, logging.INFO))
    for library, least in _QUIET.items():
        logging.getLogger(library).setLevel(max(number, least))


def mask_secrets(_logger: Any, _method: str, event: Event) -> Event:
    """A processor: hides the values of keys that name a secret, and credentials inside texts."""
    return {key: _masked(key, value) for key, value in event.items()}


def _masked(key: str, value: Any) -> Any:
    if value is not None and _SECRET_KEY.search(key):
        return _MASK
    if isinstance(value, str):
        return _SECRET_TEXT.sub(lambda match: f"{match[1] or match[3] or ''}{_MASK}{match[2] or ''}", value)
    if isinstance(value, dict):
        return {inner: _masked(str(inner), item) for inner, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_masked("", item) for item in value]
    return value


def _add_call(_logger: Any, _method: str, event: Event) -> Event:
    request_id = current_request_id()
    if request_id is not None:
        event.setdefault("request_id", request_id)
    trace = traces.current()
    if trace is not None:
        event.setdefault("trace_id", trace.trace_id)
        event.setdefault("span_id", trace.span_id)
    return event


def _to_json(event: Any, default: Any = None, **_options: Any) -> bytes:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS)


def _to_bytes(_logger: Any, _method: str, line: Any) -> bytes:
    return line if isinstance(line, bytes) else str(line).encode("utf-8", "backslashreplace")


class _Output:
    """Writes lines to one stream; a reader that went away must not fail the work that is being logged."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def msg(self, line: bytes) -> None:
        try:
            self._stream.write(line + b"\n")
            self._stream.flush()
        except (OSError, ValueError):
            return

    debug = info = warning = error = critical = fatal = exception = log = warn = msg


class _ToStructlog(logging.Handler):
    """Takes what libraries log through the standard library into the same chain."""

    def emit(self, record: logging.LogRecord) -> None:
        """Logs the record as an event under its logger's name."""
        try:
            text = record.getMessage()
        except (TypeError, ValueError):
            text = str(record.msg)
        structlog.get_logger().log(record.levelno, text, logger=record.name, exc_info=record.exc_info or None)
