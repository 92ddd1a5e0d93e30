"""The client for asyncio."""

from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from intertie_client import pushes, questions, waits
from intertie_client.aio import AsyncCarrier
from intertie_client.cached_records import PAGE_SIZE, AsyncCachedRecords, CachePages
from intertie_client.models import (
    Access,
    ApiAnswer,
    CachedRecord,
    Checkpoint,
    ModuleSystem,
    Pushed,
    PushOutcome,
    QueryResult,
    SyncRun,
)
from intertie_client.plans import DEFAULT_TIMEOUT, Terms
from intertie_client.pushes import Record
from intertie_client.retries import RetryPolicy
from intertie_client.row_streams import STREAM_TIMEOUT, AsyncRowStream
from intertie_client.runs import AsyncRun
from intertie_client.setup import Metadata, arguments_from, setup_of
from intertie_client.tls import Tls
from intertie_client.tokens import Token


class AsyncClient:
    """Calls Intertie for a module. Any task of one event loop may use it; close it, or use it as a context.

    Make it after forking: gRPC does not survive a fork, and a client of before says so.

    Every call has a deadline: `timeout` seconds, all its attempts together. UNAVAILABLE is tried again within it where
    that does no harm. All methods raise IntertieError (`intertie_client.errors`), and RuntimeError once it is closed.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        registry: str | None = None,
        ingest: str | None = None,
        pull: str | None = None,
        mapper: str | None = None,
        token: Token | None = None,
        tls: Tls | None = None,
        module: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        retry: RetryPolicy | None = None,
        metadata: Metadata | None = None,
    ) -> None:
        """Args:
        address: of a proxy in front of all services; else name those that are called, each by its `host:port`.
        token: the module's token, the path of a file that holds it, or a function that gives it for each attempt.
        tls: with it connections are encrypted; without it the token can be read off the wire.
        module: the module's name; by default what the token says.
        timeout: seconds for each call that names no other.
        retry: how UNAVAILABLE is tried again.
        metadata: gives further metadata of each call.

        Nothing is connected before the first call. Raises ValueError for what does not go together.
        """
        services = {"registry": registry, "ingest": ingest, "pull": pull, "mapper": mapper}
        terms = Terms(timeout, retry or RetryPolicy())
        self._setup = setup_of(address, services, token, tls, module, metadata, terms)
        self._carrier = AsyncCarrier(self._setup)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None, **arguments: Any) -> Self:
        """The client that the environment describes; `arguments` of the constructor win over it.

        INTERTIE_ADDRESS of a proxy, else INTERTIE_REGISTRY_ADDRESS, …_INGEST_…, …_PULL_… and …_MAPPER_… (those of
        `intertie up` where they are not set); INTERTIE_TOKEN or INTERTIE_TOKEN_FILE; INTERTIE_MODULE; INTERTIE_TLS_DIR,
        or INTERTIE_TLS_CA, …_CERTIFICATE and …_KEY. Raises ValueError.
        """
        return cls(**{**arguments_from(env), **arguments})

    async def push(
        self,
        system: str,
        mapping: str,
        record: Record,
        *,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> Pushed:
        """Pushes a record into a mapping; when this returns it is stored, and mapped next.

        Args:
            record: a JSON object, or its bytes, which stay as they are.
            idempotency_key: by which a push that is made again, in another process too, is known as this one; at most
                255 printable ASCII characters. By default one of this call's own.
        """
        return await self._carrier.run(
            pushes.push(self._setup.terms, system, mapping, record, idempotency_key, timeout)
        )

    async def push_many(
        self,
        system: str,
        mapping: str,
        records: Iterable[Record],
        *,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> list[PushOutcome]:
        """Pushes records in few calls, in order, and says of each what became of it.

        A record that is refused harms no other. Other failures are told in the outcomes, too: nothing is sent behind
        one, and what has its error is not known to be stored.

        Args:
            idempotency_key: as for `push`, of all of them together; at most 200 characters.
            timeout: for each call of at most 1000 records or 1 MiB.
        """
        plan = pushes.push_many(self._setup.terms, system, mapping, records, idempotency_key, timeout)
        return await self._carrier.run(plan)

    async def wait_until_synced(self, pushed: Pushed, *, timeout: float = waits.LANDING_TIMEOUT) -> CachedRecord:
        """Waits until a pushed record is in its target, in that state or a later one (`delivery_id` tells them apart).

        Needs a grant to read. Raises DeadlineExceeded when that takes longer, also for a record that was set aside.
        Not for mappings that keep every delivery by itself: their records have ids of their own in the cache.
        """
        return await self._carrier.run(waits.wait_until_synced(self._setup.terms, pushed, timeout))

    async def query_database(
        self,
        system: str,
        query: str,
        params: Mapping[str, Any] | None = None,
        *,
        max_rows: int = 0,
        connection_id: int = 0,
        timeout: float | None = None,
    ) -> QueryResult:
        """Runs one SQL statement in an external database. `:name` parameters are bound, never pasted.

        Args:
            max_rows: 0: as many as the grant and the installation allow.
            connection_id: 0: the system's first active database connection.

        A statement that may write is sent once at most: after Unavailable or DeadlineExceeded it may have been done.
        """
        plan = questions.query_database(self._setup, system, query, params, max_rows, connection_id, timeout)
        return await self._carrier.run(plan)

    def stream_database(
        self,
        system: str,
        query: str,
        params: Mapping[str, Any] | None = None,
        *,
        max_rows: int = 0,
        connection_id: int = 0,
        timeout: float = STREAM_TIMEOUT,
    ) -> AsyncRowStream:
        """As `query_database`, for results of any size: an iterator of rows. `timeout` is for all of them together."""
        plan = questions.stream_database(self._setup, system, query, params, max_rows, connection_id, timeout)
        return AsyncRowStream(self._carrier, plan)

    async def query_api(
        self,
        system: str,
        endpoint: str = "",
        method: str = "GET",
        data: Any = None,
        *,
        connection_id: int = 0,
        timeout: float | None = None,
    ) -> ApiAnswer:
        """Calls an endpoint of an external API (docs/external-apis.md). Only GET and HEAD are tried again.

        Args:
            data: any JSON: the body, or for GET and HEAD an object of query parameters; of GraphQL an object with
                `query` and `variables`, of SOAP the content of the envelope's body.
        """
        plan = questions.query_api(self._setup, system, endpoint, method, data, connection_id, timeout)
        return await self._carrier.run(plan)

    def read_cache(
        self,
        system: str,
        mapping: str = "",
        external_id: str = "",
        *,
        page_size: int = PAGE_SIZE,
        resume_token: str = "",
        timeout: float | None = None,
    ) -> AsyncCachedRecords:
        """Iterates over what the cache of a system holds: records that are synced and have not expired.

        Args:
            mapping: "" for all.
            page_size: records that are asked for at once, at most 1000; memory holds two pages.
            resume_token: of an earlier iteration with the same arguments; goes on at that page.
            timeout: for each page.
        """
        pages = CachePages(self._setup.terms, system, mapping, external_id, page_size, resume_token, timeout)
        return AsyncCachedRecords(self._carrier, pages)

    async def run_sync(
        self,
        system: str,
        mapping: str,
        mode: str = "",
        *,
        range_from: str = "",
        range_to: str = "",
        timeout: float = waits.RUN_TIMEOUT,
    ) -> SyncRun:
        """Runs a sync of a mapping and waits for its end; `state` says how it ended. Joins the run that there is.

        Args:
            mode: `incremental`, `full` or `backfill`; "" for the mapping's default.
            range_from: of a backfill, the first value of the cursor field.
            range_to: of a backfill, the value to stop before.

        Raises DeadlineExceeded when the run has not ended by then; it goes on all the same.
        """
        plan = waits.run_sync(self._setup.terms, system, mapping, mode, range_from, range_to, timeout)
        return await self._carrier.run(plan)

    async def start_sync(
        self,
        system: str,
        mapping: str,
        mode: str = "",
        *,
        range_from: str = "",
        range_to: str = "",
        timeout: float | None = None,
    ) -> AsyncRun:
        """As `run_sync`, without waiting: a run to be watched."""
        plan = waits.start_sync(self._setup.terms, system, mapping, mode, range_from, range_to, timeout)
        return AsyncRun(self._carrier, await self._carrier.run(plan))

    async def get_run(self, run_id: str, *, timeout: float | None = None) -> SyncRun:
        """Looks at a run of a system that the module may read."""
        return await self._carrier.run(waits.get_run(self._setup.terms, run_id, timeout))

    async def record_checkpoint(
        self,
        target_table: str,
        target_id: int,
        system: str,
        status: str,
        *,
        sent_data: Any = None,
        received_data: Any = None,
        error_message: str = "",
        timeout: float | None = None,
    ) -> Checkpoint:
        """Reports how the exchange of a target row with a system stands.

        Args:
            target_table: with or without its prefix (`events`).
            status: `pending`, `sent`, `acknowledged`, `confirmed` or `failed`.
            sent_data: any JSON; None leaves what is there.
            received_data: likewise.
        """
        target = (target_table, target_id)
        plan = questions.record_checkpoint(
            self._setup.terms, target, system, status, sent_data, received_data, error_message, timeout
        )
        return await self._carrier.run(plan)

    async def list_systems(self, *, timeout: float | None = None) -> Sequence[ModuleSystem]:
        """The systems that the module may use now, by name."""
        return await self._carrier.run(questions.list_systems(self._setup, timeout))

    async def check_access(self, system: str, access: str = "read", *, timeout: float | None = None) -> Access:
        """Whether the module may `read` or `write` a system now; true where it may."""
        return await self._carrier.run(questions.check_access(self._setup, system, access, timeout))

    async def close(self, *, grace: float = 5.0) -> None:
        """Takes no more calls, lets those under way end for so many seconds, and cuts what is left."""
        await self._carrier.close(grace)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
