"""Whether the gateway lives (`/healthz`), and whether it can take deliveries (`/readyz`)."""

import asyncio
import time

import grpc
import orjson
from grpc_health.v1 import health_pb2, health_pb2_grpc

from intertie_chassis.errors import Unavailable
from intertie_gateway.asgi import Answer
from intertie_gateway.backends import Backends
from intertie_gateway.problems import answer_of

_DEADLINE = 1.0
_REMEMBERED_SECONDS = 0.5
_ALIVE = Answer(200, orjson.dumps({"status": "ok"}))
_SERVING = "serving"
_NEEDED = frozenset({"ingest"})
"""With ingest alone deliveries are taken: a balancer must not turn senders away because another part is away."""


class Health:
    """Answers the two routes of health, which need no token."""

    def __init__(self, backends: Backends) -> None:
        self._backends = backends
        self._asked: asyncio.Task[dict[str, str]] | None = None
        self._asked_at = 0.0

    async def alive(self) -> Answer:
        """Always 200: that it is sent says it all."""
        return _ALIVE

    async def ready(self) -> Answer:
        """200 when every service says that it serves, and `degraded` when all do that receiving needs; else 503 in the
        shape of errors, whose metadata names those that do not, each with how it stands.
        """
        states = await self._states()
        missing = {name: state for name, state in states.items() if state != _SERVING}
        if not missing.keys() & _NEEDED:
            return Answer(200, orjson.dumps({"status": "degraded" if missing else "ready", "services": states}))
        named = ", ".join(f"{name} ({state})" for name, state in missing.items())
        return answer_of(Unavailable(f"not ready: {named}", metadata=missing, retry_after=1))

    async def _states(self) -> dict[str, str]:
        """How each service stands; asked twice a second at most, however many want to know."""
        now = time.monotonic()
        if self._asked is None or (self._asked.done() and now - self._asked_at > _REMEMBERED_SECONDS):
            self._asked_at = now
            self._asked = asyncio.get_running_loop().create_task(self._ask())
        return await asyncio.shield(self._asked)

    async def _ask(self) -> dict[str, str]:
        names = list(self._backends.channels)
        states = await asyncio.gather(*(_state(self._backends.channels[name]) for name in names))
        return dict(zip(names, states, strict=True))


async def _state(channel: grpc.aio.Channel) -> str:
    try:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=_DEADLINE)
    except grpc.aio.AioRpcError as error:
        return "does not answer" if error.code() is not grpc.StatusCode.UNIMPLEMENTED else "has no health"
    return _SERVING if answer.status == health_pb2.HealthCheckResponse.SERVING else "not serving"
