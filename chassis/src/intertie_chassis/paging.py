"""Pages of a list: sizes, and opaque tokens that only fit the request which they continue."""

import base64
import hashlib
import hmac
import json

from google.protobuf.message import Message

from intertie_chassis.errors import InvalidArgument

_DIGEST_BYTES = 9
_MOST_CHARACTERS = 4096


def page_size(asked: int, default: int = 50, most: int = 1000) -> int:
    """The size to use: the default for 0, `most` for anything larger.

    Raises InvalidArgument when negative.
    """
    if asked < 0:
        raise InvalidArgument(
            "page_size must not be negative", violations=[("page_size", "must be 0 (the default) or positive")]
        )
    return min(asked, most) if asked else default


def encode_token(position: list[str | int] | tuple[str | int, ...], request: Message) -> str:
    """A token that continues `request` after `position` (the sort key of the last item given)."""
    body = json.dumps(list(position), separators=(",", ":"), ensure_ascii=False).encode()
    return base64.urlsafe_b64encode(_digest(request) + body).rstrip(b"=").decode()


def decode_token(token: str, request: Message) -> list[str | int] | None:
    """The position in a token; None for an empty one, the first page.

    Raises InvalidArgument when the token is not ours, or the request's other arguments have changed since
    (page_size may change between pages).
    """
    if not token:
        return None
    try:
        raw = base64.urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
        if len(token) > _MOST_CHARACTERS or not hmac.compare_digest(raw[:_DIGEST_BYTES], _digest(request)):
            raise ValueError("of another request")
        position = json.loads(raw[_DIGEST_BYTES:])
        if not isinstance(position, list) or not all(type(part) in (str, int) for part in position):
            raise ValueError("not a position")
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(
            "page_token does not belong to this request; start again without one",
            reason="INVALID_PAGE_TOKEN",
            violations=[("page_token", "must come from an answer to the same request")],
        ) from error
    return position


def _digest(request: Message) -> bytes:
    rest = type(request)()
    rest.CopyFrom(request)
    for field in ("page_size", "page_token"):
        if field in rest.DESCRIPTOR.fields_by_name:
            rest.ClearField(field)
    named = rest.DESCRIPTOR.full_name.encode() + b"\0" + rest.SerializeToString(deterministic=True)
    return hashlib.sha256(named).digest()[:_DIGEST_BYTES]
