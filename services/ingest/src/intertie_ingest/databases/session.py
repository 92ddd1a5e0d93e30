"""One connection to an external database, as the pools and the readers use it, whatever its driver."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from intertie_ingest.databases.statements import Statement
from intertie_ingest.databases.values import Encoder

Rows = Sequence[Sequence[Any]]

CONNECT_SECONDS = 5.0
LOCK_SECONDS = 5


class Session(ABC):
    """A connection that does one thing at a time. Its methods raise the driver's errors, which `failures` translates.

    After an error, or when a call was cancelled, only `abandon` may be called.
    """

    @abstractmethod
    async def begin(self, statement: Statement, arguments: Sequence[Any], seconds: float) -> Encoder:
        """Begins a read-only transaction and runs the statement in it, for at most so long on the server's side.

        Gives how its rows become JSON; the rows come with `fetch`. Raises QueryFailed for an argument of a wrong type.
        """

    @abstractmethod
    async def fetch(self, most: int) -> Rows:
        """The next rows, at most so many; none at the end."""

    @abstractmethod
    async def finish(self) -> None:
        """Ends the transaction. Only after `fetch` has given no more rows."""

    @abstractmethod
    async def change(self, statement: Statement, arguments: Sequence[Any], seconds: float, most: int) -> int:
        """Runs a statement that writes in a transaction of its own and commits; gives the number of its rows.

        Raises QueryRefused when there are more than `most`: then it is rolled back. Raises QueryFailed as `begin`.
        """

    @abstractmethod
    async def catalogue(self, sql: str, arguments: Sequence[Any]) -> Rows:
        """All rows of one of our own statements about tables and columns."""

    @abstractmethod
    async def ping(self) -> None:
        """Raises an error when the connection does not work."""

    async def tidy(self) -> None:
        """Takes back what a statement may have left in the session: locks, variables, settings."""
        return

    @abstractmethod
    async def abandon(self) -> None:
        """Stops what runs, also on the server where it does not notice by itself, and closes. Never raises."""

    @abstractmethod
    async def close(self) -> None:
        """Closes an idle session in the way the server expects. Never raises."""
