"""Requests that the gateway itself refuses, since they bear no token: handed to audit like the services' refusals.

Those with a token reach a service, which decides, and tells audit itself.
"""

import asyncio
import contextlib
from collections.abc import Sequence

import grpc

from intertie.audit.v1 import audit_pb2, audit_pb2_grpc
from intertie_chassis.background import keep_running
from intertie_chassis.clients import Channel
from intertie_chassis.denials import Denial, Denials, tell, tell_last
from intertie_chassis.errors import Unauthenticated
from intertie_chassis.tokens import TokenSource

_UNAUTHENTICATED = 401
_SECONDS = 5.0


class DenialLog:
    """Gathers them, and tells audit."""

    def __init__(self, audit: grpc.aio.Channel, token: TokenSource | None) -> None:
        """Args:
        token: the gateway's own; None when the channel has its certificate.
        """
        self._denials = Denials()
        self._audit = audit_pb2_grpc.AuditServiceStub(Channel(audit, token, _SECONDS))
        self._telling: asyncio.Task[None] | None = None

    def add(self, method: str, error: Unauthenticated, peer: str, request_id: str) -> None:
        """Counts a refusal of the client at the address `peer`."""
        self._denials.add(method, None, error.reason, _UNAUTHENTICATED, peer, request_id)

    def start(self) -> None:
        """Begins to tell audit."""
        self._telling = asyncio.create_task(keep_running("denials", lambda: tell(self._denials, self._hand)))

    async def stop(self) -> None:
        """Ends it, and tells of the last ones while audit answers."""
        if self._telling is not None:
            self._telling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._telling
        await tell_last(self._denials, self._hand)

    async def _hand(self, denials: Sequence[Denial]) -> None:
        await self._audit.AppendEntries(_request(denials))


def _request(denials: Sequence[Denial]) -> audit_pb2.AppendEntriesRequest:
    request = audit_pb2.AppendEntriesRequest()
    for denial in denials:
        request.entries.add(**denial.fields).created_at.FromDatetime(denial.first_at)
    return request
