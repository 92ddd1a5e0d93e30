"""An external API for tests, real on a socket: each pagination, kind of credentials and misbehaviour has its path."""

import asyncio
import base64
import gzip
import json
import socket
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode
from xml.sax.saxutils import escape

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from waiting import eventually

TOKEN = "token-of-the-external-api"
USER, PASSWORD = "reader", "pass:word-of-the-external-api"
CLIENT_ID, CLIENT_SECRET = "client", "secret/of the+client"
_MOST = 100


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes


@dataclass
class ExternalApi:
    """A server in a thread of its own. `with ExternalApi() as api:` or start() and stop().

    `records` is what its lists give, and may be changed at any time; `requests` is what arrived, in order. Each list
    also stands below `/as/<kind>`, for those only who show credentials of that kind.
    """

    records: list[dict[str, Any]] = field(default_factory=list)
    #: certificate and key, as PEM: then it speaks TLS
    tls: tuple[Path, Path] | None = None
    requests: list[Seen] = field(default_factory=list)
    #: the access tokens that count
    tokens: set[str] = field(default_factory=set)
    #: seconds that an access token is valid for, as it says
    token_seconds: int | None = 3600
    port: int = 0
    _asked: Counter[str] = field(default_factory=Counter)

    def __enter__(self) -> "ExternalApi":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The base URL."""
        scheme, host = ("https", "localhost") if self.tls else ("http", "127.0.0.1")
        return f"{scheme}://{host}:{self.port}"

    def count(self, path: str) -> int:
        """How many requests came for a path."""
        return sum(seen.path == path for seen in self.requests)

    def start(self) -> None:
        """Listens on a free port of the loopback, and returns once it answers."""
        self._socket = socket.create_server(("127.0.0.1", self.port))
        self.port = self._socket.getsockname()[1]
        certificate, key = self.tls or (None, None)
        config = uvicorn.Config(
            self._application(),
            http="h11",
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,
            ssl_certfile=certificate,
            ssl_keyfile=key,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)
        self._thread.start()
        # In a thread, because the caller may be in a loop of its own.
        waiting = threading.Thread(target=lambda: asyncio.run(eventually(lambda: self._server.started)))
        waiting.start()
        waiting.join()

    def stop(self) -> None:
        """Ends the server; what is on its way is broken off."""
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(10)
        self._socket.close()

    def _application(self) -> Starlette:
        lists = {
            "/items": self._all,
            "/items/offset": self._offset,
            "/items/page": self._page,
            "/items/cursor": self._cursor,
            "/items/link": self._link,
            "/items/header": self._header,
            "/graphql": self._graphql,
            "/soap": self._soap,
        }
        pages = {
            **lists,
            **{f"/as/{{kind}}{path}": self._for_the_known(page) for path, page in lists.items()},
            "/token": self._token,
            "/auth/{kind}": self._auth,
            "/echo{rest:path}": self._echo,
            "/status/{status:int}": self._status,
            "/flaky": self._flaky,
            "/redirect": self._redirect,
            "/slow": self._slow,
            "/huge": self._huge,
            "/bomb": self._bomb,
            "/broken": self._broken,
            "/content/{name}": self._content,
            "/": self._root,
        }
        methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
        return Starlette(routes=[Route(path, self._noted(page), methods=methods) for path, page in pages.items()])

    def _noted(self, page: Callable[[Request], Any]) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            path = request.scope["raw_path"].decode()
            query = parse_qs(request.url.query, keep_blank_values=True)
            body = await request.body()
            self.requests.append(Seen(request.method, path, query, dict(request.headers), body))
            result = page(request)
            return await result if asyncio.iscoroutine(result) else result  # type: ignore[no-any-return]

        return answer

    def _for_the_known(self, page: Callable[[Request], Any]) -> Callable[[Request], Any]:
        return lambda request: page(request) if self._is_known(request) else self._auth(request)

    # lists

    def _since(self, request: Request) -> list[dict[str, Any]]:
        since = request.query_params.get("since")
        return [record for record in self.records if since is None or str(record["changed"]) >= since]

    def _all(self, request: Request) -> Response:
        return JSONResponse(self._since(request))

    def _offset(self, request: Request) -> Response:
        offset, limit = int(request.query_params.get("offset", 0)), int(request.query_params.get("limit", 10))
        # A server has its own most: it gives fewer than it is asked for.
        part = self._since(request)[offset : offset + min(limit, _MOST)]
        answer: dict[str, Any] = {"data": part}
        if "no_total" not in request.query_params:
            answer["total"] = len(self._since(request))
        return JSONResponse(answer)

    def _page(self, request: Request) -> Response:
        page, size = int(request.query_params.get("page", 0)), int(request.query_params.get("size", 10))
        found = self._since(request)
        more = (page + 1) * size < len(found)
        return JSONResponse({"results": found[page * size : (page + 1) * size], "meta": {"more": more}})

    def _cursor(self, request: Request) -> Response:
        start, size = int(request.query_params.get("cursor", 0)), int(request.query_params.get("size", 10))
        found = self._since(request)
        after = start + size if start + size < len(found) else None
        if "stuck" in request.query_params:
            after = 0
        return JSONResponse({"data": found[start : start + size], "cursors": {"next": after}})

    def _link(self, request: Request) -> Response:
        start, size = int(request.query_params.get("start", 0)), int(request.query_params.get("size", 10))
        found = self._since(request)
        after = f"{request.url.path}?{_behind(request, start + size)}" if start + size < len(found) else None
        after = "?stuck=1" if "stuck" in request.query_params else request.query_params.get("to", after)
        return JSONResponse({"data": {"items": found[start : start + size]}, "next": after})

    def _header(self, request: Request) -> Response:
        start, size = int(request.query_params.get("start", 0)), int(request.query_params.get("size", 10))
        found = self._since(request)
        page = f"{self.url}{request.url.path}"
        links = [f'<{page}?{_behind(request, 0)}>; rel="first"']
        if start + size < len(found):
            links.append(f'<{page}?{_behind(request, start + size)}>; title="a, b"; rel="next"')
        return JSONResponse(found[start : start + size], headers={"link": ", ".join(links)})

    async def _graphql(self, request: Request) -> Response:
        call = json.loads(await request.body())
        if "fail" in call["query"]:
            return JSONResponse({"data": None, "errors": [{"message": "no field fail"}]})
        variables = call.get("variables", {})
        start, size = int(variables.get("after") or 0), int(variables.get("size", 10))
        after = str(start + size) if start + size < len(self.records) else None
        items = {"nodes": self.records[start : start + size], "after": after, "more": after is not None}
        return JSONResponse({"data": {"items": items}})

    async def _soap(self, request: Request) -> Response:
        action = request.headers.get("soapaction", "")
        if "Fail" in action:
            return _envelope(
                "<s:Fault><faultcode>s:Client</faultcode><faultstring>no such thing</faultstring></s:Fault>", 500
            )
        if "Entity" in action:
            document = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'
            return Response(document, media_type="text/xml")
        items = "".join(
            "<m:Item>"
            + "".join(f"<m:{key}>{escape(str(value))}</m:{key}>" for key, value in record.items())
            + "</m:Item>"
            for record in self.records
        )
        return _envelope(f'<m:ItemsResponse xmlns:m="urn:items" kind="all">{items}</m:ItemsResponse>')

    # credentials

    async def _token(self, request: Request) -> Response:
        pair = base64.b64decode(request.headers.get("authorization", "Basic ").split()[1]).decode()
        form = parse_qs((await request.body()).decode())
        if pair != "client:secret%2Fof+the%2Bclient" or form.get("grant_type") != ["client_credentials"]:
            return JSONResponse({"error": "invalid_client", "echo": pair}, 401)
        token = f"access-token-{len(self.requests)}"
        self.tokens.add(token)
        answer = {"access_token": token, "token_type": "Bearer", "expires_in": self.token_seconds}
        return JSONResponse({key: value for key, value in answer.items() if value is not None})

    def _is_known(self, request: Request) -> bool:
        kind, given = request.path_params["kind"], request.headers.get("authorization", "")
        return {
            "none": not given,
            "basic": given == "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode(),
            "bearer": given == f"Bearer {TOKEN}",
            "apikey": TOKEN in (request.headers.get("x-api-key"), request.headers.get("x-other-key")),
            "oauth2": given.removeprefix("Bearer ") in self.tokens,
        }[kind]

    def _auth(self, request: Request) -> Response:
        if self._is_known(request):
            return JSONResponse({"kind": request.path_params["kind"]})
        return JSONResponse({"error": "who?", "echo": request.headers.get("authorization", "")}, 401)

    # behaviour

    def _root(self, request: Request) -> Response:
        return PlainTextResponse("nothing here", 404)

    async def _echo(self, request: Request) -> Response:
        body = (await request.body()).decode()
        path = request.scope["raw_path"].decode()
        seen = {"method": request.method, "path": path, "query": request.url.query, "body": body}
        return JSONResponse(seen | {"headers": dict(request.headers)}, headers={"set-cookie": "a=b; Path=/"})

    def _status(self, request: Request) -> Response:
        status = request.path_params["status"]
        headers = {"retry-after": after} if (after := request.query_params.get("retry_after")) else {}
        return PlainTextResponse(f"{status}: {request.headers.get('authorization')}", status, headers)

    def _flaky(self, request: Request) -> Response:
        """Answers 200 from the request on that comes after `fails` failures with `status`."""
        query = request.query_params
        self._asked[query["key"]] += 1
        if self._asked[query["key"]] > int(query.get("fails", 1)):
            return JSONResponse({"asked": self._asked[query["key"]]})
        after = query.get("retry_after")
        if after == "date":
            after = format_datetime(datetime.now(UTC) - timedelta(seconds=5), usegmt=True)
        return PlainTextResponse("not now", int(query.get("status", 503)), {"retry-after": after} if after else {})

    def _redirect(self, request: Request) -> Response:
        status = int(request.query_params.get("status", 302))
        return Response(status_code=status, headers={"location": request.query_params["to"]})

    async def _slow(self, request: Request) -> Response:
        await asyncio.sleep(float(request.query_params.get("seconds", 60)))
        return JSONResponse({})

    def _huge(self, request: Request) -> Response:
        async def parts() -> AsyncIterator[bytes]:
            for _ in range(int(request.query_params.get("megabytes", 64))):
                yield b" " * 1_000_000

        return StreamingResponse(parts(), media_type="application/json")

    def _bomb(self, request: Request) -> Response:
        megabytes = int(request.query_params.get("megabytes", 64))
        return Response(gzip.compress(b" " * megabytes * 1_000_000), headers={"content-encoding": "gzip"})

    def _broken(self, request: Request) -> Response:
        return _BrokenOff(b'{"half":', headers={"content-length": "1000"}, media_type="application/json")

    def _content(self, request: Request) -> Response:
        body, kind = {
            "numbers": (b'{"a":12345678901234567890.10,"b":1E300,"c":9007199254740993,"d":1.0}', "application/json"),
            "invalid": (b'{"a":', "application/json"),
            "text": ("grüße".encode("latin-1"), "text/plain; charset=iso-8859-1"),
            "xml": (b'<a xmlns="urn:a" xmlns:x="urn:x" x:k="1"><x:b>1</x:b><x:b>2</x:b><c/>t</a>', "application/xml"),
            "laughs": (_LAUGHS, "application/xml"),
            "deep": (b"<a>" * 200 + b"</a>" * 200, "application/xml"),
            "binary": (b"\x00\xff", "image/png"),
            "empty": (b"", "application/json"),
            "zipped": (gzip.compress(b'{"zipped":true}'), "application/json"),
            "squeezed": (gzip.compress(b'"' + b"a" * 999_990 + b'"'), "application/json"),
            "members": (gzip.compress(b'{"zipped":') + gzip.compress(b"true}"), "application/json"),
            "nothing": (b"", "application/json"),
            "cut": (gzip.compress(b'{"zipped":true}')[:-8], "application/json"),
        }[request.path_params["name"]]
        headers = (
            {"content-encoding": "gzip"}
            if request.path_params["name"] in ("zipped", "squeezed", "members", "nothing", "cut")
            else {}
        )
        return Response(body, headers={"content-type": kind, **headers})


class _BrokenOff(Response):
    """Promises more than it sends, and then cuts the connection."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send the headers and the first bytes only."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})


_LAUGHS = b"""<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]><l>&c;</l>"""


def _behind(request: Request, start: int) -> str:
    """The query of a request, for the records from another place on."""
    return urlencode({**request.query_params, "start": start})


def _envelope(content: str, status: int = 200) -> Response:
    body = f'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>{content}</s:Body></s:Envelope>'
    return Response(body, status, media_type="text/xml")
