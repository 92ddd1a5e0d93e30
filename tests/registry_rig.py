"""The registry as its callers meet it: a real server on a database, real tokens, and neighbours that can be away."""

import contextlib
from pathlib import Path
from typing import Any

import processes
from intertie.audit.v1 import audit_pb2, audit_pb2_grpc
from intertie.mapper.v1 import mapper_pb2, mapper_pb2_grpc
from intertie.registry.v1 import check_pb2_grpc, feed_pb2, feed_pb2_grpc, registry_pb2_grpc, secrets_pb2_grpc
from intertie_chassis import clients
from intertie_chassis.errors import IntertieError
from intertie_chassis.identity import FixedToken, KeyRing, MintedToken, Verifier
from intertie_chassis.server import Server
from intertie_registry.assembly import compose
from intertie_registry.settings import RegistrySettings


class Mapper(mapper_pb2_grpc.MapperServiceServicer):
    """A mapper that finds fault with the table `bad`."""

    async def ValidateMapping(  # noqa: N802
        self, request: mapper_pb2.ValidateMappingRequest, context: Any
    ) -> mapper_pb2.ValidateMappingResponse:
        """Two problems, or none."""
        names = ("event_name", "starts_at") if request.target_table == "bad" else ()
        problems = [mapper_pb2.MappingProblem(field=name, message="needs a value") for name in names]
        return mapper_pb2.ValidateMappingResponse(problems=problems)


class Audit(audit_pb2_grpc.AuditServiceServicer):
    """An audit that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.identities: dict[str, audit_pb2.Entry] = {}
        """What commands did to tokens and keys, by entry id."""

    async def AppendEntries(  # noqa: N802
        self, request: audit_pb2.AppendEntriesRequest, context: Any
    ) -> audit_pb2.AppendEntriesResponse:
        """Take everything."""
        for entry in request.entries:
            if entry.actor == "command":
                self.identities[entry.entry_id] = entry
            else:
                self.told.append(f"{entry.actor}: {entry.query_string}")
        return audit_pb2.AppendEntriesResponse(appended=len(request.entries))


# The other methods are not asked.
for servicer in (Mapper, Audit):
    servicer.__abstractmethods__ = frozenset()


class Installation:
    """A registry on a database, with whom it calls; stubs for each role."""

    def __init__(self, directory: Path, database_url: str) -> None:
        addresses = {
            f"{service}_{what}": address
            for service in ("registry", "mapper", "audit")
            for address in [f"127.0.0.1:{processes.free_port()}"]
            for what in ("listen", "address")
        }
        self.settings = RegistrySettings.model_validate(
            {"data_dir": directory, "registry_database_url": database_url, "drain_seconds": 1, **addresses}
        )
        self.keys = KeyRing(directory)
        self.keys.ensure()
        self.audit = Audit()  # type: ignore[abstract]
        self._servers: dict[str, Server] = {}
        self._channels: dict[str, clients.Channel] = {}

    async def start(self) -> None:
        """Start the registry on its tables."""
        self._servers["registry"] = await compose(self.settings)
        await self._servers["registry"].start()

    async def start_neighbours(self) -> None:
        """Start mapper and audit, unless they run."""
        for name, servicer, add, contract in (
            ("mapper", Mapper(), mapper_pb2_grpc.add_MapperServiceServicer_to_server, mapper_pb2),  # type: ignore[abstract]
            ("audit", self.audit, audit_pb2_grpc.add_AuditServiceServicer_to_server, audit_pb2),
        ):
            if name in self._servers:
                continue
            listen = getattr(self.settings, f"{name}_listen")
            server = Server(name, listen, Verifier(self.keys.jwks_path), drain_seconds=1)
            server.add(add, servicer, contract.DESCRIPTOR.services_by_name[f"{name.capitalize()}Service"])
            await server.start()
            self._servers[name] = server

    async def stop(self, name: str) -> None:
        """Stop one server."""
        await self._servers.pop(name).stop()

    def channel(self, role: str) -> clients.Channel:
        """The registry as a caller of this role meets it; an empty role sends rubbish for a token."""
        if role not in self._channels:
            token = MintedToken(self.keys, role) if role else FixedToken("rubbish")
            self._channels[role] = clients.connect(self.settings.registry_address, token)
        return self._channels[role]

    def stub(self, role: str = "admin") -> registry_pb2_grpc.RegistryServiceStub:
        """RegistryService for a role."""
        return registry_pb2_grpc.RegistryServiceStub(self.channel(role))

    def configuration(self, role: str = "admin") -> check_pb2_grpc.ConfigurationServiceStub:
        """ConfigurationService for a role."""
        return check_pb2_grpc.ConfigurationServiceStub(self.channel(role))

    def secrets(self, role: str = "admin") -> secrets_pb2_grpc.SecretsServiceStub:
        """SecretsService for a role."""
        return secrets_pb2_grpc.SecretsServiceStub(self.channel(role))

    def feed(self, role: str = "service:pull") -> feed_pb2_grpc.RegistryFeedStub:
        """RegistryFeed for a role."""
        return feed_pb2_grpc.RegistryFeedStub(self.channel(role))

    def watch(self, role: str = "service:ingest") -> clients.Answers:
        """The feed, from its beginning."""
        answers: Any = self.feed(role).WatchConfiguration(feed_pb2.WatchConfigurationRequest())
        return answers  # type: ignore[no-any-return]

    async def answers(self) -> bool:
        """Whether the registry is there and has its image."""
        with contextlib.suppress(IntertieError):
            async with contextlib.aclosing(self.watch()) as feed:
                await anext(feed)
                return True
        return False

    async def close(self) -> None:
        """End all."""
        for channel in self._channels.values():
            await channel.close()
        for name in list(self._servers):
            await self.stop(name)
