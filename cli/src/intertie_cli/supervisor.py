"""Runs the suite's processes side by side: starts all, waits until they are ready, and stops them in order."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from intertie_chassis import readiness
from intertie_chassis.errors import StartupError
from intertie_chassis.tls_files import TlsFiles
from intertie_cli.journal import Journal
from intertie_cli.process import Part, Process

PARTS = (
    Part("registry"),
    Part("audit", niceness=10),
    Part("ingest"),
    Part("pull", niceness=5, runs="intertie_ingest.pull"),
    Part("mapper", niceness=10),
    Part("gateway"),
)
"""In the order of starting."""
DEMO = Part("demo", niceness=10, runs="intertie_cli.demo_api")
"""The external API of the demo."""

_STOP_SECONDS = 20.0
_LOOK_SECONDS = 0.1
_TELL_SECONDS = 10.0


class Supervisor:
    """The processes of one installation."""

    def __init__(
        self,
        parts: Sequence[Part],
        environment: Mapping[str, str],
        addresses: Mapping[str, str],
        journal: Journal,
        tls: TlsFiles | None = None,
    ) -> None:
        """Args:
        parts: in the order of starting.
        environment: of all processes.
        addresses: where each part is reached.
        tls: the certificate with which they are asked whether they are ready.
        """
        self._tls = tls
        self._addresses = dict(addresses)
        self._journal = journal
        self._processes = [Process(part, environment_of(part, environment), journal) for part in parts]
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Starts all."""
        self._tasks = [
            asyncio.create_task(process.keep_running(), name=process.part.name) for process in self._processes
        ]

    async def wait_until_ready(self) -> None:
        """Waits, as long as it takes, until every part says at the same time that it is ready.

        Raises StartupError when one cannot start as it is configured.
        """
        loop = asyncio.get_running_loop()
        tell_at = loop.time() + _TELL_SECONDS
        while True:
            for process in self._processes:
                if process.refused.is_set():
                    raise StartupError(f"{process.part.name} cannot start as it is configured: see what it said above")
            waiting = await self._not_ready()
            if not waiting:
                return
            if loop.time() >= tell_at:
                self._journal.say(f"still waiting for {', '.join(waiting)}: see what they said above", "warning")
                tell_at = loop.time() + _TELL_SECONDS
            await asyncio.sleep(_LOOK_SECONDS)

    async def stop(self, at_once: asyncio.Event) -> None:
        """Stops the gateway, then the others, which it needs to finish; at once when the event is set."""
        gateway = [process for process in self._processes if process.part.name == "gateway"]
        others = [process for process in self._processes if process not in gateway]
        hurry = asyncio.create_task(self._kill_when(at_once))
        loop = asyncio.get_running_loop()
        end = loop.time() + _STOP_SECONDS
        for some in (gateway, others):
            # Those after the gateway get a little time also when it took all of it.
            left = max(2.0, end - loop.time())
            await asyncio.gather(*(process.stop(left) for process in some))
        await asyncio.gather(*self._tasks)
        hurry.cancel()

    async def _kill_when(self, at_once: asyncio.Event) -> None:
        await at_once.wait()
        for process in self._processes:
            process.kill()

    async def _not_ready(self) -> list[str]:
        """The parts that are not ready, by name. The gateway is asked last: it cannot be ready before the others."""
        names = [process.part.name for process in self._processes if process.part.name != "gateway"]
        answers = await asyncio.gather(*(self._is_ready(name) for name in names))
        waiting = [name for name, is_ready in zip(names, answers, strict=True) if not is_ready]
        if not waiting and not await readiness.http(self._addresses["gateway"]):
            waiting = ["gateway"]
        return waiting

    async def _is_ready(self, name: str) -> bool:
        address = self._addresses[name]
        return await (readiness.http(address) if name == DEMO.name else readiness.service(address, name, self._tls))


def environment_of(part: Part, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of one part: the keys that credentials are sealed with are registry's alone.

    Ingest keeps its configuration in the data directory unless told where, but only beside those keys: where they are
    kept elsewhere, a copy of the directory is to open no secret of a system's.
    """
    if part.name == "registry":
        return dict(environment)
    own = {name: value for name, value in environment.items() if not name.startswith(_SEALING_KEYS)}
    if part.name == "ingest" and not environment.get(_SNAPSHOT):
        own[_SNAPSHOT] = str(Path(environment["INTERTIE_DATA_DIR"]) / _SNAPSHOT_NAME)
        is_key_elsewhere = any(value for name, value in environment.items() if name.startswith(_SEALING_KEYS))
        if is_key_elsewhere and not environment.get(_SNAPSHOT_KEY):
            own[_SNAPSHOT_HOURS] = "0"  # what was kept while the keys were there goes too
    return own


_SEALING_KEYS = "INTERTIE_SECRETS_KEYS"
_SNAPSHOT = "INTERTIE_INGEST_SNAPSHOT_FILE"
_SNAPSHOT_KEY = "INTERTIE_INGEST_SNAPSHOT_KEY_FILE"
_SNAPSHOT_HOURS = "INTERTIE_INGEST_SNAPSHOT_HOURS"
_SNAPSHOT_NAME = "ingest-snapshot.sealed"
