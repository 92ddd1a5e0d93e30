"""Groups of deliveries on their way to ingest: one AcceptDeliveries call each, as the gateway itself."""

import asyncio
import time
from collections.abc import Sequence

import grpc
import structlog

from intertie.ingest.v1 import ingest_pb2
from intertie_chassis.calls import REQUEST_ID_KEY
from intertie_chassis.errors import (
    DeadlineExceeded,
    IntertieError,
    InvalidArgument,
    ResourceExhausted,
    Unavailable,
)
from intertie_chassis.errors import Internal as InternalError
from intertie_chassis.ids import new_ulid
from intertie_chassis.tokens import TokenSource
from intertie_gateway.backends import error_of

_METHOD = "/intertie.ingest.v1.IngestService/AcceptDeliveries"
_FIELD_TAG = b"\x0a"
"""Field 1, length-delimited: `AcceptDeliveriesRequest.deliveries`."""


class Deliveries:
    """Sends serialised `RawDelivery` messages to ingest."""

    def __init__(
        self, channel: grpc.aio.Channel, token: TokenSource | None, *, deadline: float = 10.0, hold: float = 2.0
    ) -> None:
        """Args:
        token: the gateway's own; None when the channel has its certificate.
        deadline: seconds that one call may take, the hold included.
        hold: seconds to wait for a connection when there is none. So a restart of ingest costs its senders a
            moment, not a failed delivery; many of them never try again. (When ingest is there and its database is
            away, ingest says so at once, and nobody is held.)
        """
        self._channel = channel
        self._token = token
        self._deadline = deadline
        self._hold = hold
        self._log = structlog.get_logger()
        self._call = channel.unary_unary(
            _METHOD,
            request_serializer=_join,
            response_deserializer=ingest_pb2.AcceptDeliveriesResponse.FromString,
        )

    async def send(self, items: Sequence[bytes]) -> Sequence[ingest_pb2.AcceptResult]:
        """One result a delivery.

        Raises InvalidArgument or Internal when ingest could not take the group as it is, Unavailable or
        DeadlineExceeded when none of them is the fault of a delivery.
        """
        until = time.monotonic() + self._deadline
        await self._connected()
        metadata = [(REQUEST_ID_KEY, new_ulid())]
        if self._token is not None:
            metadata.append(("authorization", f"Bearer {self._token.token()}"))
        try:
            response = await self._call(items, metadata=metadata, timeout=until - time.monotonic())
        except grpc.aio.AioRpcError as failed:
            raise self._for_senders(error_of(failed), len(items)) from None
        return response.results

    async def _connected(self) -> None:
        if self._channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.READY:
            return
        try:
            await asyncio.wait_for(self._channel.channel_ready(), min(self._hold, self._deadline / 2))
        except TimeoutError:
            raise Unavailable("deliveries cannot be stored at the moment; try again", retry_after=2) from None

    def _for_senders(self, error: IntertieError, items: int) -> IntertieError:
        """A refusal of the whole call is between ingest and us: no sender may be told that *its* token is wrong."""
        self._log.warning("ingest refused a group", items=items, code=error.code.name, reason=error.reason)
        if isinstance(error, (Unavailable, DeadlineExceeded, InvalidArgument, InternalError)):
            return error
        if isinstance(error, ResourceExhausted):
            return Unavailable(error.message, reason=error.reason, retry_after=error.retry_after or 1)
        return Unavailable("deliveries cannot be stored at the moment; try again", retry_after=5)


def _join(items: Sequence[bytes]) -> bytes:
    """An AcceptDeliveriesRequest of deliveries that are serialised already: their bytes, each with tag and length.

    They were serialised when they arrived, so that the queue knows their sizes; parsing them again to build the
    message would double the cost.
    """
    parts: list[bytes] = []
    for item in items:
        parts.append(_FIELD_TAG + _varint(len(item)))
        parts.append(item)
    return b"".join(parts)


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
