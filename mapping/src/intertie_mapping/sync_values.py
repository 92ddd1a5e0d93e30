"""What the value of each key of `sync`, and of its `pagination`, may be."""

from __future__ import annotations

from collections.abc import Callable

from intertie_mapping.paths import PathError, compile_path
from intertie_mapping.values import JsonValue

CURSOR_FORMATS = ("iso8601", "unix", "unix_ms")
METHODS = ("GET", "POST")

#: what is wrong with a value; empty when nothing is
_Check = Callable[[JsonValue], str]


def _whole(least: int, most: int) -> _Check:
    def check(value: JsonValue) -> str:
        fits = type(value) is int and least <= value <= most
        return "" if fits else f"must be a whole number from {least} to {most}"

    return check


def _text(value: JsonValue) -> str:
    return "" if isinstance(value, str) and value else "must be a text"


def _flag(value: JsonValue) -> str:
    return "" if isinstance(value, bool) else "must be true or false"


def _path(value: JsonValue) -> str:
    if not isinstance(value, str):
        return "must be a source path"
    try:
        compile_path(value)
    except PathError as error:
        return str(error)
    return ""


def _method(value: JsonValue) -> str:
    return "" if value in METHODS else f"must be {' or '.join(METHODS)}"


def _cursor_format(value: JsonValue) -> str:
    if isinstance(value, str) and (value in CURSOR_FORMATS or "%" in value):
        return ""
    return f"must be {', '.join(CURSOR_FORMATS)}, or a pattern of strftime such as %Y-%m-%d"


def _columns(value: JsonValue) -> str:
    if not (isinstance(value, list) and value and all(isinstance(name, str) and name for name in value)):
        return "must be a list of columns"
    return "" if len(set(map(str, value))) == len(value) else "names a column twice"


def _params(value: JsonValue) -> str:
    if not isinstance(value, dict):
        return "must be an object"
    wrong = [name for name, item in value.items() if not _is_param(item)]
    return f"{wrong[0]!r} must be a text, a number, true or false, or a list of them" if wrong else ""


def _is_param(value: JsonValue) -> bool:
    if isinstance(value, list):
        return all(item is not None and not isinstance(item, dict | list) for item in value)
    return not isinstance(value, dict)


def _anything(value: JsonValue) -> str:
    return ""


CHECKS: dict[str, _Check] = {
    "cursor_field": _path,
    "lookback_seconds": _whole(0, 366 * 24 * 3600),
    "page_size": _whole(1, 100_000),
    "pagination": _anything,
    "records": _path,
    "key_fields": _columns,
    "cursor_param": _text,
    "cursor_format": _cursor_format,
    "params": _params,
    "method": _method,
    "body": _anything,
    "cache_seconds": _whole(1, 10 * 366 * 24 * 3600),
    "connection_id": _whole(1, 2**32 - 1),
}
PAGINATION_CHECKS: dict[str, _Check] = {
    "next_url_path": _path,
    "links_next_key": _text,
    "limit": _whole(1, 100_000),
    "offset": _whole(0, 2**53),
    "offset_param": _text,
    "limit_param": _text,
    "total_path": _path,
    "maximum_offset": _whole(1, 2**53),
    "stop_after_empty_page": _flag,
    "has_more_path": _path,
    "base_page": _whole(0, 2**31),
    "page": _whole(0, 2**31),
    "page_param": _text,
    "maximum_page": _whole(1, 2**31),
    "size_param": _text,
    "cursor_path": _path,
    "cursor_param": _text,
    "cursor_body_path": _path,
}
