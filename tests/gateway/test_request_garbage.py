"""Requests leave nothing to the collector of garbage, which would stop the process for milliseconds."""

import asyncio
import gc
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from intertie_gateway.app import Gateway
from intertie_gateway.asgi import Receive, Scope, Send
from intertie_gateway.protocol import WHOLE_ANSWER
from intertie_gateway.serving import HttpServer, listen
from intertie_gateway.settings import GatewaySettings

REQUESTS = 20


async def _answer(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["extensions"][WHOLE_ANSWER](202, [(b"content-length", b"2")], b"{}")


async def test_an_answered_request_is_freed_without_the_collector() -> None:
    listener = listen("127.0.0.1:0")
    listener.listen()
    server = HttpServer(cast(Gateway, _answer), GatewaySettings.model_validate({}), listener)
    running = asyncio.create_task(server.run())
    reader, writer = await asyncio.open_connection(*server.address)
    gc.collect()
    gc.disable()
    try:
        for _ in range(REQUESTS):
            writer.write(b"GET / HTTP/1.1\r\nhost: t\r\n\r\n")
            assert (await reader.readuntil(b"{}")).startswith(b"HTTP/1.1 202 ")
        cycles: list[Any] = [one for one in gc.get_objects() if isinstance(one, RequestResponseCycle)]
        # The connection keeps its last one; the one before may still be on its way out.
        assert len(cycles) <= 2
    finally:
        gc.enable()
        writer.close()
        server.stop()
        await running
