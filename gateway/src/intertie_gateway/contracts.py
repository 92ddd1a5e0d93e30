"""The services that HTTP reaches, the process that answers for each, and their routes as the contracts declare them."""

from collections.abc import Iterator
from dataclasses import dataclass

from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor

from intertie.api.v1 import options_pb2
from intertie.audit.v1 import audit_pb2
from intertie.ingest.v1 import ingest_pb2, query_pb2, sync_pb2
from intertie.mapper.v1 import mapper_pb2
from intertie.registry.v1 import registry_pb2, secrets_pb2

FILES: dict[str, tuple[FileDescriptor, ...]] = {
    "registry": (registry_pb2.DESCRIPTOR, secrets_pb2.DESCRIPTOR),
    "ingest": (ingest_pb2.DESCRIPTOR,),
    "mapper": (mapper_pb2.DESCRIPTOR,),
    "audit": (audit_pb2.DESCRIPTOR,),
    "pull": (query_pb2.DESCRIPTOR, sync_pb2.DESCRIPTOR),
}
"""The contracts with services for callers outside, by the backend that serves them."""


@dataclass(frozen=True, slots=True)
class Route:
    """One way in which HTTP reaches a method."""

    backend: str
    method: MethodDescriptor
    verb: str
    """The HTTP method."""
    template: str
    body: str
    """The field that the body is; ``*`` for the whole request, empty for none."""

    @property
    def longest_seconds(self) -> int:
        """How long the method may take although others may not; 0: no longer than any."""
        return int(self.method.GetOptions().Extensions[options_pb2.longest_seconds])


def routes() -> Iterator[Route]:
    """Every route of every annotated method. Raises TypeError for one that streams: no transcoder can serve it."""
    for backend, files in FILES.items():
        for file in files:
            for service in file.services_by_name.values():
                for method in service.methods:
                    yield from routes_of(backend, method)


def routes_of(backend: str, method: MethodDescriptor) -> Iterator[Route]:
    """The routes of one method, whose contract may also be one that a server told; none when it is not annotated.

    Raises TypeError for one that streams.
    """
    if not method.GetOptions().HasExtension(annotations_pb2.http):
        return
    if method.client_streaming or method.server_streaming:
        raise TypeError(f"{method.full_name} streams, so it cannot have an HTTP route")
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    for binding in (rule, *rule.additional_bindings):
        verb, template = _pattern(binding)
        yield Route(backend, method, verb, template, binding.body)


def _pattern(rule: http_pb2.HttpRule) -> tuple[str, str]:
    kind = rule.WhichOneof("pattern")
    if kind is None:
        raise TypeError("an HTTP rule names no path")
    if kind == "custom":
        return rule.custom.kind.upper(), rule.custom.path
    template: str = getattr(rule, kind)
    return kind.upper(), template
