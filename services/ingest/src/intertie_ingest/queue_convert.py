"""RecordQueue's messages and the model: leases, settlements; requests are checked here."""

from intertie.ingest.v1 import queue_pb2
from intertie_ingest.field_convert import fill_time, invalid, is_id, number
from intertie_ingest.lease_model import Lease, Outcome, Settlement

_MOST_LEASED = 1000
_MOST_SECONDS = 600
_MOST_RETRY_SECONDS = 7 * 86_400
_MOST_WAIT = 30_000
_OUTCOMES = {
    queue_pb2.Settlement.OUTCOME_SYNCED: Outcome.SYNCED,
    queue_pb2.Settlement.OUTCOME_RETRY: Outcome.RETRY,
    queue_pb2.Settlement.OUTCOME_SET_ASIDE: Outcome.SET_ASIDE,
    queue_pb2.Settlement.OUTCOME_SUPERSEDED: Outcome.SUPERSEDED,
}


def most_records(request: queue_pb2.LeaseRecordsRequest) -> int:
    """How many records to lease. Raises InvalidArgument."""
    return number(request.max_records, "max_records", 200, _MOST_LEASED)


def lease_seconds(request: queue_pb2.LeaseRecordsRequest | queue_pb2.ExtendLeasesRequest) -> int:
    """How long a lease lasts. Raises InvalidArgument."""
    return number(request.lease_seconds, "lease_seconds", 60, _MOST_SECONDS)


def wait_seconds(request: queue_pb2.LeaseRecordsRequest) -> float:
    """How long to wait for records. Raises InvalidArgument."""
    return number(request.wait_milliseconds, "wait_milliseconds", 0, _MOST_WAIT) / 1000


def lease_token(request: queue_pb2.SettleRecordsRequest) -> str:
    """The lease that is settled. Raises InvalidArgument."""
    if not request.lease_token or not is_id(request.lease_token):
        raise invalid("lease_token", "must be the token of a lease")
    return request.lease_token


def lease_tokens(request: queue_pb2.ExtendLeasesRequest) -> list[str]:
    """The leases to extend. Raises InvalidArgument."""
    if not request.lease_tokens or len(request.lease_tokens) > _MOST_LEASED:
        raise invalid("lease_tokens", "must name 1 to 1000 leases")
    if not all(map(is_id, request.lease_tokens)):
        raise invalid("lease_tokens", "must be tokens of leases")
    return list(request.lease_tokens)


def announced_records(request: queue_pb2.AnnounceRecordsRequest) -> int:
    """How many records were made available. Raises InvalidArgument."""
    if request.records < 0:
        raise invalid("records", "must not be negative")
    return request.records


def lease_response(lease: Lease | None) -> queue_pb2.LeaseRecordsResponse:
    """The answer of a lease."""
    response = queue_pb2.LeaseRecordsResponse()
    if lease is None:
        return response
    response.lease_token = lease.token
    response.lease_seconds = lease.seconds
    fill_time(response.expires_at, lease.expires_at)
    for record in lease.records:
        response.records.add(
            id=record.id,
            system_id=record.system_id,
            mapping_id=record.mapping_id,
            external_id=record.external_id,
            revision=record.revision,
            data=record.data,
            version_key=record.version_key,
            delivery_id=record.delivery_id,
            digest=record.digest,
            attempts=record.attempts,
            traceparent=record.traceparent,
        )
    return response


def settlements(request: queue_pb2.SettleRecordsRequest) -> list[Settlement]:
    """What became of the records. Raises InvalidArgument."""
    if not request.settlements or len(request.settlements) > _MOST_LEASED:
        raise invalid("settlements", "must hold 1 to 1000 of them")
    return [_settlement(settlement) for settlement in request.settlements]


def _settlement(settlement: queue_pb2.Settlement) -> Settlement:
    outcome = _OUTCOMES.get(settlement.outcome)
    if outcome is None:
        raise invalid("settlements.outcome", "must be one of the outcomes")
    if settlement.untried and outcome is not Outcome.RETRY:
        raise invalid("settlements.untried", "goes with OUTCOME_RETRY alone")
    return Settlement(
        settlement.id,
        settlement.revision,
        outcome,
        settlement.local_key.decode() or None,
        settlement.local_id or None,
        number(settlement.retry_seconds, "settlements.retry_seconds", 0, _MOST_RETRY_SECONDS),
        settlement.reason,
        settlement.field,
        settlement.message,
        settlement.untried,
    )
