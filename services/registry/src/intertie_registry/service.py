"""RegistryService: one method per RPC. Convert, act, convert; errors are translated by the chassis."""

from typing import Any

from google.protobuf.empty_pb2 import Empty

from intertie.registry.v1 import registry_pb2, registry_pb2_grpc
from intertie_chassis import paging
from intertie_chassis.calls import current_request_id
from intertie_chassis.identity import current_principal
from intertie_registry import access, connection_convert, grant_convert, mapping_convert, system_convert
from intertie_registry.changes import applied
from intertie_registry.clients import Mapper
from intertie_registry.model import Actor
from intertie_registry.stores import Stores

DESCRIPTOR = registry_pb2.DESCRIPTOR.services_by_name["RegistryService"]
add_to_server = registry_pb2_grpc.add_RegistryServiceServicer_to_server


def _actor() -> Actor:
    return Actor(current_principal().subject, current_request_id() or "")


def _after(token: str, request: Any) -> int:
    """The id after which a page begins."""
    position = paging.decode_token(token, request)
    return int(position[0]) if position else 0


class RegistryService(registry_pb2_grpc.RegistryServiceServicer):
    """Serves intertie.registry.v1.RegistryService."""

    def __init__(self, stores: Stores, mapper: Mapper) -> None:
        self._systems = stores.systems
        self._connections = stores.connections
        self._mappings = stores.mappings
        self._grants = stores.grants
        self._mapper = mapper

    async def CreateSystem(self, request: registry_pb2.CreateSystemRequest, context: Any) -> registry_pb2.System:
        """Create a system."""
        system = await self._systems.create(system_convert.new_system(request), _actor())
        return system_convert.system_message(system)

    async def GetSystem(self, request: registry_pb2.GetSystemRequest, context: Any) -> registry_pb2.System:
        """Get a system by its name."""
        return system_convert.system_message(await self._systems.get(request.system))

    async def ListSystems(
        self, request: registry_pb2.ListSystemsRequest, context: Any
    ) -> registry_pb2.ListSystemsResponse:
        """List systems by name; to a module those that it has a grant on."""
        size = paging.page_size(request.page_size)
        position = paging.decode_token(request.page_token, request)
        after = str(position[0]) if position else ""
        module = access.calling_module()
        found = await self._systems.page(after, size + 1, active_only=request.active_only, module=module)
        page = found[:size]
        token = paging.encode_token([page[-1].system_name], request) if len(found) > size else ""
        return registry_pb2.ListSystemsResponse(systems=map(system_convert.system_message, page), next_page_token=token)

    async def UpdateSystem(self, request: registry_pb2.UpdateSystemRequest, context: Any) -> registry_pb2.System:
        """Change a system."""
        changes = system_convert.system_changes(request)
        system = await self._systems.update(request.system.system_name, changes, _actor())
        return system_convert.system_message(system)

    async def DeleteSystem(self, request: registry_pb2.DeleteSystemRequest, context: Any) -> Empty:
        """Delete a system with its connections, mappings and grants."""
        await self._systems.delete(request.system, _actor())
        return Empty()

    async def CreateConnection(
        self, request: registry_pb2.CreateConnectionRequest, context: Any
    ) -> registry_pb2.Connection:
        """Create a connection."""
        connection = await self._connections.create(connection_convert.new_connection(request), _actor())
        return connection_convert.connection_message(connection)

    async def GetConnection(self, request: registry_pb2.GetConnectionRequest, context: Any) -> registry_pb2.Connection:
        """Get a connection by its id."""
        return connection_convert.connection_message(await self._connections.get(request.id))

    async def ListConnections(
        self, request: registry_pb2.ListConnectionsRequest, context: Any
    ) -> registry_pb2.ListConnectionsResponse:
        """List connections by id."""
        size = paging.page_size(request.page_size)
        found = await self._connections.page(_after(request.page_token, request), size + 1, system=request.system)
        page = found[:size]
        return registry_pb2.ListConnectionsResponse(
            connections=map(connection_convert.connection_message, page),
            next_page_token=paging.encode_token([page[-1].id], request) if len(found) > size else "",
        )

    async def UpdateConnection(
        self, request: registry_pb2.UpdateConnectionRequest, context: Any
    ) -> registry_pb2.Connection:
        """Change a connection."""
        changes = connection_convert.connection_changes(request)
        connection = await self._connections.update(request.connection.id, changes, _actor())
        return connection_convert.connection_message(connection)

    async def DeleteConnection(self, request: registry_pb2.DeleteConnectionRequest, context: Any) -> Empty:
        """Delete a connection."""
        await self._connections.delete(request.id, _actor())
        return Empty()

    async def CreateMapping(self, request: registry_pb2.CreateMappingRequest, context: Any) -> registry_pb2.Mapping:
        """Create a mapping once it fits its target."""
        mapping = mapping_convert.new_mapping(request)
        await self._systems.get(mapping.system)
        if not request.skip_target_validation:
            await self._mapper.require_fit(mapping)
        return mapping_convert.mapping_message(await self._mappings.create(mapping, _actor()))

    async def GetMapping(self, request: registry_pb2.GetMappingRequest, context: Any) -> registry_pb2.Mapping:
        """Get a mapping by its id."""
        return mapping_convert.mapping_message(await self._mappings.get(request.id))

    async def ListMappings(
        self, request: registry_pb2.ListMappingsRequest, context: Any
    ) -> registry_pb2.ListMappingsResponse:
        """List mappings by id."""
        size = paging.page_size(request.page_size)
        after = _after(request.page_token, request)
        found = await self._mappings.page(after, size + 1, system=request.system, name=request.mapping_name)
        page = found[:size]
        return registry_pb2.ListMappingsResponse(
            mappings=map(mapping_convert.mapping_message, page),
            next_page_token=paging.encode_token([page[-1].id], request) if len(found) > size else "",
        )

    async def UpdateMapping(self, request: registry_pb2.UpdateMappingRequest, context: Any) -> registry_pb2.Mapping:
        """Change a mapping once what it becomes fits its target."""
        changes = mapping_convert.mapping_changes(request)
        proposed = applied(await self._mappings.get(request.mapping.id), changes)
        if {"mapping_config", "target_table"} & changes.keys() and not request.skip_target_validation:
            await self._mapper.require_fit(proposed)
        mapping = await self._mappings.update(request.mapping.id, changes, _actor(), checked=proposed)
        return mapping_convert.mapping_message(mapping)

    async def DeleteMapping(self, request: registry_pb2.DeleteMappingRequest, context: Any) -> Empty:
        """Delete a mapping."""
        await self._mappings.delete(request.id, _actor())
        return Empty()

    async def CreateGrant(self, request: registry_pb2.CreateGrantRequest, context: Any) -> registry_pb2.Grant:
        """Grant a module access to a system."""
        return grant_convert.grant_message(await self._grants.create(grant_convert.new_grant(request), _actor()))

    async def GetGrant(self, request: registry_pb2.GetGrantRequest, context: Any) -> registry_pb2.Grant:
        """Get a grant by its id."""
        return grant_convert.grant_message(await self._grants.get(request.id))

    async def ListGrants(
        self, request: registry_pb2.ListGrantsRequest, context: Any
    ) -> registry_pb2.ListGrantsResponse:
        """List grants by id."""
        size = paging.page_size(request.page_size)
        after = _after(request.page_token, request)
        found = await self._grants.page(after, size + 1, system=request.system, module=request.module_name)
        page = found[:size]
        return registry_pb2.ListGrantsResponse(
            grants=map(grant_convert.grant_message, page),
            next_page_token=paging.encode_token([page[-1].id], request) if len(found) > size else "",
        )

    async def UpdateGrant(self, request: registry_pb2.UpdateGrantRequest, context: Any) -> registry_pb2.Grant:
        """Change a grant."""
        changes = grant_convert.grant_changes(request)
        return grant_convert.grant_message(await self._grants.update(request.grant.id, changes, _actor()))

    async def DeleteGrant(self, request: registry_pb2.DeleteGrantRequest, context: Any) -> Empty:
        """Take a grant away."""
        await self._grants.delete(request.id, _actor())
        return Empty()

    async def ListModuleSystems(
        self, request: registry_pb2.ListModuleSystemsRequest, context: Any
    ) -> registry_pb2.ListModuleSystemsResponse:
        """List the active systems that a module may use."""
        access.require_own(request.module)
        systems = await self._grants.systems_of(request.module)
        return registry_pb2.ListModuleSystemsResponse(
            module=request.module, systems=map(system_convert.module_system_message, systems)
        )

    async def CheckAccess(
        self, request: registry_pb2.CheckAccessRequest, context: Any
    ) -> registry_pb2.CheckAccessResponse:
        """Say whether a module may use a system."""
        access.require_own(request.module)
        asked = grant_convert.asked_access(request)
        grant = await self._grants.active_grant(request.module, request.system)
        return grant_convert.access_response(grant, asked)
