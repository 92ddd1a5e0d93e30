"""One call of one method, ready to be sent: built here for each method that a module may call. Pure."""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from intertie.ingest.v1 import ingest_pb2, query_pb2, sync_pb2
from intertie.mapper.v1 import mapper_pb2
from intertie.registry.v1 import registry_pb2
from intertie_client import documents, statements

A = TypeVar("A", bound=Message)

INGEST, QUERY = "intertie.ingest.v1.IngestService", "intertie.ingest.v1.QueryService"
SYNC, MAPPER = "intertie.ingest.v1.SyncService", "intertie.mapper.v1.MapperService"
REGISTRY = "intertie.registry.v1.RegistryService"


@dataclass(frozen=True, slots=True)
class Operation(Generic[A]):
    """A call."""

    process: str
    """Who answers it: registry, ingest, pull or mapper."""
    path: str
    """The method, as gRPC names it."""
    request: Message
    answer: type[A]
    is_repeatable: bool
    """Whether doing it twice is as good as once. What is not repeatable is sent once at most."""
    is_stream: bool = False
    """Whether there are many answers."""


def push(system: str, mapping: str, data: bytes, key: str) -> Operation[ingest_pb2.PushResponse]:
    """A push of one record, or an array of them. With its key a second one is a duplicate."""
    request = ingest_pb2.PushRequest(system=system, mapping=mapping, data=data, idempotency_key=key)
    return Operation("ingest", f"/{INGEST}/Push", request, ingest_pb2.PushResponse, is_repeatable=True)


def read_cache(
    system: str, mapping: str, external_id: str, page_size: int, page_token: str
) -> Operation[ingest_pb2.ReadCacheResponse]:
    """A page of the cache."""
    request = ingest_pb2.ReadCacheRequest(
        system=system, mapping=mapping, external_id=external_id, page_size=page_size, page_token=page_token
    )
    return Operation("ingest", f"/{INGEST}/ReadCache", request, ingest_pb2.ReadCacheResponse, is_repeatable=True)


def database_query(
    system: str, query: str, params: Any, module: str, connection_id: int, max_rows: int
) -> query_pb2.QueryDatabaseRequest:
    """A question to an external database. Raises InvalidArgument for parameters that are no JSON."""
    return query_pb2.QueryDatabaseRequest(
        system=system,
        query=query,
        params=documents.write_optional(params),
        module=module,
        connection_id=connection_id,
        max_rows=max_rows,
    )


def query_database(question: query_pb2.QueryDatabaseRequest) -> Operation[query_pb2.QueryDatabaseResponse]:
    """One statement and its whole answer; repeated only where it reads."""
    is_read = statements.is_read(question.query)
    return Operation(
        "pull", f"/{QUERY}/QueryDatabase", question, query_pb2.QueryDatabaseResponse, is_repeatable=is_read
    )


def stream_database(question: query_pb2.QueryDatabaseRequest) -> Operation[query_pb2.StreamDatabaseResponse]:
    """One statement and its rows in parts; repeated only where it reads, and only before its first part."""
    return Operation(
        "pull",
        f"/{QUERY}/StreamDatabase",
        query_pb2.StreamDatabaseRequest(query=question),
        query_pb2.StreamDatabaseResponse,
        is_repeatable=statements.is_read(question.query),
        is_stream=True,
    )


def query_api(
    system: str, endpoint: str, method: str, data: Any, module: str, connection_id: int
) -> Operation[query_pb2.QueryApiResponse]:
    """A call of an external API; repeated only where it says that it reads.

    Raises InvalidArgument for what is no JSON.
    """
    request = query_pb2.QueryApiRequest(
        system=system,
        endpoint=endpoint,
        method=method,
        data=documents.write_optional(data),
        module=module,
        connection_id=connection_id,
    )
    is_read = (method or "GET").upper() in ("GET", "HEAD")
    return Operation("pull", f"/{QUERY}/QueryApi", request, query_pb2.QueryApiResponse, is_repeatable=is_read)


def start_sync(
    system: str, mapping: str, mode: str, range_from: str, range_to: str
) -> Operation[sync_pb2.RunSyncResponse]:
    """A run, answered at once. Not repeated: when the first one has ended meanwhile, a second would begin."""
    request = sync_pb2.RunSyncRequest(
        system=system, mapping=mapping, mode=mode, range_from=range_from, range_to=range_to, no_wait=True
    )
    return Operation("pull", f"/{SYNC}/RunSync", request, sync_pb2.RunSyncResponse, is_repeatable=False)


def get_run(run_id: str) -> Operation[sync_pb2.SyncRun]:
    """A run as it is."""
    request = sync_pb2.GetRunRequest(run_id=run_id)
    return Operation("pull", f"/{SYNC}/GetRun", request, sync_pb2.SyncRun, is_repeatable=True)


def record_checkpoint(
    target_table: str, target_id: int, system: str, status: str, sent: Any, received: Any, error: str
) -> Operation[mapper_pb2.Checkpoint]:
    """A state of an exchange. A second time it is the same state; only `attempts` counts both."""
    request = mapper_pb2.RecordCheckpointRequest(
        target_table=target_table,
        target_id=target_id,
        system=system,
        integration_status=status,
        sent_data=documents.write_optional(sent),
        received_data=documents.write_optional(received),
        error_message=error,
    )
    return Operation("mapper", f"/{MAPPER}/RecordCheckpoint", request, mapper_pb2.Checkpoint, is_repeatable=True)


def list_systems(module: str) -> Operation[registry_pb2.ListModuleSystemsResponse]:
    """The systems that the module may use."""
    request, answer = registry_pb2.ListModuleSystemsRequest(module=module), registry_pb2.ListModuleSystemsResponse
    return Operation("registry", f"/{REGISTRY}/ListModuleSystems", request, answer, is_repeatable=True)


def check_access(module: str, system: str, access: str) -> Operation[registry_pb2.CheckAccessResponse]:
    """Whether the module may use a system in a way."""
    request = registry_pb2.CheckAccessRequest(module=module, system=system, access=access)
    return Operation(
        "registry", f"/{REGISTRY}/CheckAccess", request, registry_pb2.CheckAccessResponse, is_repeatable=True
    )
