"""Tells those who wait for records that there are some: within this process; other replicas are noticed by looking."""

import asyncio


class Wakeup:
    """A bell: whoever waits hears the next ring, and one that rang since `heard` was taken."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()
        self.released = 0
        """How many records were announced so far."""

    def listen(self) -> asyncio.Event:
        """The event of the next ring; take it before looking, so that no ring falls between looking and waiting."""
        return self._rung

    def ring(self, records: int = 0) -> None:
        """Wakes everybody who listens; `records` were made available."""
        self.released += records
        self._rung.set()
        self._rung = asyncio.Event()
