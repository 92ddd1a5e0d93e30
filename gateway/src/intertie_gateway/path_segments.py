"""Segments of a path: decoded once, and refused where two readers could disagree about what they mean."""

import re
from urllib.parse import unquote_to_bytes

from intertie_chassis.errors import InvalidArgument

_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_STILL_ESCAPED = re.compile(r"%[0-9A-Fa-f]{2}")


def decode_segment(raw: bytes, name: str, most: int | None = None) -> str:
    """The text of one segment as it came over the wire.

    Raises InvalidArgument for a broken or doubled escape, an escaped slash, control characters, bytes that are not
    UTF-8, dot segments, nothing at all, and more than `most` characters.

    Args:
        name: what the segment is, for the message.
    """
    if _BROKEN_ESCAPE.search(raw):
        raise _refused(name, "holds a % that begins no escape")
    try:
        text = unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        raise _refused(name, "is not UTF-8") from None
    if not text:
        raise _refused(name, "is empty")
    if "/" in text or "\\" in text:
        raise _refused(name, "holds a slash")
    if any(ord(character) < 0x20 or 0x7F <= ord(character) <= 0x9F for character in text):
        raise _refused(name, "holds a control character")
    if text in (".", ".."):
        raise _refused(name, "is a dot segment")
    if _STILL_ESCAPED.search(text):
        raise _refused(name, "is escaped twice")
    if most is not None and len(text) > most:
        raise _refused(name, f"is longer than {most} characters")
    return text


def has_dot_segment(path: bytes) -> bool:
    """Whether a segment of the path is ``.`` or ``..``, escaped or not: proxies and we could disagree on the route."""
    return any(unquote_to_bytes(segment) in (b".", b"..") for segment in path.split(b"/"))


def _refused(name: str, why: str) -> InvalidArgument:
    return InvalidArgument(f"the {name} in the path {why}", violations=[(name, why)])
