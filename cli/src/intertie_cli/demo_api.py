"""`python -m intertie_cli.demo_api`: the demo's external API, roadworks in pages, behind a bearer token.

It stands for somebody else's system: it knows nothing of Intertie. `intertie up --demo` runs it on the loopback.

    GET /works?updated_since=2026-01-05T00:00:00Z&page=1&page_size=3
    GET /works/{id}
    GET /readyz     needs no token
"""

import json
import signal
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from intertie_chassis.errors import StartupError
from intertie_cli.settings import CliSettings

TOKEN = "demo-token"

_MOST_A_PAGE = 100
WORKS: tuple[dict[str, Any], ...] = tuple(
    {"id": f"RW-{number}", "title": title, "place": place, "starts_on": starts_on, "updated_at": updated_at}
    for number, title, place, starts_on, updated_at in (
        (201, "Bridge inspection", "Harbour Bridge", "2026-03-02", "2026-01-03T08:00:00Z"),
        (202, "Resurfacing", "Elm Street", "2026-03-04", "2026-01-03T08:00:00Z"),
        (203, "Water main replacement", "Main Street", "2026-03-09", "2026-01-05T14:30:00Z"),
        (204, "Traffic light renewal", "Market Square", "2026-03-11", "2026-01-06T09:15:00Z"),
        (205, "Cycle lane marking", "River Road", "2026-03-16", "2026-01-08T11:00:00Z"),
        (206, "Drain cleaning", "Station Road", "2026-03-18", "2026-01-08T11:00:00Z"),
        (207, "Pedestrian crossing", "School Lane", "2026-03-23", "2026-01-12T16:45:00Z"),
    )
)


class Refused(Exception):
    """A request that gets no data."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def answer(path: str, authorization: str) -> dict[str, Any]:
    """The document that a GET gets. Raises Refused."""
    url = urlsplit(path)
    if url.path == "/readyz":
        return {"status": "ready"}
    if authorization != f"Bearer {TOKEN}":
        raise Refused(HTTPStatus.UNAUTHORIZED, "a bearer token is needed")
    match url.path.strip("/").split("/"):
        case ["works"]:
            return _page({name: values[-1] for name, values in parse_qs(url.query).items()})
        case ["works", number]:
            found = next((works for works in WORKS if works["id"] == unquote(number)), None)
            if found is not None:
                return found
    raise Refused(HTTPStatus.NOT_FOUND, "there is no such thing")


def _page(query: dict[str, str]) -> dict[str, Any]:
    try:
        page, size = int(query.get("page", "1")), int(query.get("page_size", str(_MOST_A_PAGE)))
    except ValueError:
        raise Refused(HTTPStatus.BAD_REQUEST, "page and page_size are numbers") from None
    if page < 1 or not 1 <= size <= _MOST_A_PAGE:
        raise Refused(HTTPStatus.BAD_REQUEST, f"pages begin at 1 and have 1 to {_MOST_A_PAGE} works")
    # All times are UTC and written alike, so that texts compare as times do.
    found = [works for works in WORKS if works["updated_at"] >= query.get("updated_since", "")]
    pages = max(1, -(-len(found) // size))
    return {"works": found[(page - 1) * size : page * size], "page": page, "pages": pages, "total": len(found)}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "demo"
    timeout = 30

    def do_GET(self) -> None:
        try:
            status, document = HTTPStatus.OK, answer(self.path, self.headers.get("Authorization", ""))
        except Refused as refused:
            status, document = refused.status, {"error": refused.message}
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: what was asked is in Intertie's log."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True


def main() -> None:
    """Serves where INTERTIE_DEMO_LISTEN says, until SIGTERM."""
    host, _, port = CliSettings.load().demo_listen.rpartition(":")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    with _Server((host, int(port)), _Handler) as server:
        server.serve_forever()


if __name__ == "__main__":
    try:
        main()
    except (StartupError, OSError) as error:
        sys.exit(f"the demo's API cannot start: {error}")
