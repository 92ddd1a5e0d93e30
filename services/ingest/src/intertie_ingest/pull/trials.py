"""Trials of connections: whether an external system can be reached, kept with the connection."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from intertie_chassis.clock import utc_now
from intertie_chassis.errors import DeadlineExceeded, IntertieError, Unavailable
from intertie_ingest.apis.apis import Apis
from intertie_ingest.databases.databases import Databases
from intertie_ingest.errors import ConnectionNotFound, ConnectionUnusable
from intertie_ingest.external import ExternalConnection
from intertie_ingest.pull.journal import Journal
from intertie_ingest.pull.limits import Slots, within_deadline
from intertie_ingest.pull.note import Note
from intertie_ingest.pull.questions import Trial
from intertie_ingest.pull.snapshot import PullSnapshot

TRIAL_SECONDS = 15.0
_MOST_ERROR_CHARACTERS = 1000

Report = Callable[[Trial], Awaitable[None]]
"""Has a trial's outcome kept. Raises IntertieError."""

_log = structlog.get_logger()


class Trials:
    """Tries connections, active or not."""

    def __init__(
        self,
        snapshot: PullSnapshot,
        databases: Databases,
        apis: Apis,
        journal: Journal,
        slots: Slots,
        report: Report,
    ) -> None:
        self._snapshot = snapshot
        self._databases = databases
        self._apis = apis
        self._journal = journal
        self._slots = slots
        self._report = report

    async def try_connection(self, connection_id: int) -> Trial:
        """Tries a connection, and has registry keep what came of it.

        Raises ConnectionNotFound, Overloaded, and Unavailable when registry or the audit log is away.
        """
        async with self._journal.telling(Note("configuration", f"test connection {connection_id}", "")) as note:
            connection = self._snapshot.configuration().connections.get(connection_id)
            if connection is None:
                raise ConnectionNotFound(metadata={"id": str(connection_id)})
            note.system, note.system_id = connection.system, connection.system_id
            with self._slots.taken(""):
                trial = await self._tried(connection)
            note.answered = {"connection_status": trial.status, "connection_error": trial.error}
            await self._report(trial)
        return trial

    async def _tried(self, connection: ExternalConnection) -> Trial:
        tried_at, started = utc_now(), time.perf_counter()
        status, error = "connected", ""
        try:
            async with asyncio.timeout(within_deadline(TRIAL_SECONDS)):
                await self._tested(connection)
        except TimeoutError:
            status, error = "disconnected", f"it did not answer within {TRIAL_SECONDS:.0f} seconds"
        except (Unavailable, DeadlineExceeded) as raised:
            status, error = "disconnected", raised.message
        except IntertieError as raised:
            status, error = "error", raised.message
        except Exception:
            # A trial is what people make when something is wrong: they are told that it does not work in any case.
            _log.exception("a connection could not be tried", connection=connection.id)
            status, error = "error", "the trial itself failed; the log of the pull process has the cause"
        milliseconds = int((time.perf_counter() - started) * 1000)
        return Trial(connection.id, status, error[:_MOST_ERROR_CHARACTERS], milliseconds, tried_at)

    async def _tested(self, connection: ExternalConnection) -> None:
        if connection.problem:
            raise ConnectionUnusable(connection.problem)
        if connection.is_database:
            await self._databases.test(connection)
        elif connection.is_api:
            await self._apis.test(connection)
        else:
            raise ConnectionUnusable(f"{connection.connection_type[:32]!r} is no type of connection")
