"""The two receiving routes, `/webhook/{system}` and `/push`: raw bytes in, one result out.

The hot path. It parses nothing of the body: ingest verifies signatures over these very bytes.
"""

import re
import time
from ipaddress import ip_address
from typing import Any
from urllib.parse import unquote_plus

import orjson
from google.protobuf.timestamp_pb2 import Timestamp

from intertie.ingest.v1 import ingest_pb2
from intertie_chassis.errors import IntertieError, InvalidArgument, from_status
from intertie_gateway.asgi import Answer, Receive, Scope
from intertie_gateway.coalescer import Coalescer
from intertie_gateway.custom_answers import custom_answer
from intertie_gateway.delivery_headers import DeliveryHeaders
from intertie_gateway.head import Head, MediaTypes
from intertie_gateway.limits import Held, read_body
from intertie_gateway.path_segments import decode_segment
from intertie_gateway.problems import MethodNotAllowed, answer_of

PREFIX = b"/api/v1/integrations"
WEBHOOK = PREFIX + b"/webhook/"
PUSH = PREFIX + b"/push"

_PLAIN_SYSTEM = re.compile(rb"[A-Za-z0-9_-]{1,100}")
_LONGEST_SYSTEM = 100
_REMEMBERED_PEERS_MOST = 4096


class Receiver:
    """Takes deliveries and answers once ingest has stored or refused them."""

    def __init__(
        self,
        coalescer: Coalescer[ingest_pb2.AcceptResult],
        *,
        most_bytes: int,
        held: Held,
        believes_proxies: bool = False,
    ) -> None:
        """Args:
        believes_proxies: whether an address that the server took from a proxy's header may be a local one. Not where
            every peer is trusted as a proxy: then whoever calls could say so.
        """
        self._coalescer = coalescer
        self._most_bytes = most_bytes
        self._held = held
        self._headers = DeliveryHeaders()
        self._webhook_types = MediaTypes(form=True)
        self._push_types = MediaTypes(form=False)
        self._loopback: dict[str, bool] = {}
        self._believes_proxies = believes_proxies

    async def webhook(self, segment: bytes, scope: Scope, head: Head, receive: Receive) -> Answer:
        """Answers a webhook of the system that the path's last segment names."""
        if scope["method"] != "POST":
            raise MethodNotAllowed(("POST",))
        if _PLAIN_SYSTEM.fullmatch(segment):
            system = segment.decode("ascii")
        else:
            system = decode_segment(segment, "system", _LONGEST_SYSTEM)
        query: bytes = scope["query_string"]
        if query and _names_system(query):
            raise InvalidArgument(
                "the path names the system, so the query must not", violations=[("system", "is also in the query")]
            )
        self._webhook_types.check(head)
        result = await self._deliver(ingest_pb2.ROUTE_WEBHOOK, system, scope, head, receive)
        if isinstance(result, IntertieError):
            return answer_of(result)
        if isinstance(result, ingest_pb2.CustomResponse):
            return custom_answer(result)
        if result.HasField("custom_response"):
            return custom_answer(result.custom_response)
        return _received(result)

    async def push(self, scope: Scope, head: Head, receive: Receive) -> Answer:
        """Answers a push, whose body names system and mapping."""
        if scope["method"] != "POST":
            raise MethodNotAllowed(("POST",))
        self._push_types.check(head)
        result = await self._deliver(ingest_pb2.ROUTE_PUSH, "", scope, head, receive)
        if isinstance(result, IntertieError):
            return answer_of(result)
        if isinstance(result, ingest_pb2.CustomResponse):
            return custom_answer(result)
        return _pushed(result)

    async def _deliver(
        self, route: ingest_pb2.Route.ValueType, system: str, scope: Scope, head: Head, receive: Receive
    ) -> ingest_pb2.Acceptance | ingest_pb2.CustomResponse | IntertieError:
        head.check_length(self._most_bytes)
        push = route == ingest_pb2.ROUTE_PUSH
        headers, proxied = self._headers.choose(scope["headers"], push=push)
        body = await read_body(receive, self._most_bytes, self._held)
        if push and not body:
            raise InvalidArgument("the body is empty; send a JSON object", reason="INVALID_JSON")
        now = time.time_ns()
        delivery = ingest_pb2.RawDelivery(
            route=route,
            system=system,
            body=body,
            headers=headers,
            peer=self._peer(scope, proxied),
            received_at=Timestamp(seconds=now // 1_000_000_000, nanos=now % 1_000_000_000),
            request_id=head.request_id,
        )
        if head.trace is not None and head.trace.is_sampled:
            delivery.traceparent = head.trace.traceparent
        # Which system a push is of stands in its body; all of them are one lane.
        result = await self._coalescer.deliver(delivery.SerializeToString(), system or "/push")
        if isinstance(result, IntertieError):
            return result
        outcome = result.WhichOneof("outcome")
        if outcome == "acceptance":
            return result.acceptance
        return result.handshake if outcome == "handshake" else from_status(result.error)

    def _peer(self, scope: Scope, proxied: bool) -> str:
        """The peer's address. Empty when a proxy on this machine stands in between and is not a trusted one: its
        clients must not pass for local ones, whom ``push_auth: none`` lets in.
        """
        client = scope["client"]
        address: str = client[0] if client else ""
        # uvicorn gives the address that a trusted proxy named the port 0.
        if not proxied or (self._believes_proxies and client and client[1] == 0):
            return address
        loopback = self._loopback.get(address)
        if loopback is None:
            loopback = _is_loopback(address)
            if len(self._loopback) < _REMEMBERED_PEERS_MOST:
                self._loopback[address] = loopback
        return "" if loopback else address


def _received(acceptance: ingest_pb2.Acceptance) -> Answer:
    answer: dict[str, Any] = {"status": "received", "system": acceptance.system}
    _say_what(answer, acceptance)
    answer["delivery_id"] = acceptance.delivery_id
    answer["duplicate"] = acceptance.duplicate
    return Answer(202, orjson.dumps(answer))


def _pushed(acceptance: ingest_pb2.Acceptance) -> Answer:
    answer: dict[str, Any] = {"status": "success", "system": acceptance.system, "mapping": acceptance.mapping}
    _say_what(answer, acceptance)
    answer["message"] = (
        "this delivery was stored before; nothing was added" if acceptance.duplicate else "stored; it is mapped next"
    )
    answer["delivery_id"] = acceptance.delivery_id
    answer["duplicate"] = acceptance.duplicate
    return Answer(202, orjson.dumps(answer))


def _say_what(answer: dict[str, Any], acceptance: ingest_pb2.Acceptance) -> None:
    """An array's records are counted, a single one is named; null when it has no name (nothing wanted it, say)."""
    if acceptance.is_array:
        answer["records"] = acceptance.record_count
    else:
        answer["external_id"] = acceptance.external_ids[0] if acceptance.external_ids else None


def _names_system(query: bytes) -> bool:
    """Whether a parameter ``system`` is in the query, however it is escaped."""
    names = (part.split("=", 1)[0] for part in query.decode("latin-1").replace(";", "&").split("&"))
    return any(unquote_plus(name).strip() == "system" for name in names)


def _is_loopback(address: str) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_loopback
