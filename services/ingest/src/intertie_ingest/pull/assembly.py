"""Pull put together: what reaches external systems, queries, syncs and the work beside them, on one server."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

from intertie_chassis.clients import Channel
from intertie_chassis.clock import utc_now
from intertie_chassis.database import Database
from intertie_chassis.metrics import PAGE
from intertie_chassis.outbox import Outbox
from intertie_chassis.server import Server
from intertie_ingest.apis.apis import Apis
from intertie_ingest.apis.endpoint_source import EndpointSource
from intertie_ingest.audit_convert import entries_of_denials
from intertie_ingest.clients import AuditClient, FeedClient
from intertie_ingest.databases.databases import Databases
from intertie_ingest.databases.table_source import TableSource
from intertie_ingest.egress import Egress
from intertie_ingest.external import ExternalConnection
from intertie_ingest.metrics import watch_snapshot
from intertie_ingest.migrations import MIGRATIONS
from intertie_ingest.pull import query_service
from intertie_ingest.pull.clients import QueueClient, RegistryClient
from intertie_ingest.pull.configuration import PullMapping
from intertie_ingest.pull.journal import Journal
from intertie_ingest.pull.journal_store import JournalStore
from intertie_ingest.pull.limits import Limits, Slots
from intertie_ingest.pull.note_convert import entry_of_note
from intertie_ingest.pull.queries import Queries
from intertie_ingest.pull.settings import PullSettings
from intertie_ingest.pull.snapshot import PullSnapshot
from intertie_ingest.pull.trials import Trials
from intertie_ingest.syncs import sync_service
from intertie_ingest.syncs.announcements import Announcements
from intertie_ingest.syncs.cursor_store import CursorStore
from intertie_ingest.syncs.engine import Engine
from intertie_ingest.syncs.entry_convert import entry_of_run
from intertie_ingest.syncs.page_store import PageStore
from intertie_ingest.syncs.preparation import looked_at
from intertie_ingest.syncs.reports import Reports
from intertie_ingest.syncs.run_browse_store import RunBrowseStore
from intertie_ingest.syncs.run_store import RunStore
from intertie_ingest.syncs.runner import Neighbours
from intertie_ingest.syncs.schedule import Schedule
from intertie_ingest.syncs.settling_store import SettlingStore
from intertie_ingest.syncs.source import Source
from intertie_ingest.syncs.stores import Stores
from intertie_ingest.tables import Tables
from intertie_mapping.synchronisation import Synchronisation

_LOOK_SECONDS = 1.0
_KEEP_SECONDS = 30.0
_PRUNE_SECONDS = 3600.0
_OWNERS = ("registry", "ingest", "audit", "target")
_PROCESSES = ("registry", "ingest", "mapper", "audit", "pull", "gateway")

Work = Callable[[], Awaitable[None]]


def assemble(
    server: Server, settings: PullSettings, database: Database, registry: Channel, ingest: Channel, audit: Channel
) -> None:
    """Adds pull's services and background work to a server that has not started."""
    tables = Tables.named(settings.table_prefix)
    outbox, snapshot = Outbox(database, tables.outbox, is_shared=True), PullSnapshot()
    schema = MIGRATIONS.readiness(database, settings.table_prefix)
    server.ready_when("schema", schema)
    server.ready_when("configuration", snapshot.check)
    if PAGE.is_shown:
        watch_snapshot(lambda: snapshot.confirmed_at)

    egress = Egress(_own_addresses(settings))
    databases = Databases(
        egress,
        pool_size=settings.pull_pool_size,
        idle_seconds=settings.pull_idle_seconds,
        forbidden_files=_own_files(settings),
    )
    apis = Apis(egress, max_response_bytes=settings.pull_query_bytes)
    server.resources.push_async_callback(databases.close)
    server.resources.push_async_callback(apis.close)

    client = RegistryClient(registry)
    journal = Journal(JournalStore(database, tables, outbox), entry_of_note)
    server.resources.push_async_callback(journal.flush)
    slots = Slots(settings.pull_module_queries, settings.pull_queries)
    queries = Queries(snapshot, databases, apis, journal, slots, _limits(settings))
    trials = Trials(snapshot, databases, apis, journal, slots, client.report_trial)
    server.add(query_service.add_to_server, query_service.QueryService(queries, trials), query_service.DESCRIPTOR)

    def once_ready(work: Work) -> Work:
        return _once_ready(schema, _once_ready(snapshot.check, work))

    _add_syncs(server, settings, database, tables, outbox, snapshot, databases, apis, client, ingest, once_ready)
    server.run_in_background("configuration", lambda: snapshot.run(FeedClient(registry).watch))
    server.run_in_background("connections", lambda: _keep(snapshot, databases, apis))
    server.run_in_background("audit entries", journal.run)
    server.tell_denials(lambda denials: outbox.post(entries_of_denials(denials)))
    log = AuditClient(audit)
    server.run_in_background("audit outbox", _once_ready(schema, partial(outbox.drain, log.append, joined=True)))


