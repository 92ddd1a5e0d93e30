"""The live configuration: what registry's feed says, compiled, and kept for as long as registry is away.

A process that starts while registry is away may begin with what an earlier one has kept (`snapshot_keeping`).
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import structlog

from intertie_chassis.following import Open, follow
from intertie_ingest.configuration import CompiledSystem, Configuration, StoredSystem, closed_system, compile_system
from intertie_ingest.errors import NoSnapshot

SILENCE_SECONDS = 10.0
"""A feed that says nothing for so long is dead; it says something every three seconds."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Change:
    """What one message of the feed says."""

    systems: tuple[StoredSystem, ...] = ()
    removed: tuple[int, ...] = ()
    #: whether it is a part of a snapshot, which replaces everything once it is complete
    is_snapshot: bool = False
    is_complete: bool = True


class Compiled(Protocol):
    """What a process makes of a system."""

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with the stored configuration, for the log."""
        ...


S = TypeVar("S", bound=Compiled)
C = TypeVar("C")


class LiveSnapshot(Generic[S, C]):
    """Holds the configuration `C`, which is made of all compiled systems `S`, that counts now."""

    def __init__(
        self,
        compile_stored: Callable[[StoredSystem], S],
        closed: Callable[[StoredSystem], S],
        gather: Callable[[Iterable[S]], C],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Args:
        compile_stored: compiles a system, whatever is stored of it.
        closed: what a system is when that fails all the same.
        gather: makes the configuration of all systems.
        clock: seconds since 1970, now.
        """
        self.confirmed_at: float | None = None
        """When registry last said that this is the configuration, in seconds since 1970; None while it has not."""
        self._compile = compile_stored
        self._closed = closed
        self._gather = gather
        self._clock = clock
        self._stored: dict[int, StoredSystem] = {}
        self._compiled: dict[int, S] = {}
        self._coming: dict[int, StoredSystem] | None = None
        self._configuration: C | None = None
        self._changed = asyncio.Event()
        self._next = asyncio.Event()
        self._heard = asyncio.Event()

    @property
    def systems(self) -> Mapping[int, StoredSystem]:
        """All systems as they are stored, by id. What changes is another mapping; this one stays as it is."""
        return self._stored

    def configuration(self) -> C:
        """All systems as they are now. Raises NoSnapshot before the first snapshot is complete."""
        if self._configuration is None:
            raise NoSnapshot(retry_after=1)
        return self._configuration

    async def check(self) -> str | None:
        """For `Server.ready_when`: why there is no configuration."""
        return None if self._configuration is not None else "no configuration from registry yet"

    async def changed(self, timeout: float) -> None:
        """Waits until the configuration changes, at most so many seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()

    async def other_than(self, known: C | None) -> C:
        """The configuration, as soon as there is one that is not `known`."""
        while self._configuration is None or self._configuration is known:
            await self._next.wait()
        return self._configuration

    async def heard(self) -> None:
        """Waits until registry says something, be it that nothing has changed."""
        await self._heard.wait()
        self._heard.clear()

    async def run(self, watch: Open[Change]) -> None:
        """Follows the feed for ever, through every outage of registry; for `run_in_background`."""
        await follow(watch, self.begin, what="registry's feed", silence=SILENCE_SECONDS)

    def begin(self) -> Callable[[Change], None]:
        """Forgets the half of a snapshot that an earlier stream sent; gives what takes a new one's messages."""
        self._coming = None
        return self.apply

    def apply(self, change: Change) -> None:
        """Takes in one message of the feed."""
        if change.is_snapshot:
            self._coming = {} if self._coming is None else self._coming
            self._coming |= {system.id: system for system in change.systems}
            if not change.is_complete:
                return
            stored, self._coming = self._coming, None
        elif change.systems or change.removed:
            stored = {**self._stored, **{system.id: system for system in change.systems}}
            for removed in change.removed:
                stored.pop(removed, None)
        else:
            self._confirm()
            return
        self._replace(stored)
        self._confirm(is_snapshot=change.is_snapshot)

    def fall_back(self, systems: Iterable[StoredSystem]) -> bool:
        """Takes what was known before this process, unless registry has said something; gives whether it was taken.

        The first snapshot of registry's replaces it whole.
        """
        if self._configuration is not None:
            return False
        self._replace({system.id: system for system in systems})
        return True

    def _confirm(self, *, is_snapshot: bool = False) -> None:
        # What is added to a configuration from before registry has not confirmed as a whole.
        if is_snapshot or self.confirmed_at is not None:
            self.confirmed_at = self._clock()
            self._heard.set()

    def _replace(self, stored: dict[int, StoredSystem]) -> None:
        compiled: dict[int, S] = {}
        for number, system in stored.items():
            if self._stored.get(number) == system:
                compiled[number] = self._compiled[number]
                continue
            compiled[number] = self._compiled_or_closed(system)
            for problem in compiled[number].problems:
                _log.warning("a system's configuration is at fault", system=system.name, problem=problem)
        self._stored, self._compiled = stored, compiled
        self._configuration = self._gather(compiled.values())
        self._changed.set()
        self._next.set()
        self._next = asyncio.Event()

    def _compiled_or_closed(self, system: StoredSystem) -> S:
        try:
            return self._compile(system)
        except Exception:
            # Whatever it is that nobody thought of: it closes its own system, and the others go on.
            _log.exception("a system's configuration cannot be compiled; nothing of it is let in", system=system.name)
            return self._closed(system)


class Snapshot(LiveSnapshot[CompiledSystem, Configuration]):
    """The configuration by which deliveries are taken."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        super().__init__(compile_system, closed_system, Configuration.of, clock)
