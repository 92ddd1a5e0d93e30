"""Deliveries and pushes between the contract and the model, and what became of them."""

from collections.abc import Iterable

from intertie.ingest.v1 import ingest_pb2
from intertie_chassis.clock import utc_now
from intertie_chassis.errors import IntertieError, to_status
from intertie_chassis.traces import current, sampled
from intertie_ingest.answers import Answer
from intertie_ingest.delivery_keys import checked_key
from intertie_ingest.field_convert import invalid, moment
from intertie_ingest.model import Accepted, Greeting, RawDelivery, Route

_ROUTES = {ingest_pb2.ROUTE_WEBHOOK: Route.WEBHOOK, ingest_pb2.ROUTE_PUSH: Route.PUSH}


def raw_deliveries(request: ingest_pb2.AcceptDeliveriesRequest) -> list[RawDelivery]:
    """The deliveries of a request. Raises InvalidArgument when one does not say its route."""
    return [_raw_delivery(delivery) for delivery in request.deliveries]


def _raw_delivery(delivery: ingest_pb2.RawDelivery) -> RawDelivery:
    route = _ROUTES.get(delivery.route)
    if route is None:
        raise invalid("deliveries.route", "must be ROUTE_WEBHOOK or ROUTE_PUSH")
    headers: dict[str, list[bytes]] = {}
    for header in delivery.headers:
        name = header.name
        if name in headers:
            headers[name].append(header.value)
        else:
            headers[name] = [header.value]
    received_at = moment(delivery.received_at) if delivery.HasField("received_at") else utc_now()
    return RawDelivery(
        route,
        delivery.system,
        delivery.body,
        headers,
        delivery.peer,
        received_at,
        delivery.request_id,
        sampled(delivery.traceparent) if delivery.traceparent else "",
    )


def pushed_delivery(request: ingest_pb2.PushRequest, peer: str, request_id: str) -> RawDelivery:
    """A push over gRPC as a delivery."""
    headers = {"content-type": [b"application/json"]}
    trace = current()
    traceparent = trace.traceparent if trace is not None and trace.is_sampled else ""
    return RawDelivery(Route.PUSH, "", request.data, headers, peer, utc_now(), request_id, traceparent)


def idempotency_key(request: ingest_pb2.PushRequest) -> str | None:
    """The key of a push. Raises InvalidArgument."""
    return checked_key(request.idempotency_key, "idempotency_key")


def accept_response(
    results: Iterable[Accepted | Greeting | IntertieError],
) -> ingest_pb2.AcceptDeliveriesResponse:
    """The answer, a result a delivery."""
    response = ingest_pb2.AcceptDeliveriesResponse()
    for result in results:
        if isinstance(result, IntertieError):
            response.results.add().error.CopyFrom(to_status(result))
        elif isinstance(result, Greeting):
            _fill_answer(response.results.add().handshake, result.answer)
        else:
            _fill_acceptance(response.results.add().acceptance, result)
    return response


def push_response(accepted: Accepted) -> ingest_pb2.PushResponse:
    """The answer of a push."""
    response = ingest_pb2.PushResponse()
    _fill_acceptance(response.acceptance, accepted)
    return response


def _fill_acceptance(message: ingest_pb2.Acceptance, accepted: Accepted) -> None:
    message.delivery_id = accepted.delivery_id
    message.duplicate = accepted.is_duplicate
    message.system = accepted.delivery.system
    message.mapping = accepted.delivery.mapping
    message.external_ids.extend(accepted.external_ids)
    message.is_array = accepted.is_array
    message.record_count = len(accepted.external_ids)
    if accepted.delivery.response is not None:
        external_id = accepted.external_ids[0] if accepted.external_ids else None
        values = {"delivery_id": accepted.delivery_id, "external_id": external_id}
        _fill_answer(message.custom_response, accepted.delivery.response.filled(lambda name: values[name]))


def _fill_answer(message: ingest_pb2.CustomResponse, answer: Answer) -> None:
    message.status = answer.status
    message.content_type = answer.content_type
    message.body = answer.body