def _add_syncs(
    server: Server,
    settings: PullSettings,
    database: Database,
    tables: Tables,
    outbox: Outbox,
    snapshot: PullSnapshot,
    databases: Databases,
    apis: Apis,
    registry: RegistryClient,
    ingest: Channel,
    once_ready: Callable[[Work], Work],
) -> None:
    def source_of(connection: ExternalConnection, mapping: PullMapping, synchronisation: Synchronisation) -> Source:
        if connection.is_api:
            return EndpointSource(apis, connection, mapping.source_table, synchronisation)
        external_id_field = mapping.plan.configuration.external_id_field if mapping.plan is not None else "id"
        known = None if mapping.plan is None else looked_at(mapping.plan)
        table = mapping.source_table
        return TableSource(databases, connection, table, synchronisation, external_id_field, known or ())

    announcements = Announcements(QueueClient(ingest).announce)
    reports = Reports(registry.report_sync)
    stores = Stores(
        RunStore(database, tables, outbox),
        PageStore(database, tables),
        SettlingStore(database, tables),
        CursorStore(database, tables),
    )
    neighbours = Neighbours(announcements.announce, reports.report, entry_of_run)
    engine = Engine(stores, snapshot.configuration, source_of, neighbours, most_runs=settings.pull_runs)
    schedule = Schedule(registry, stores.runs, engine, snapshot.configuration, pause=settings.pull_tick_seconds)
    browse = RunBrowseStore(database, tables)
    service = sync_service.SyncService(stores, browse, engine, snapshot.configuration, server.stopping)
    server.add(sync_service.add_to_server, service, sync_service.DESCRIPTOR)
    server.run_in_background("announcements", announcements.run)
    server.run_in_background("sync reports", reports.run)
    server.run_in_background("syncs", once_ready(engine.run))
    server.run_in_background("schedule", once_ready(schedule.run))
    server.run_in_background("old runs", once_ready(lambda: _prune(browse, timedelta(days=settings.pull_run_days))))
    # Before what reaches external systems is closed: each run ends behind the page that it is at.
    server.resources.push_async_callback(engine.stop)


async def _prune(browse: RunBrowseStore, kept: timedelta) -> None:
    while True:
        while await browse.prune(utc_now() - kept):
            pass
        await asyncio.sleep(_PRUNE_SECONDS)


async def _keep(snapshot: PullSnapshot, databases: Databases, apis: Apis) -> None:
    """Closes what belongs to connections that are gone or changed, as soon as that is known, or long unused."""
    configuration = None
    while True:
        try:
            async with asyncio.timeout(_KEEP_SECONDS):
                configuration = await snapshot.other_than(configuration)
        except TimeoutError:
            if configuration is None:
                continue
        await databases.keep(configuration.active_connections)
        await apis.keep(configuration.active_connections)


def _limits(settings: PullSettings) -> Limits:
    return Limits(
        query_rows=settings.pull_query_rows,
        query_bytes=settings.pull_query_bytes,
        stream_rows=settings.pull_stream_rows,
        stream_bytes=settings.pull_stream_bytes,
        statement_seconds=settings.pull_statement_seconds,
        longest_statement_seconds=settings.pull_longest_statement_seconds,
        stream_seconds=settings.pull_stream_seconds,
    )


def _own_addresses(settings: PullSettings) -> list[tuple[str, int]]:
    """Where the suite listens and is reached: no connection may lead there."""
    found: list[tuple[str, int]] = []
    for process in _PROCESSES:
        for kind in ("listen", "address"):
            host, _, port = getattr(settings, f"{process}_{kind}", "").rpartition(":")
            if port.isdecimal():
                found.append((host.strip("[]"), int(port)))
    return found


def _own_files(settings: PullSettings) -> list[Path]:
    """The data directory, that of certificates, and the suite's databases where they are files: no connection may open
    them, but what lies in the data directory's `external`."""
    files = [settings.data_dir, *settings.embedded_files, *([settings.tls_dir] if settings.tls_dir else [])]
    for owner in _OWNERS:
        scheme, _, path = settings.database_url_for(owner).partition(":///")
        if scheme.startswith("sqlite"):
            files.append(Path(path.partition("?")[0]))
    return files


def _once_ready(check: Callable[[], Awaitable[str | None]], work: Work) -> Work:
    async def waiting() -> None:
        while await check() is not None:  # noqa: ASYNC110 - what is awaited lies outside of this process
            await asyncio.sleep(_LOOK_SECONDS)
        await work()

    return waiting
