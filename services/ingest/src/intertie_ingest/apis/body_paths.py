"""Writing a value into a request's body, at a path as mappings have them."""

import re
from typing import Any

from intertie_ingest.errors import NoSource

_STEP = re.compile(r"[^.\[\]]+|\[\d{1,4}\]")


def set_at(body: Any, path: str, value: Any) -> Any:
    """The body with a value at `page.after` or `filters[0].value`; objects on the way are made. Changes `body` itself.

    Raises NoSource for a path that does not fit the body.
    """
    steps = _STEP.findall(path)
    if not steps or re.sub(r"\.?\[", "[", path) != _joined(steps):
        raise NoSource(f"{path[:100]!r} is no path into the body, such as page.after")
    whole = [{} if body is None else body]
    place: Any = whole
    key: Any = 0
    for name in steps:
        place, key = place[key], int(name[1:-1]) if name.startswith("[") else name
        fits = isinstance(place, list) and key < len(place) if isinstance(key, int) else isinstance(place, dict)
        if not fits:
            raise NoSource(f"the body has no place for {path[:100]!r}")
        if isinstance(place, dict) and place.get(key) is None:
            place[key] = {}
    place[key] = value
    return whole[0]


def _joined(steps: list[str]) -> str:
    text = steps[0]
    for name in steps[1:]:
        text += name if name.startswith("[") else f".{name}"
    return text
