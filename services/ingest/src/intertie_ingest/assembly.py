"""Ingest put together: stores, snapshot, services and the work beside them, on one server."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

from intertie_chassis.clients import Channel
from intertie_chassis.database import Database
from intertie_chassis.identity import Verifier
from intertie_chassis.metrics import PAGE, keep_looking
from intertie_chassis.outbox import Outbox
from intertie_chassis.sealing_sources import FileKeys
from intertie_chassis.server import Server
from intertie_ingest import metrics, queue_service, service
from intertie_ingest.accept import Acceptor, Limits
from intertie_ingest.audit_convert import (
    entries_of_denials,
    entries_of_drained,
    entries_of_greetings,
    entries_of_group,
    entries_of_rejections,
    entry_of_crash,
)
from intertie_ingest.backlog_store import BacklogStore
from intertie_ingest.browse_store import BrowseStore
from intertie_ingest.cache_walk_store import CacheWalk
from intertie_ingest.clients import AuditClient, FeedClient
from intertie_ingest.gathered_store import GatheredStore
from intertie_ingest.greetings import Greetings
from intertie_ingest.lease_model import Leased
from intertie_ingest.leases import Leases
from intertie_ingest.migrations import MIGRATIONS
from intertie_ingest.pressure import Pressure
from intertie_ingest.queue_store import QueueStore
from intertie_ingest.rejection_store import RejectionStore
from intertie_ingest.rejections import Rejections
from intertie_ingest.reservations import Reservations
from intertie_ingest.retention import Retention
from intertie_ingest.retention_store import RetentionStore
from intertie_ingest.set_aside_store import SetAsideStore
from intertie_ingest.settings import IngestSettings
from intertie_ingest.settlement_store import SettlementStore
from intertie_ingest.snapshot import Snapshot
from intertie_ingest.snapshot_file import SnapshotFile
from intertie_ingest.snapshot_keeping import SnapshotKeeper
from intertie_ingest.spool import Bounds, Spool
from intertie_ingest.spool_drain import Drain
from intertie_ingest.spool_store import SpoolStore
from intertie_ingest.store import Store
from intertie_ingest.tables import Tables
from intertie_ingest.turnstile import Allowances, Turnstile
from intertie_ingest.wakeup import Wakeup

_LOOK_SECONDS = 1.0
_BURST_SECONDS = 2.0
"""From message to message to the audit while a burst lasts: each holds some thousand entries."""
_SNAPSHOT_KEY_HEAD = (
    "# Ingest seals the configuration that it keeps on disk with this key. It needs no copy: without it the\n"
    "# configuration comes from registry anew.\n"
)


def assemble(
    server: Server,
    settings: IngestSettings,
    database: Database,
    verifier: Verifier,
    registry: Channel,
    audit: Channel,
    spooled: SpoolStore | None = None,
) -> None:
    """Adds ingest's services and background work to a server that has not started; `spooled` is its spool's file."""
    tables = Tables.named(settings.table_prefix)
    outbox, snapshot, wakeup = Outbox(database, tables.outbox), Snapshot(), Wakeup()
    rejection_store = RejectionStore(database, tables, outbox)
    rejections = Rejections(
        rejection_store,
        outbox,
        entries_of_rejections,
        timedelta(days=settings.ingest_rejection_days),
        settings.ingest_rejection_rows,
    )
    limits = Limits(settings.ingest_commit_groups, settings.ingest_waiting_groups, settings.ingest_max_body_bytes)
    reservations = Reservations(wakeup, server.stopping)
    store = Store(database, tables, outbox, settings.ingest_commit_seconds, reservations)
    turnstile = Turnstile(
        Allowances(
            settings.ingest_system_rate,
            settings.ingest_system_burst,
            settings.ingest_system_in_flight,
            settings.ingest_failures_per_minute,
        )
    )
    greetings = Greetings(outbox, entries_of_greetings)
    spool = None
    if spooled is not None:
        spool = Spool(spooled, Bounds(settings.spool_max_bytes, settings.spool_max_deliveries))
        drain = Drain(spool, spooled, store, outbox, wakeup, entries_of_drained)
        server.run_in_background("spool", drain.run)
    pressure = Pressure()
    acceptor = Acceptor(
        store,
        snapshot,
        rejections,
        outbox,
        wakeup,
        verifier.verify,
        entries_of_group,
        limits,
        turnstile,
        greetings,
        spool,
        pressure,
    )
    queue = QueueStore(database, tables, outbox, _crashed(snapshot))
    leases = Leases(
        queue,
        SettlementStore(database, tables),
        snapshot,
        wakeup,
        server.stopping,
        pressure,
        reservations,
        gathered=GatheredStore(database, tables),
    )

    browse, cache = BrowseStore(database, tables), CacheWalk(database, tables)
    set_aside = SetAsideStore(database, tables, outbox)
    ingest = service.IngestService(acceptor, browse, set_aside, cache, rejection_store, snapshot, wakeup)
    server.add(service.add_to_server, ingest, service.DESCRIPTOR)
    server.add(queue_service.add_to_server, queue_service.QueueService(leases, wakeup), queue_service.DESCRIPTOR)

    schema = MIGRATIONS.readiness(database, settings.table_prefix)
    at_head = partial(MIGRATIONS.at_head, database, settings.table_prefix)
    server.ready_when("schema", schema if spool is None else spool.readiness(schema, at_head))
    server.ready_when("configuration", snapshot.check)
    feed, log = FeedClient(registry), AuditClient(audit)
    server.run_in_background("configuration", lambda: snapshot.run(feed.watch))
    if settings.ingest_snapshot_file is not None:
        file = _snapshot_file(settings, settings.ingest_snapshot_file)
        server.run_in_background("configuration on disk", SnapshotKeeper(snapshot, file).run)
    drain_outbox = partial(outbox.drain, log.append, joined=True, rest=partial(pressure.wait, _BURST_SECONDS))
    server.run_in_background("audit outbox", _once_ready(schema, drain_outbox))
    server.run_in_background("rejections", _once_ready(schema, rejections.run))
    server.run_in_background("handshakes", _once_ready(schema, greetings.run))
    retention = Retention(RetentionStore(database, tables), settings.ingest_body_days, settings.ingest_delivery_days)
    server.run_in_background("retention", _once_ready(schema, retention.run))
    server.run_in_background("unwanted leases", _once_ready(schema, leases.release_unwanted))
    server.run_in_background("held records", _once_ready(schema, _once_ready(snapshot.check, leases.release_held)))
    if PAGE.is_shown:
        metrics.watch_snapshot(lambda: snapshot.confirmed_at)
        backlog = BacklogStore(database, tables)

        async def look() -> None:
            metrics.show(await backlog.read())
            await outbox.look("ingest")

        server.run_in_background("metrics of the queue", _once_ready(schema, partial(keep_looking, look)))
    server.tell_denials(lambda denials: outbox.post(entries_of_denials(denials)))
    # After the last call and before the database is closed: what was refused last is told of too.
    server.resources.push_async_callback(leases.release)
    server.resources.push_async_callback(rejections.flush, is_last=True)
    server.resources.push_async_callback(greetings.flush, is_last=True)


def _crashed(snapshot: Snapshot) -> Callable[[Leased], bytes]:
    """Makes the audit's message of a record that is set aside in a claim, with the names that are known now."""

    def entry(record: Leased) -> bytes:
        known = snapshot.configuration()
        system, mapping = known.by_id.get(record.system_id), known.mappings.get(record.mapping_id)
        return entry_of_crash(record, system.name if system else "", mapping.name if mapping else "")

    return entry


def _snapshot_file(settings: IngestSettings, path: Path) -> SnapshotFile:
    """The file of the configuration, sealed with the key that the settings name, or one of the data directory's."""
    given = settings.ingest_snapshot_key_file
    keys = FileKeys(
        given or settings.data_dir / "keys" / "ingest-snapshot.key",
        is_made=given is None,
        head=_SNAPSHOT_KEY_HEAD,
        otherwise="name a file of a key in INTERTIE_INGEST_SNAPSHOT_KEY_FILE",
    )
    return SnapshotFile(path, keys, timedelta(hours=settings.ingest_snapshot_hours))


def _once_ready(
    check: Callable[[], Awaitable[str | None]], work: Callable[[], Awaitable[None]]
) -> Callable[[], Awaitable[None]]:
    async def waiting() -> None:
        while await check() is not None:  # noqa: ASYNC110 - what is awaited lies outside of this process
            await asyncio.sleep(_LOOK_SECONDS)
        await work()

    return waiting
