"""IdentityFeed: tells the other services what is refused, wherever they run."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from intertie.api.v1 import identity_pb2, identity_pb2_grpc
from intertie_chassis.identity import Verifier
from intertie_chassis.revocations import Revocations

DESCRIPTOR = identity_pb2.DESCRIPTOR.services_by_name["IdentityFeed"]
add_to_server = identity_pb2_grpc.add_IdentityFeedServicer_to_server
_LOOK_SECONDS = 0.5
_SIGN_OF_LIFE = 3.0


class IdentityFeed(identity_pb2_grpc.IdentityFeedServicer):
    """Serves intertie.api.v1.IdentityFeed out of the file beside the keys of its process."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier

    async def WatchIdentity(  # noqa: N802
        self, request: identity_pb2.WatchIdentityRequest, context: Any
    ) -> AsyncIterator[identity_pb2.WatchIdentityResponse]:
        """Everything, then what is added. What ends by itself is not taken back: nobody believes it anyway."""
        told = self._verifier.local_revocations()
        yield response(told, snapshot=True)
        spoke_at = time.monotonic()
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            present = self._verifier.local_revocations()
            if not told.covers(present):
                yield response(present.beyond(told))
            elif time.monotonic() - spoke_at >= _SIGN_OF_LIFE:
                yield identity_pb2.WatchIdentityResponse()
            else:
                continue
            told, spoke_at = present, time.monotonic()


def response(refused: Revocations, *, snapshot: bool = False) -> identity_pb2.WatchIdentityResponse:
    """The refusals as the contract has them."""
    revocations = [
        identity_pb2.Revocation(token_id=token_id, expires_at=Timestamp(seconds=ends))
        for token_id, ends in refused.tokens.items()
    ]
    return identity_pb2.WatchIdentityResponse(
        snapshot=snapshot, revocations=revocations, withdrawn_key_ids=sorted(refused.keys)
    )


def refused(message: identity_pb2.WatchIdentityResponse) -> Revocations:
    """The refusals of a message."""
    tokens = {each.token_id: each.expires_at.seconds for each in message.revocations}
    return Revocations(tokens, frozenset(message.withdrawn_key_ids))
