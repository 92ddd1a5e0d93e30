"""What grpc.health.v1 answers: SERVING exactly while every ready check is content.

But for the name `live`, which is SERVING as long as the process answers at all: an orchestrator that restarts what is
not alive must not do so because a database is away.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio

Check = Callable[[], Awaitable[str | None]]
"""Tells why the process is not ready, or None when it is."""

LIVE = "live"
"""As the name of a service: whether the process is alive, ready or not."""

_log = structlog.get_logger()
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_PERIOD = 1.0
_CHECK_SECONDS = 5.0


class Health:
    """The health of one server: polls the checks, and tells the health service."""

    def __init__(self, name: str) -> None:
        self.servicer = aio.HealthServicer()
        self.not_ready: dict[str, str] = {}
        """Why, by the check's name; empty when ready."""
        self._name = name
        self._checks: dict[str, Check] = {}
        self._services = [""]
        self._is_serving: bool | None = None
        self._poked = asyncio.Event()

    def add_service(self, full_name: str) -> None:
        """Makes the health of a service askable under its full name."""
        self._services.append(full_name)

    def ready_when(self, name: str, check: Check) -> None:
        """Adds a check."""
        if name in self._checks:
            raise ValueError(f"there is a ready check named {name}")
        self._checks[name] = check
        self._poked.set()

    async def begin(self) -> None:
        """Answers NOT_SERVING for all but LIVE, until the first round of checks."""
        await self.servicer.set(LIVE, _SERVING)
        for service in self._services:
            await self.servicer.set(service, _NOT_SERVING)

    async def run(self) -> None:
        """Polls for ever: at once, then each second."""
        while True:
            await self.look()
            try:
                async with asyncio.timeout(_PERIOD):
                    await self._poked.wait()
            except TimeoutError:
                continue
            self._poked.clear()

    async def look(self) -> None:
        """Asks every check once, and serves when none objects."""
        answers = await asyncio.gather(*(self._ask(name, check) for name, check in self._checks.items()))
        not_ready = {name: why for name, why in answers if why is not None}
        is_serving = not not_ready
        if is_serving != self._is_serving or not_ready != self.not_ready:
            if is_serving:
                _log.info("ready")
            else:
                _log.warning("not ready", **{f"why_{name}": why for name, why in not_ready.items()})
        self.not_ready = not_ready
        if is_serving != self._is_serving:
            self._is_serving = is_serving
            for service in self._services:
                await self.servicer.set(service, _SERVING if is_serving else _NOT_SERVING)

    async def end(self) -> None:
        """Answers NOT_SERVING for good."""
        await self.servicer.enter_graceful_shutdown()

    async def _ask(self, name: str, check: Check) -> tuple[str, str | None]:
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                return name, await check()
        except TimeoutError:
            return name, f"the check took longer than {_CHECK_SECONDS:.0f} s"
        except Exception as error:  # a check that fails is a reason not to serve, never one to stop polling
            _log.debug("ready check failed", check=name, exc_info=error)
            return name, str(error) or type(error).__name__
