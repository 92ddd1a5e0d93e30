"""IngestService: accepts deliveries, and shows what was accepted, refused and cached."""

import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from intertie.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from intertie_chassis.calls import current_request_id
from intertie_chassis.identity import current_principal
from intertie_chassis.paging import encode_token, page_size
from intertie_ingest import audit_convert, browse_convert, convert, errors, field_convert, grants, selection_convert
from intertie_ingest.accept import Acceptor
from intertie_ingest.browse_store import BrowseStore, DeliveryFilter
from intertie_ingest.cache_walk_store import CacheFilter, CacheWalk
from intertie_ingest.configuration import CompiledSystem, Configuration
from intertie_ingest.pushes import pushed_data
from intertie_ingest.rejection_store import RejectionStore
from intertie_ingest.selection import RecordFilter
from intertie_ingest.set_aside_store import SetAsideStore
from intertie_ingest.snapshot import Snapshot
from intertie_ingest.wakeup import Wakeup

_MOST_PAGE_BYTES = 8 * 1024 * 1024
DESCRIPTOR = ingest_pb2.DESCRIPTOR.services_by_name["IngestService"]
add_to_server = ingest_pb2_grpc.add_IngestServiceServicer_to_server


class IngestService(ingest_pb2_grpc.IngestServiceServicer):
    """Ingest's methods."""

    def __init__(
        self,
        acceptor: Acceptor,
        browse: BrowseStore,
        set_aside: SetAsideStore,
        cache: CacheWalk,
        rejections: RejectionStore,
        snapshot: Snapshot,
        wakeup: Wakeup,
    ) -> None:
        self._acceptor = acceptor
        self._browse = browse
        self._set_aside = set_aside
        self._cache = cache
        self._rejections = rejections
        self._snapshot = snapshot
        self._wakeup = wakeup

    async def AcceptDeliveries(
        self, request: ingest_pb2.AcceptDeliveriesRequest, context: Any
    ) -> ingest_pb2.AcceptDeliveriesResponse:
        """Accepts deliveries that came over HTTP, many at a time."""
        return convert.accept_response(await self._acceptor.accept(convert.raw_deliveries(request)))

    async def Push(self, request: ingest_pb2.PushRequest, context: Any) -> ingest_pb2.PushResponse:
        """Accepts one record of a mapping from an internal module."""
        raw = convert.pushed_delivery(request, "", current_request_id() or "")
        pushed = pushed_data(request.system, request.mapping, request.data)
        key = convert.idempotency_key(request)
        return convert.push_response(await self._acceptor.push(raw, pushed, current_principal(), key))

    async def ListDeliveries(
        self, request: ingest_pb2.ListDeliveriesRequest, context: Any
    ) -> ingest_pb2.ListDeliveriesResponse:
        """Lists deliveries, the newest first."""
        configuration, size = self._snapshot.configuration(), page_size(request.page_size)
        wanted = DeliveryFilter(
            selection_convert.system_id(configuration, request.system),
            browse_convert.delivery_state(request.state),
            field_convert.moment(request.received_after) if request.HasField("received_after") else None,
            field_convert.moment(request.received_before) if request.HasField("received_before") else None,
        )
        found = await self._browse.deliveries(wanted, browse_convert.delivery_position(request), size + 1)
        token = encode_token([found[size - 1].delivery_id], request) if len(found) > size else ""
        return ingest_pb2.ListDeliveriesResponse(
            deliveries=[browse_convert.delivery(one, configuration, with_body=False) for one in found[:size]],
            next_page_token=token,
        )

    async def GetDelivery(self, request: ingest_pb2.GetDeliveryRequest, context: Any) -> ingest_pb2.Delivery:
        """Gets a delivery with its body and how each of its records ended."""
        found = await self._browse.delivery(request.delivery_id) if field_convert.is_id(request.delivery_id) else None
        if found is None:
            raise errors.DeliveryNotFound(metadata={"delivery_id": request.delivery_id[:64]})
        return browse_convert.delivery(found, self._snapshot.configuration(), with_body=True)

    async def ListRejections(
        self, request: ingest_pb2.ListRejectionsRequest, context: Any
    ) -> ingest_pb2.ListRejectionsResponse:
        """Lists what was refused, the newest first."""
        size, before = page_size(request.page_size), browse_convert.rejection_position(request)
        found = await self._rejections.page(request.system, request.reason, before, size + 1)
        token = encode_token([found[size - 1].id], request) if len(found) > size else ""
        return ingest_pb2.ListRejectionsResponse(
            rejections=[browse_convert.rejection(one) for one in found[:size]], next_page_token=token
        )

    async def ListRecords(self, request: ingest_pb2.ListRecordsRequest, context: Any) -> ingest_pb2.ListRecordsResponse:
        """Lists cached records in any state, the newest change first."""
        configuration = self._snapshot.configuration()
        wanted = selection_convert.of_list(request, configuration)
        records, token = await self._page(request, wanted, configuration)
        return ingest_pb2.ListRecordsResponse(records=records, next_page_token=token)

    async def GetRecord(self, request: ingest_pb2.GetRecordRequest, context: Any) -> ingest_pb2.Record:
        """Gets a cached record by its number."""
        found = await self._browse.record(request.id)
        if found is None:
            raise errors.RecordNotFound(metadata={"id": str(request.id)})
        return browse_convert.record(found, self._snapshot.configuration())

    async def ReadCache(self, request: ingest_pb2.ReadCacheRequest, context: Any) -> ingest_pb2.ReadCacheResponse:
        """Reads records of a system that are synced and have not expired."""
        configuration = self._snapshot.configuration()
        system = _readable(configuration, request.system)
        wanted = CacheFilter(
            system.id,
            selection_convert.mapping_ids(configuration, system.name, request.mapping),
            request.external_id or None,
        )
        found, after = await self._cache.page(
            wanted, browse_convert.cache_position(request), page_size(request.page_size), _MOST_PAGE_BYTES
        )
        return ingest_pb2.ReadCacheResponse(
            system=system.name,
            mapping=request.mapping,
            data=[browse_convert.record(one, configuration) for one in found],
            count=len(found),
            next_page_token=browse_convert.cache_token(after, request),
        )

    async def ListCachedRecords(
        self, request: ingest_pb2.ListCachedRecordsRequest, context: Any
    ) -> AsyncIterator[ingest_pb2.ListCachedRecordsResponse]:
        """Streams all records of a system that are synced and have not expired."""
        configuration = self._snapshot.configuration()
        system = _readable(configuration, request.system)
        wanted = CacheFilter(system.id, selection_convert.mapping_ids(configuration, system.name, request.mapping))
        async for batch in self._cache.batches(wanted):
            # Asked for each batch: a grant that ends, or is taken away, ends the stream too.
            _readable(self._snapshot.configuration(), request.system)
            for answer in browse_convert.cached_records(batch, configuration):
                yield answer

    async def CountRecords(
        self, request: ingest_pb2.CountRecordsRequest, context: Any
    ) -> ingest_pb2.CountRecordsResponse:
        """Counts cached records by how they stand."""
        configuration = self._snapshot.configuration()
        found = await self._set_aside.counts(selection_convert.of_count(request, configuration))
        return selection_convert.count_response(found, configuration)

    async def ReplayRecords(
        self, request: ingest_pb2.ReplayRecordsRequest, context: Any
    ) -> ingest_pb2.ReplayRecordsResponse:
        """Hands records that were set aside, or that wait, to mapper."""
        configuration = self._snapshot.configuration()
        wanted = selection_convert.of_replay(request, configuration)
        pace, place = selection_convert.pace(request), selection_convert.replay_place(request)
        if request.dry_run:
            found = await self._set_aside.counts(wanted, place)
            return selection_convert.dry_run_response(found, configuration)
        selector = selection_convert.selector(request)
        actor, request_id = current_principal().subject, current_request_id() or ""

        def message(ids: Sequence[int]) -> bytes:
            return audit_convert.entries_of_replay(ids, selector, actor, request_id, wanted.system_id or 0)

        replayed = await self._set_aside.replay(wanted, message, pace, place)
        self._wakeup.ring()
        return selection_convert.replay_response(replayed, request)

    async def _page(
        self,
        request: ingest_pb2.ListRecordsRequest,
        wanted: RecordFilter,
        configuration: Configuration,
    ) -> tuple[list[ingest_pb2.Record], str]:
        size = page_size(request.page_size)
        found = await self._browse.records(wanted, browse_convert.record_position(request), size + 1)
        token = browse_convert.record_token(found[size - 1], request) if len(found) > size else ""
        return [browse_convert.record(one, configuration) for one in found[:size]], token


def _readable(configuration: Configuration, name: str) -> CompiledSystem:
    """The system whose cache the caller may read.

    Raises GrantMissing and GrantExpired for a module, also for a system that does not exist, else SystemNotFound.
    """
    if not name:
        raise field_convert.invalid("system", "must name a system")
    system, principal = configuration.by_name.get(name), current_principal()
    if principal.role == "module":
        grants.require(system, name, principal.name, "read", time.time())
    if system is None:
        raise errors.SystemNotFound("there is no external system of this name", metadata={"system": name})
    return system
