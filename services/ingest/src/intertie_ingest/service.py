"""IngestService: accepts deliveries, and shows what was accepted, refused and cached."""

import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from intertie.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from intertie_chassis.calls import current_request_id
from intertie_chassis.identity import current_principal
from intertie_chassis.paging import encode_token, page_size
from intertie_ingest import audit_convert, browse_convert, convert, errors, field_convert, grants
from intertie_ingest.accept import Acceptor
from intertie_ingest.browse_store import BrowseStore, DeliveryFilter, RecordFilter
from intertie_ingest.cache_walk_store import CacheFilter, CacheWalk
from intertie_ingest.configuration import CompiledSystem, Configuration
from intertie_ingest.model import Status
from intertie_ingest.pushes import pushed_data
from intertie_ingest.rejection_store import RejectionStore
from intertie_ingest.snapshot import Snapshot
from intertie_ingest.wakeup import Wakeup

_MOST_IDS = 1000
_MOST_PAGE_BYTES = 8 * 1024 * 1024
DESCRIPTOR = ingest_pb2.DESCRIPTOR.services_by_name["IngestService"]
add_to_server = ingest_pb2_grpc.add_IngestServiceServicer_to_server


class IngestService(ingest_pb2_grpc.IngestServiceServicer):
    """Ingest's methods."""

    def __init__(
        self,
        acceptor: Acceptor,
        browse: BrowseStore,
        cache: CacheWalk,
        rejections: RejectionStore,
        snapshot: Snapshot,
        wakeup: Wakeup,
    ) -> None:
        self._acceptor = acceptor
        self._browse = browse
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
            _system_id(configuration, request.system),
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
        wanted = RecordFilter(
            system_id=_system_id(configuration, request.system),
            mapping_ids=_mapping_ids(configuration, request.system, request.mapping),
            external_id=request.external_id or None,
            status=browse_convert.sync_status(request.sync_status),
            error_reason=request.error_reason or None,
        )
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
            system.id, _mapping_ids(configuration, system.name, request.mapping), request.external_id or None
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
        wanted = CacheFilter(system.id, _mapping_ids(configuration, system.name, request.mapping))
        async for batch in self._cache.batches(wanted):
            # Asked for each batch: a grant that ends, or is taken away, ends the stream too.
            _readable(self._snapshot.configuration(), request.system)
            for answer in browse_convert.cached_records(batch, configuration):
                yield answer

    async def ReplayRecords(
        self, request: ingest_pb2.ReplayRecordsRequest, context: Any
    ) -> ingest_pb2.ReplayRecordsResponse:
        """Hands records that were set aside, or that wait, to mapper."""
        if not (request.ids or request.system or request.mapping or request.error_reason):
            raise field_convert.invalid("ids", "or system, mapping or error_reason must say which records")
        if len(request.ids) > _MOST_IDS:
            raise field_convert.invalid("ids", f"must be at most {_MOST_IDS}")
        configuration = self._snapshot.configuration()
        wanted = RecordFilter(
            ids=tuple(request.ids) or None,
            system_id=_system_id(configuration, request.system),
            mapping_ids=_mapping_ids(configuration, request.system, request.mapping),
            status=Status.PENDING if request.waiting else Status.ERROR,
            error_reason=request.error_reason or None,
            is_waiting=request.waiting,
        )
        if request.dry_run:
            return ingest_pb2.ReplayRecordsResponse(replayed=await self._browse.count(wanted))
        selector: dict[str, object] = {
            "ids": list(request.ids),
            "system": request.system,
            "mapping": request.mapping,
            "error_reason": request.error_reason,
            "waiting": request.waiting,
        }
        actor, request_id = current_principal().subject, current_request_id() or ""

        def message(ids: Sequence[int]) -> bytes:
            return audit_convert.entry_of_replay(ids, selector, actor, request_id)

        replayed = await self._browse.replay(wanted, message)
        self._wakeup.ring()
        return ingest_pb2.ReplayRecordsResponse(replayed=len(replayed))

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


def _system_id(configuration: Configuration, name: str) -> int | None:
    """The number of a system by its name; None for no name. Raises SystemNotFound."""
    if not name:
        return None
    system = configuration.by_name.get(name)
    if system is None:
        raise errors.SystemNotFound("there is no external system of this name", metadata={"system": name})
    return system.id


def _mapping_ids(configuration: Configuration, system: str, name: str) -> tuple[int, ...] | None:
    """The numbers of the mappings of a name, of one system or of all; None for no name. Raises MappingNotFound."""
    if not name:
        return None
    systems = [configuration.by_name[system]] if system else list(configuration.by_id.values())
    found = tuple(mapping.id for one in systems for mapping in one.mappings if mapping.name == name)
    if not found:
        raise errors.MappingNotFound("there is no mapping of this name", metadata={"mapping": name})
    return found


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
