"""`/docs`: a page to browse the routes and try them; it loads nothing from anywhere but `/openapi.json`."""

from functools import cache
from importlib.resources import files

from intertie_gateway.asgi import Answer

_HEADERS = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    # A token is typed into this page: no other page may frame it, and it may talk to this origin only.
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; "
        b"img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


async def page() -> Answer:
    """The page."""
    return Answer(200, _page(), _HEADERS)


@cache
def _page() -> bytes:
    return (files("intertie_gateway") / "browser.html").read_bytes()
