"""Tells those who wait for records that there are some: within this process; other replicas are noticed by looking."""

import asyncio


class Wakeup:
    """A bell: whoever waits hears the next ring, and one that rang since `heard` was taken."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()
        self.released = 0
        """How many records were announced so far."""
        self._queued = 1
        self._taken = 0

    @property
    def may_wait(self) -> bool:
        """Whether something may wait in the queue that no claim has taken since."""
        return self._queued != self._taken

    def listen(self) -> asyncio.Event:
        """The event of the next ring; take it before looking, so that no ring falls between looking and waiting."""
        return self._rung

    def ring(self, records: int = 0, leased: int = 0) -> None:
        """Wakes everybody who listens; `records` were made available, of which some are `leased` already.

        Without a number there may be any.
        """
        self.released += records
        if leased < records or not records:
            self.queue()
        self.wake()

    def wake(self) -> None:
        """Wakes everybody who listens, though there is nothing new."""
        self._rung.set()
        self._rung = asyncio.Event()

    def queue(self) -> None:
        """Says that something may wait in the queue."""
        self._queued += 1

    def mark(self) -> int:
        """A point in time, for `took`; take it before looking."""
        return self._queued

    def took(self, mark: int) -> None:
        """Says that nothing waits any more of what was announced before that point."""
        self._taken = mark
