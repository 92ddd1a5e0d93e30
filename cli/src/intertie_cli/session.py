"""What a command works with: the settings, a printer, and the services that it calls, over gRPC and with its token."""

from intertie.audit.v1 import audit_pb2_grpc
from intertie.ingest.v1 import ingest_pb2_grpc, query_pb2_grpc, sync_pb2_grpc
from intertie.mapper.v1 import mapper_pb2_grpc
from intertie.registry.v1 import check_pb2_grpc, registry_pb2_grpc, secrets_pb2_grpc
from intertie_chassis import clients
from intertie_chassis.errors import StartupError
from intertie_chassis.identity import FileToken, FixedToken, KeyRing, TokenSource
from intertie_chassis.tls_files import TlsFiles
from intertie_cli.output import Printer
from intertie_cli.settings import CliSettings

_SECONDS = 30.0


class Session:
    """One run of one command."""

    def __init__(self, settings: CliSettings, printer: Printer) -> None:
        self.settings = settings
        self.printer = printer
        self.called: list[str] = []
        """The services called so far, the last one last: who is meant when a call gets no answer."""
        self._channels: dict[str, clients.Channel] = {}

    @property
    def registry(self) -> registry_pb2_grpc.RegistryServiceStub:
        """Systems, connections, mappings, grants."""
        return registry_pb2_grpc.RegistryServiceStub(self.channel("registry"))

    @property
    def configuration(self) -> check_pb2_grpc.ConfigurationServiceStub:
        """What would come of a configuration."""
        return check_pb2_grpc.ConfigurationServiceStub(self.channel("registry"))

    @property
    def secrets(self) -> secrets_pb2_grpc.SecretsServiceStub:
        """How credentials are kept."""
        return secrets_pb2_grpc.SecretsServiceStub(self.channel("registry"))

    @property
    def ingest(self) -> ingest_pb2_grpc.IngestServiceStub:
        """Deliveries, rejections, cached records."""
        return ingest_pb2_grpc.IngestServiceStub(self.channel("ingest"))

    @property
    def mapper(self) -> mapper_pb2_grpc.MapperServiceStub:
        """Previews and checkpoints."""
        return mapper_pb2_grpc.MapperServiceStub(self.channel("mapper"))

    @property
    def audit(self) -> audit_pb2_grpc.AuditServiceStub:
        """The log."""
        return audit_pb2_grpc.AuditServiceStub(self.channel("audit"))

    @property
    def query(self) -> query_pb2_grpc.QueryServiceStub:
        """Questions to external systems."""
        return query_pb2_grpc.QueryServiceStub(self.channel("pull"))

    @property
    def sync(self) -> sync_pb2_grpc.SyncServiceStub:
        """Runs of syncs."""
        return sync_pb2_grpc.SyncServiceStub(self.channel("pull"))

    async def close(self) -> None:
        """Ends the connections."""
        for channel in self._channels.values():
            await channel.close()

    def channel(self, service: str) -> clients.Channel:
        """The connection to a service, for what has no stub above."""
        self.called.append(service)
        if service not in self._channels:
            address = self.settings.address_of(service)
            self._channels[service] = clients.connect(
                address,
                token_of(self.settings),
                default_timeout=_SECONDS,
                service=service,
                tls=TlsFiles.of(self.settings, "cli"),
            )
        return self._channels[service]


def token_of(settings: CliSettings) -> TokenSource:
    """The token of INTERTIE_TOKEN, else the data directory's admin token.

    Raises StartupError when there is neither; a command that only looks makes no keys.
    """
    if settings.token is not None:
        return FixedToken(settings.token.get_secret_value())
    path = KeyRing(settings.data_dir).admin_token_path
    if not path.exists():
        raise StartupError(
            f"there is no admin token in {settings.data_dir}; run this where `intertie up` runs, or name its data "
            "directory with --data-dir, or set INTERTIE_TOKEN"
        )
    return FileToken(path)
