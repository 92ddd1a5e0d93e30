"""`/openapi.json`: the description of every route, made from the contracts by `make generate`, shipped here."""

from functools import cache
from importlib.resources import files

from intertie_gateway.asgi import JSON_TYPE, Answer


async def page() -> Answer:
    """The description, OpenAPI 3.1."""
    return Answer(200, document(), (JSON_TYPE, (b"cache-control", b"no-cache")))


@cache
def document() -> bytes:
    """The description as JSON."""
    return (files("intertie_gateway") / "openapi.json").read_bytes()
