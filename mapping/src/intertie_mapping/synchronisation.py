"""The `sync` part of a mapping's configuration: what can be checked of it without knowing the source."""

from __future__ import annotations

from intertie_mapping.paths import PathError, compile_path
from intertie_mapping.values import JsonObject, JsonValue

KEYS = ("cursor_field", "lookback_seconds", "page_size", "pagination", "records")

_WHOLE_NUMBERS = {"lookback_seconds": (0, 31 * 24 * 3600), "page_size": (1, 100_000)}


def check_sync(sync: JsonObject, strict: bool) -> list[tuple[str, str]]:
    """The problems, as (path inside of `sync`, text)."""
    problems: list[tuple[str, str]] = []
    if strict:
        problems.extend((key, f"unknown; the keys are {', '.join(KEYS)}") for key in sorted(sync.keys() - set(KEYS)))
    for key in ("cursor_field", "records"):
        if sync.get(key) is not None:
            problems.extend(_check_path(key, sync[key]))
    for key, (least, most) in _WHOLE_NUMBERS.items():
        value = sync.get(key)
        if value is not None and not (type(value) is int and least <= value <= most):
            problems.append((key, f"must be a whole number from {least} to {most}"))
    pagination = sync.get("pagination")
    if pagination is not None and not (isinstance(pagination, dict) and isinstance(pagination.get("kind"), str)):
        problems.append(("pagination", 'must be an object with a "kind"'))
    return problems


def _check_path(key: str, value: JsonValue) -> list[tuple[str, str]]:
    if not isinstance(value, str):
        return [(key, "must be a source path")]
    try:
        compile_path(value)
    except PathError as error:
        return [(key, str(error))]
    return []
