"""SyncService: starts, shows, cancels and resumes runs, and shows and resets cursors."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from google.protobuf.empty_pb2 import Empty

from intertie.ingest.v1 import sync_pb2, sync_pb2_grpc
from intertie_chassis.calls import time_remaining
from intertie_chassis.identity import current_principal
from intertie_chassis.paging import encode_token, page_size
from intertie_ingest import errors, grants
from intertie_ingest.field_convert import invalid
from intertie_ingest.pull.configuration import PullConfiguration, PullMapping, PullSystem
from intertie_ingest.syncs import entry_convert, sync_convert
from intertie_ingest.syncs.engine import Engine
from intertie_ingest.syncs.model import Run, RunFilter
from intertie_ingest.syncs.run_browse_store import RunBrowseStore
from intertie_ingest.syncs.stores import Stores

WAIT_SECONDS = 25.0
_ANSWER_SECONDS = 0.5
DESCRIPTOR = sync_pb2.DESCRIPTOR.services_by_name["SyncService"]
add_to_server = sync_pb2_grpc.add_SyncServiceServicer_to_server


class SyncService(sync_pb2_grpc.SyncServiceServicer):
    """The syncs' methods."""

    def __init__(
        self,
        stores: Stores,
        browse: RunBrowseStore,
        engine: Engine,
        configuration: Callable[[], PullConfiguration],
        stopping: asyncio.Event,
    ) -> None:
        self._stores = stores
        self._browse = browse
        self._engine = engine
        self._configuration = configuration
        self._stopping = stopping

    async def RunSync(self, request: sync_pb2.RunSyncRequest, context: Any) -> sync_pb2.RunSyncResponse:
        """Starts a run, or joins the one that the mapping has."""
        configuration, principal = self._configuration(), current_principal()
        mapping = configuration.mapping(_asked_system(configuration, request), request.mapping)
        cursor = await self._stores.cursors.get(mapping.id)
        new = sync_convert.new_run(request, mapping, cursor, principal.subject or principal.label)
        run, _ = await self._stores.runs.create(new)
        self._engine.wake()
        if not request.no_wait:
            remaining = time_remaining()
            wait = WAIT_SECONDS if remaining is None else min(WAIT_SECONDS, remaining - _ANSWER_SECONDS)
            run = await self._engine.wait_for(run.run_id, wait, self._stopping)
        return sync_convert.sync_response(run, mapping.system, mapping.name, configuration)

    async def GetRun(self, request: sync_pb2.GetRunRequest, context: Any) -> sync_pb2.SyncRun:
        """Gets a run."""
        run = await self._stores.runs.get(sync_convert.run_id(request))
        configuration = self._configuration()
        _require_visible(run, configuration.by_id.get(run.system_id))
        return sync_convert.run_message(run, configuration)

    async def ListRuns(self, request: sync_pb2.ListRunsRequest, context: Any) -> sync_pb2.ListRunsResponse:
        """Lists runs, the newest first."""
        configuration, size = self._configuration(), page_size(request.page_size)
        wanted = RunFilter(
            _system_id(configuration, request.system),
            _mapping_ids(configuration, request.system, request.mapping),
            sync_convert.state(request),
        )
        found = await self._browse.runs(wanted, sync_convert.run_position(request), size + 1)
        return sync_pb2.ListRunsResponse(
            runs=[sync_convert.run_message(run, configuration) for run in found[:size]],
            next_page_token=encode_token([found[size - 1].run_id], request) if len(found) > size else "",
        )

    async def ListRunFailures(
        self, request: sync_pb2.ListRunFailuresRequest, context: Any
    ) -> sync_pb2.ListRunFailuresResponse:
        """Lists the records of a run that failed."""
        size, after = page_size(request.page_size), sync_convert.failure_position(request)
        found = await self._browse.failures(sync_convert.checked_run_id(request.run_id), after, size + 1)
        return sync_pb2.ListRunFailuresResponse(
            failures=[sync_convert.failure_message(failure) for failure in found[:size]],
            next_page_token=encode_token([found[size - 1].id], request) if len(found) > size else "",
        )

    async def CancelRun(self, request: sync_pb2.CancelRunRequest, context: Any) -> sync_pb2.SyncRun:
        """Cancels a run."""
        configuration = self._configuration()
        run = await self._stores.runs.request_cancel(
            sync_convert.run_id(request), lambda run: entry_convert.entry_of_run(run, configuration)
        )
        self._engine.ended.ring()
        return sync_convert.run_message(run, configuration)

    async def ResumeRun(self, request: sync_pb2.ResumeRunRequest, context: Any) -> sync_pb2.SyncRun:
        """Goes on with a run that was cancelled or failed."""
        run = await self._stores.runs.resume(sync_convert.run_id(request))
        self._engine.wake()
        return sync_convert.run_message(run, self._configuration())

    async def GetCursor(self, request: sync_pb2.GetCursorRequest, context: Any) -> sync_pb2.SyncCursor:
        """Gets how far a mapping has been synced."""
        mapping = _mapping(self._configuration(), request.system, request.mapping)
        return sync_convert.cursor_message(mapping, await self._stores.cursors.get(mapping.id))

    async def ResetCursor(self, request: sync_pb2.ResetCursorRequest, context: Any) -> Empty:
        """Forgets how far a mapping has been synced."""
        mapping = _mapping(self._configuration(), request.system, request.mapping)
        await self._stores.cursors.reset(mapping.id)
        return Empty()


