"""Everybody who may call a running suite over gRPC: by role, and those whose token is none."""

import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, Self

import grpc

from access_tables import SERVICES
from intertie_chassis.errors import from_rpc_error
from intertie_chassis.keys import KeyRing
from suite import Suite

PROCESSES = [name for name in SERVICES if name != "gateway"]
#: who is nobody: no token, rubbish, one that has ended, one of another installation
NOBODY = ("", "rubbish", "ended", "foreign")


class Callers:
    """Calls methods of the suite's processes with bytes, as anybody; channels are open within the context."""

    def __init__(self, suite: Suite) -> None:
        self._keys = KeyRing(suite.data)
        self._tokens = {"rubbish": "rubbish", "ended": self._keys.mint("admin", days=-1), "foreign": _foreign_token()}
        self._addresses = {name: suite.env[f"INTERTIE_{name.upper()}_ADDRESS"] for name in PROCESSES}
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def headers(self, caller: str) -> dict[str, str]:
        """What the caller (a role, or one of NOBODY) sends to say who it is."""
        if caller and caller not in self._tokens:
            self._tokens[caller] = self._keys.mint(caller)
        return {"authorization": f"Bearer {self._tokens[caller]}"} if caller else {}

    async def answer(
        self, process: str, path: str, caller: str, message: bytes, claims: Sequence[tuple[str, str]] = ()
    ) -> tuple[str, bytes]:
        """The reason with which the call is refused and nothing, or `OK` and the answer, of a stream the first one.

        `claims` is metadata that says more of the caller than its token does.
        """
        method: Any = self._channel(process).unary_stream(path)
        call = method(message, metadata=(*self.headers(caller).items(), *claims), timeout=10)
        try:
            answer = await call.read()
        except grpc.aio.AioRpcError as error:
            return from_rpc_error(error).reason, b""
        finally:
            call.cancel()
        return "OK", b"" if answer is grpc.aio.EOF else answer

    async def outcome(self, process: str, path: str, caller: str, message: bytes) -> str:
        """The reason with which the call is refused, or `OK`."""
        return (await self.answer(process, path, caller, message))[0]

    def _channel(self, process: str) -> grpc.aio.Channel:
        if process not in self._channels:
            self._channels[process] = grpc.aio.insecure_channel(self._addresses[process])
            self._stack.push_async_callback(self._channels[process].close)
        return self._channels[process]


def _foreign_token() -> str:
    """An admin's, of an installation that this one knows nothing of."""
    with tempfile.TemporaryDirectory() as directory:
        keys = KeyRing(directory)
        keys.ensure()
        return keys.mint("admin")
