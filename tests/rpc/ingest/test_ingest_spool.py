"""Ingest with a spool while its database is away: it accepts, says that it is well, and stores all of it afterwards."""

from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from ingest_samples import INCIDENT, SECRET, raw
from intertie.ingest.v1 import ingest_pb2
from intertie_chassis import errors
from waiting import eventually


def webhook(body: object = INCIDENT, secret: str = SECRET) -> ingest_pb2.RawDelivery:
    headers = {"content-type": b"application/json", "x-webhook-secret": secret.encode()}
    return ingest_pb2.RawDelivery(
        route=ingest_pb2.ROUTE_WEBHOOK,
        system="law_enforcement",
        body=raw(body).body,
        headers=[ingest_pb2.Header(name=name, value=value) for name, value in headers.items()],
        peer="192.0.2.7",
        request_id="request-7",
    )


async def stored(rig: Any) -> list[str]:
    try:
        listed = await rig.ingest().ListDeliveries(ingest_pb2.ListDeliveriesRequest())
    except errors.Unavailable as error:
        raise AssertionError from error
    return [one.delivery_id for one in reversed(listed.deliveries)]


async def is_serving(rig: Any) -> bool:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{rig.port}") as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def test_webhooks_and_pushes_are_accepted_while_the_database_is_away(spooling: Any) -> None:
    """They are stored under the ids that were answered, then mapper and audit get what is theirs."""
    rig, passage = spooling
    await eventually(lambda: is_serving(rig))
    passage.shut()
    good, wrong = await rig.accept(webhook(), webhook(secret="wrong"))
    assert (good.WhichOneof("outcome"), wrong.WhichOneof("outcome")) == ("acceptance", "error")
    assert (list(good.acceptance.external_ids), good.acceptance.duplicate) == (["12345"], False)
    request = ingest_pb2.PushRequest(system="law_enforcement", mapping="incidents_to_events", data=b'{"id": 1}')
    pushed = (await rig.ingest("module:events").Push(request)).acceptance
    assert (pushed.mapping, list(pushed.external_ids)) == ("incidents_to_events", ["1"])
    with pytest.raises(errors.Unavailable):
        await rig.ingest().ListDeliveries(ingest_pb2.ListDeliveriesRequest())
    passage.open()
    accepted = [good.acceptance.delivery_id, pushed.delivery_id]

    async def has_arrived() -> bool:
        return await stored(rig) == accepted

    await eventually(has_arrived, timeout=30)
    leased = await rig.lease(wait_milliseconds=10_000)
    assert {record.external_id for record in leased.records} == {"12345", "1"}
    await eventually(lambda: set(accepted) <= rig.audit.entries.keys(), timeout=30)


async def test_it_says_that_it_serves_for_as_long_as_the_spool_takes_what_comes(spooling: Any) -> None:
    """A balancer must not turn away what can be kept. Looked at anew, not as it was before."""
    rig, passage = spooling
    await eventually(lambda: is_serving(rig))
    passage.shut()
    await rig.accept(webhook())
    health = rig.server._health
    await health.look()
    assert health.not_ready == {}
    assert await is_serving(rig)
    passage.open()
    assert await eventually(lambda: stored(rig), timeout=30)
