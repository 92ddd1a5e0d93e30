"""Following registry's IdentityFeed: what is refused there is refused here, also where the keys are a copy."""

from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import structlog

from intertie.api.v1 import identity_pb2, identity_pb2_grpc
from intertie_chassis.clients import Channel
from intertie_chassis.durable_files import PRIVATE, write_whole
from intertie_chassis.following import follow
from intertie_chassis.identity import Verifier
from intertie_chassis.identity_feed import refused
from intertie_chassis.revocations import Revocations

_log = structlog.get_logger()
_SILENCE = 10.0


class IdentityFollower:
    """Hands what registry refuses to a verifier, and keeps it for a start while registry is away.

    It can only refuse: the keys that are believed come from files alone.
    """

    def __init__(self, registry: Channel, verifier: Verifier, kept_in: Path) -> None:
        """Args:
        kept_in: the file for what the verifier's own files do not say; made only when there is something.
        """
        self._stub = identity_pb2_grpc.IdentityFeedStub(registry)
        self._verifier = verifier
        self._kept_in = kept_in
        self._kept = Revocations()

    async def run(self) -> None:
        """Follows until cancelled. While registry is away, what it said last holds."""
        await follow(self._open, self._begin, what="identities", silence=_SILENCE)

    async def _open(self) -> AsyncGenerator[identity_pb2.WatchIdentityResponse, None]:
        answers = self._stub.WatchIdentity(identity_pb2.WatchIdentityRequest())
        try:
            async for message in answers:
                yield message
        finally:
            answers.cancel()

    def _begin(self) -> Callable[[identity_pb2.WatchIdentityResponse], None]:
        told = Revocations()

        def take(message: identity_pb2.WatchIdentityResponse) -> None:
            nonlocal told
            told = refused(message) if message.snapshot else told | refused(message)
            self._verifier.refuse(told)
            self._keep(told.lasting())

        return take

    def _keep(self, told: Revocations) -> None:
        if self._kept.covers(told) or self._verifier.own_revocations().covers(told):
            return
        try:
            self._kept_in.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(self._kept_in, told.text(), PRIVATE)
        except OSError as error:
            _log.warning(
                "what registry refuses is known until the next start only", path=str(self._kept_in), cause=str(error)
            )
        self._kept = told
