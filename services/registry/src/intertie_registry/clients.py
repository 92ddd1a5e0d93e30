"""What the registry asks of other services: mapper whether a mapping fits, audit to keep an entry."""

from intertie.audit.v1 import audit_pb2_grpc
from intertie.mapper.v1 import mapper_pb2, mapper_pb2_grpc
from intertie_chassis.clients import Channel
from intertie_chassis.errors import DeadlineExceeded, NotFound, ResourceExhausted, Unavailable, Unimplemented
from intertie_registry import audit_convert
from intertie_registry.errors import InvalidMapping, TargetUnreachable
from intertie_registry.model import Mapping

_AUDIT_SECONDS = 10.0


class Mapper:
    """Mapper, as far as the registry needs it."""

    def __init__(self, channel: Channel) -> None:
        self._stub = mapper_pb2_grpc.MapperServiceStub(channel)

    async def require_fit(self, mapping: Mapping) -> None:
        """Raises InvalidMapping with every problem, TargetUnreachable when mapper cannot be asked."""
        request = mapper_pb2.ValidateMappingRequest(
            target_table=mapping.target_table, mapping_config=mapping.mapping_config.encode()
        )
        try:
            answer = await self._stub.ValidateMapping(request)
        except (Unavailable, DeadlineExceeded, ResourceExhausted, Unimplemented) as error:
            raise TargetUnreachable(retry_after=error.retry_after or 1) from error
        except NotFound as error:
            raise InvalidMapping(
                f"the mapping does not fit its target: {error.message}",
                violations=[("mapping.target_table", error.message)],
            ) from error
        if answer.problems:
            texts = [
                f"{problem.field}: {problem.message}" if problem.field else problem.message
                for problem in answer.problems
            ]
            raise InvalidMapping(
                "the mapping does not fit its target: " + "; ".join(texts[:3]) + _more(len(texts) - 3),
                metadata={"target_table": mapping.target_table},
                violations=[(problem.field, problem.message) for problem in answer.problems],
            )


class Audit:
    """Audit, as far as the registry needs it."""

    def __init__(self, channel: Channel) -> None:
        self._stub = audit_pb2_grpc.AuditServiceStub(channel)

    async def append(self, payload: bytes) -> None:
        """Hand over one row of the outbox. Raises IntertieError when audit does not have it for good."""
        await self._stub.AppendEntries(audit_convert.request(payload), timeout=_AUDIT_SECONDS)


def _more(count: int) -> str:
    return f"; and {count} more" if count > 0 else ""
