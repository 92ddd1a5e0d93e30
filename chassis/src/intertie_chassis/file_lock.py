"""A lock of processes, kept in files of its own: prompt, given in the order of asking, and freed by its holder's death.

Two files, each locked by `flock`: whoever wants the lock first takes the place of the one who is next, and gives it up
once it has the lock. With one file alone a process that comes back at once would always be faster than one that has to
be woken. The files are empty, and must not be removed while processes run: those who come later would lock others.
"""

import asyncio
import fcntl
import os
import threading
from pathlib import Path


class Hold:
    """The lock, held until it is released."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        """Gives the lock back; the second time nothing. Any thread may."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class FileLock:
    """The lock in the files `path` and `path`.next, which are their owner's alone.

    Two objects on one path exclude each other, also in one process: a lock belongs to the opened file, and each hold
    opens its own.
    """

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._next_path = f"{path}.next"
        self._asking = asyncio.Lock()
        #: what the waiting thread brings; it outlives those who asked and gave up, so that there is one thread at most
        self._coming: asyncio.Future[Hold] | None = None

    async def acquire(self) -> Hold:
        """Takes the lock: at once where it is free, else a thread waits for it. Raises OSError.

        May be cancelled at any time: a lock that comes too late goes back by itself.
        """
        async with self._asking:
            if self._coming is None:
                hold = self._taken(fcntl.LOCK_NB)
                if hold is not None:
                    return hold
                self._coming = self._waiting()
            coming = self._coming
            try:
                await asyncio.wait({coming})
            except asyncio.CancelledError:
                if coming.done():
                    self._give_up(coming)
                raise
            self._coming = None
            return coming.result()

    def _taken(self, flags: int) -> Hold | None:
        """The lock; with LOCK_NB None when another one has it, or is next."""
        place = self._locked(self._next_path, flags)
        if place is None:
            return None
        try:
            return self._locked(self._path, flags)
        finally:
            place.release()

    def _locked(self, path: str, flags: int) -> Hold | None:
        hold = Hold(descriptor := os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | flags)
        except BlockingIOError:
            hold.release()
            return None
        except BaseException:
            hold.release()
            raise
        return hold

    def _waiting(self) -> asyncio.Future[Hold]:
        """Starts the thread that waits; gives what it will bring."""
        loop = asyncio.get_running_loop()
        coming: asyncio.Future[Hold] = loop.create_future()

        def arrive(hold: Hold | None, error: OSError | None) -> None:
            if hold is not None:
                coming.set_result(hold)
            else:
                coming.set_exception(error or OSError(0, "the lock was not given"))
            if not self._asking.locked():
                self._give_up(coming)

        def wait() -> None:
            hold, error = None, None
            try:
                hold = self._taken(0)
            except OSError as raised:
                error = raised
            try:
                loop.call_soon_threadsafe(arrive, hold, error)
            except RuntimeError:  # the loop is closed: nobody is there to have it
                if hold is not None:
                    hold.release()

        # A daemon: a process that ends does not wait for what another one holds.
        threading.Thread(target=wait, name="file lock", daemon=True).start()
        return coming

    def _give_up(self, coming: asyncio.Future[Hold]) -> None:
        self._coming = None
        if coming.exception() is None:
            coming.result().release()
