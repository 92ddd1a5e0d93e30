"""What tests of the client share: both clients called alike, and a real server whose services say what a test wants."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from intertie.ingest.v1 import ingest_pb2, ingest_pb2_grpc, query_pb2, query_pb2_grpc, sync_pb2, sync_pb2_grpc
from intertie_chassis.identity import KeyRing, Verifier
from intertie_chassis.server import Server
from intertie_client import AsyncClient, Client

KINDS = ("blocking", "async")
Answer = Callable[[Any, Any], Awaitable[Any]]


class Calling:
    """Either client, called alike: the blocking one in a thread, so that the loop can serve it."""

    def __init__(self, kind: str, *arguments: Any, **options: Any) -> None:
        self.client: Any = (Client if kind == "blocking" else AsyncClient)(*arguments, **options)
        self._is_blocking = kind == "blocking"

    async def __call__(self, method: str, *arguments: Any, **options: Any) -> Any:
        """What a method of the client gives."""
        return await self.of(self.client, method, *arguments, **options)

    async def of(self, thing: Any, method: str, *arguments: Any, **options: Any) -> Any:
        """What a method of something that the client gave gives."""
        bound = getattr(thing, method)
        if self._is_blocking:
            return await asyncio.to_thread(bound, *arguments, **options)
        found = bound(*arguments, **options)
        return await found if asyncio.iscoroutine(found) else found

    async def taken(self, iterable: Any, count: int | None = None) -> list[Any]:
        """The next so many of what an iterator of the client gives; None: all."""
        found: list[Any] = []
        if self._is_blocking:
            return await asyncio.to_thread(self._taken, iterable, count, found)
        while count is None or len(found) < count:
            try:
                found.append(await anext(iterable))
            except StopAsyncIteration:
                break
        return found

    @staticmethod
    def _taken(iterable: Any, count: int | None, found: list[Any]) -> list[Any]:
        while count is None or len(found) < count:
            try:
                found.append(next(iterable))
            except StopIteration:
                break
        return found


class Scripted(
    ingest_pb2_grpc.IngestServiceServicer, sync_pb2_grpc.SyncServiceServicer, query_pb2_grpc.QueryServiceServicer
):
    """Services that remember what they were asked, with its metadata, and answer as a test says."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        """By method; a method without one answers with nothing in particular."""
        self.asked: list[tuple[str, Any, dict[str, Any]]] = []

    def metadata(self, name: str) -> list[Any]:
        """What each call brought under a key."""
        return [metadata.get(name) for _, _, metadata in self.asked]

    async def Push(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Stores nothing, and says that it did."""
        return await self._answered("Push", request, context) or accepted(request)

    async def ReadCache(self, request: Any, context: Any) -> Any:  # noqa: N802
        """An empty cache."""
        return await self._answered("ReadCache", request, context) or ingest_pb2.ReadCacheResponse()

    async def RunSync(self, request: Any, context: Any) -> Any:  # noqa: N802
        """A run that has begun."""
        run = sync_pb2.SyncRun(run_id="R", state="running")
        return await self._answered("RunSync", request, context) or sync_pb2.RunSyncResponse(run_id="R", run=run)

    async def GetRun(self, request: Any, context: Any) -> Any:  # noqa: N802
        """A run that has ended."""
        return await self._answered("GetRun", request, context) or sync_pb2.SyncRun(run_id="R", state="succeeded")

    async def StreamDatabase(self, request: Any, context: Any) -> Any:  # noqa: N802
        """What the test's answer gives, part by part."""
        for part in await self._answered("StreamDatabase", request, context):
            yield await part() if callable(part) else part

    async def _answered(self, method: str, request: Any, context: Any) -> Any:
        self.asked.append((method, request, dict(context.invocation_metadata())))
        answer = self.answers.get(method)
        return None if answer is None else await answer(request, context)


Scripted.__abstractmethods__ = frozenset()


def accepted(request: ingest_pb2.PushRequest) -> ingest_pb2.PushResponse:
    """The answer to a push that is stored."""
    acceptance = ingest_pb2.Acceptance(
        delivery_id="D", system=request.system, mapping=request.mapping, external_ids=["1"]
    )
    return ingest_pb2.PushResponse(acceptance=acceptance)


@asynccontextmanager
async def serving(keys: KeyRing, scripted: Scripted, listen: str = "127.0.0.1:0", **options: Any) -> AsyncIterator[str]:
    """A server of all that is scripted; gives its address."""
    server = Server("scripted", listen, Verifier(keys.jwks_path), drain_seconds=1, **options)
    for add, contract, service in (
        (ingest_pb2_grpc.add_IngestServiceServicer_to_server, ingest_pb2, "IngestService"),
        (sync_pb2_grpc.add_SyncServiceServicer_to_server, sync_pb2, "SyncService"),
        (query_pb2_grpc.add_QueryServiceServicer_to_server, query_pb2, "QueryService"),
    ):
        server.add(add, scripted, contract.DESCRIPTOR.services_by_name[service])
    port = await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop()
