"""The audit of what modules ask: an entry of each call is committed before its answer is given.

Entries of calls that end at the same time share a transaction. The message goes into ingest's outbox, and from there to
the log. One that could not be written is kept and tried again; until it is written nothing more is asked.
"""

import asyncio
import time
from collections.abc import Callable
from types import TracebackType

import structlog

from intertie_chassis import calls
from intertie_chassis.errors import DeadlineExceeded, Internal, IntertieError, Unavailable
from intertie_ingest.pull.journal_store import JournalStore
from intertie_ingest.pull.note import Note

Encode = Callable[[Note, IntertieError | None, int], bytes]
"""Makes the message of an entry: of what, the error with which it ended, and how many milliseconds it took."""

_TRUSTED_SECONDS = 1.0
_RETRY_SECONDS = 1.0
_MOST_TOGETHER = 200

_log = structlog.get_logger()


class Cancelled(IntertieError):
    """The call was cut off before it had ended."""

    reason = "CANCELLED"


class Journal:
    """Takes down every call."""

    def __init__(self, store: JournalStore, encode: Encode) -> None:
        self._store = store
        self._encode = encode
        self._waiting: list[tuple[bytes, asyncio.Future[None] | None]] = []
        self._writing: asyncio.Task[None] | None = None
        #: what could not be written
        self._late: list[bytes] = []
        self._well_at = 0.0

    def telling(self, note: Note) -> "Telling":
        """For `async with`: takes down, with how it ends, what is done inside."""
        return Telling(self, note)

    async def check(self) -> None:
        """Raises Unavailable when an entry could not be written now. Asks the store at most once a second."""
        if self._late:
            raise _away("the audit log cannot be written at the moment, so nothing is asked; try again")
        if time.monotonic() - self._well_at > _TRUSTED_SECONDS:
            try:
                await self._store.look()
            except Exception as error:
                raise _refused(error) from error
            self._well_at = time.monotonic()

    async def write(self, message: bytes) -> None:
        """Commits an entry. Raises Unavailable when it cannot be written now; then it is tried again by itself."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._put(message, written)
        await written

    def write_later(self, message: bytes) -> None:
        """Has an entry committed without waiting for it."""
        self._put(message, None)

    def encoded(self, note: Note, error: IntertieError | None, milliseconds: int) -> bytes:
        """The message of an entry."""
        return self._encode(note, error, milliseconds)

    async def run(self) -> None:
        """Writes what could not be written, as soon as it can, for ever; for `run_in_background`."""
        while True:
            await asyncio.sleep(_RETRY_SECONDS)
            await self._write_late()

    async def flush(self) -> None:
        """Writes what waits, before the store is closed; what cannot be written then is lost, and logged."""
        if self._writing is not None:
            await asyncio.wait({self._writing})
        await self._write_late()
        for message in self._late:
            _log.error("an audit entry is lost", entry=message.hex())

    def _put(self, message: bytes, written: asyncio.Future[None] | None) -> None:
        self._waiting.append((message, written))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(), name="pull: writes audit entries")

    async def _write(self) -> None:
        """Writes all that waits, and what comes meanwhile."""
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:_MOST_TOGETHER], self._waiting[_MOST_TOGETHER:]
                error = await self._append(b"".join(message for message, _ in group))
                if error is not None:
                    self._late.extend(message for message, _ in group)
                for _, written in group:
                    if written is None or written.done():
                        continue
                    if error is None:
                        written.set_result(None)
                    else:
                        written.set_exception(error)
        finally:
            self._writing = None

    async def _append(self, message: bytes) -> Unavailable | None:
        try:
            await self._store.append(message)
        except Exception as error:
            return _refused(error)
        self._well_at = time.monotonic()
        return None

    async def _write_late(self) -> None:
        while self._late:
            group = self._late[:_MOST_TOGETHER]
            if await self._append(b"".join(group)) is not None:
                return
            del self._late[: len(group)]


class Telling:
    """One call that is taken down."""

    def __init__(self, journal: Journal, note: Note) -> None:
        self._journal = journal
        self._note = note
        self._started = time.perf_counter()

    async def __aenter__(self) -> Note:
        """Raises Unavailable, before anything is asked, when the entry could not be written."""
        await self._journal.check()
        return self._note

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Raises Unavailable for what went well and could not be taken down: its answer must not be given."""
        milliseconds = int((time.perf_counter() - self._started) * 1000)
        message = self._journal.encoded(self._note, _told(error), milliseconds)
        if error is not None and not isinstance(error, IntertieError):
            # It was cancelled, or is a fault of ours: there is nobody to wait, or no time left.
            self._journal.write_later(message)
            return
        try:
            await self._journal.write(message)
        except Unavailable:
            if error is not None:
                return  # which is told to the caller
            if self._note.has_changed:
                raise Unavailable(
                    "it was carried out in the external system, but could not be written to the audit log yet; "
                    "do not ask for it again",
                    reason="STORE_UNAVAILABLE",
                ) from None
            raise


def _told(error: BaseException | None) -> IntertieError | None:
    """How the call ended, as the audit log is told."""
    if error is None or isinstance(error, IntertieError):
        return error
    if isinstance(error, Exception):
        return Internal()
    return DeadlineExceeded() if calls.time_remaining() == 0 else Cancelled()


def _refused(error: Exception) -> Unavailable:
    """What a caller is told of whatever the database says: the entry is not there, so the answer must not be given."""
    _log.error("audit entries cannot be written", cause=" ".join(str(error).split())[:300])
    return (
        error if isinstance(error, Unavailable) else _away("the audit log cannot be written at the moment; try again")
    )


def _away(message: str) -> Unavailable:
    return Unavailable(message, reason="STORE_UNAVAILABLE", retry_after=1)