def _asked_system(configuration: PullConfiguration, request: sync_pb2.RunSyncRequest) -> PullSystem:
    """The system that the caller may sync. Raises ModuleMismatch, GrantMissing, GrantExpired, SystemNotFound,
    InvalidArgument.

    A module without a grant to read learns nothing of whether the system exists.
    """
    if not request.system:
        raise invalid("system", "must name a system")
    if not request.mapping:
        raise invalid("mapping", "must name a mapping")
    principal, system = current_principal(), configuration.by_name.get(request.system)
    if principal.role == "module":
        if request.module not in ("", principal.name):
            raise errors.ModuleMismatch(metadata={"module": principal.name})
        grants.require(system, request.system, principal.name, "read", time.time())
    return configuration.system(request.system)


def _require_visible(run: Run, system: PullSystem | None) -> None:
    """Raises RunNotFound for a module without a grant to read the run's system: it learns nothing of the run.

    Raises GrantExpired where the grant has ended.
    """
    principal = current_principal()
    if principal.role != "module":
        return
    grant = system.grants.get(principal.name) if system is not None and system.is_active else None
    if system is None or grant is None or not grant.covers("read"):
        raise errors.RunNotFound(metadata={"run_id": run.run_id})
    grants.held(system, system.name, principal.name, time.time())


def _system_id(configuration: PullConfiguration, name: str) -> int | None:
    """The number of a system, active or not; None for no name. Raises SystemNotFound."""
    return _system(configuration, name).id if name else None


def _system(configuration: PullConfiguration, name: str) -> PullSystem:
    found = configuration.by_name.get(name)
    if found is None:
        raise errors.SystemNotFound("there is no external system of this name", metadata={"system": name})
    return found


def _mapping_ids(configuration: PullConfiguration, system: str, name: str) -> tuple[int, ...] | None:
    """The numbers of the mappings of a name, of one system or of all; None for no name. Raises MappingNotFound."""
    if not name:
        return None
    systems = [_system(configuration, system)] if system else list(configuration.by_id.values())
    found = tuple(mapping.id for one in systems for mapping in one.mappings if mapping.name == name)
    if not found:
        raise errors.MappingNotFound("there is no mapping of this name", metadata={"mapping": name})
    return found


def _mapping(configuration: PullConfiguration, system: str, name: str) -> PullMapping:
    """The mapping of a system, active or not; of two of one name the active one. Raises SystemNotFound,
    MappingNotFound."""
    found = [mapping for mapping in _system(configuration, system).mappings if mapping.name == name]
    if not found:
        raise errors.MappingNotFound(
            "the system has no mapping of this name", metadata={"system": system, "mapping": name}
        )
    return max(found, key=lambda mapping: (mapping.is_active, -mapping.id))
