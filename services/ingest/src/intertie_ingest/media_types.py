"""Which content types are taken, and as what."""

from enum import StrEnum
from functools import lru_cache

from intertie_ingest.errors import UnsupportedMediaType
from intertie_ingest.signatures import Headers


class MediaType(StrEnum):
    """How a body is to be read."""

    JSON = "json"
    FORM = "form"


def media_type(headers: Headers) -> tuple[MediaType, str]:
    """How the body is to be read, and the content type as it was sent.

    Raises UnsupportedMediaType without exactly one type that we take, or with a content encoding.
    """
    values = headers.get("content-type")
    if values is None or len(values) != 1:
        raise UnsupportedMediaType
    for encoding in headers.get("content-encoding", ()):
        if encoding.strip().lower() != b"identity":
            raise UnsupportedMediaType
    found = _of(values[0])
    if found is None:
        raise UnsupportedMediaType
    return found


@lru_cache(maxsize=256)
def _of(value: bytes) -> tuple[MediaType, str] | None:
    try:
        text = value.decode("ascii")
    except UnicodeDecodeError:
        return None
    name, *parameters = (part.strip() for part in text.lower().split(";"))
    for parameter in parameters:
        key, _, charset = parameter.partition("=")
        if key.strip() == "charset" and charset.strip().strip('"') not in ("utf-8", "utf8"):
            return None
    if name == "application/json" or (name.startswith("application/") and name.endswith("+json")):
        return MediaType.JSON, text[:100]
    if name == "application/x-www-form-urlencoded":
        return MediaType.FORM, text[:100]
    return None
