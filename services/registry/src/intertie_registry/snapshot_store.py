"""Reads the whole configuration, and tells cheaply whether it may have changed since."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog
from sqlalchemy import select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.database import Database
from intertie_registry import fingerprint, model, rows
from intertie_registry.credentials import Credentials
from intertie_registry.discrepancies import Known
from intertie_registry.errors import NoImageYet
from intertie_registry.model import Part, SystemImage
from intertie_registry.tables import Tables

_log = structlog.get_logger()

_LARGEST_ID = 2**32 - 1

#: what services report: it changes often, and nobody watches it
_REPORTED = {
    "last_connection_test",
    "connection_status",
    "connection_error",
    "last_sync_at",
    "next_sync_at",
    "created_at",
    "updated_at",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """The configuration as it was read."""

    images: Mapping[int, SystemImage]
    #: the parts as the registry last knew them, read before the rest: see `discrepancies`
    known: tuple[Known, ...]


@dataclass(frozen=True, slots=True)
class _Opened:
    """A connection as it was last read."""

    stored: model.Connection
    clear: model.Connection
    #: how many of its credentials are not sealed
    standing_clear: int


class SnapshotStore:
    """The configuration as a whole."""

    def __init__(self, database: Database, tables: Tables, credentials: Credentials | None = None) -> None:
        self._database = database
        self._tables = tables
        self._credentials = credentials or Credentials(None)
        #: rows as they were last read, and what was in them: opening is most of what reading costs
        self._opened: dict[int, _Opened] = {}
        self._opened_with = 0
        self._most_clear = 0
        self._fingerprints = [
            text(
                fingerprint.statement(table.name, [column.name for column in table.columns if _configures(column.name)])
            )
            for table in tables.configuration()
        ]

    async def mark(self) -> object:
        """A value that differs from the one before when anything may have changed, whoever did it; sealing keys, too.

        SQLite counts the commits of all connections. MySQL and MariaDB have no such count, and updated_at has only
        seconds: there the server computes a digest over all rows. Raises Unavailable.
        """
        generation = self._credentials.generation
        version = await self._database.data_version()
        if version is not None:
            return generation, version
        try:
            async with self._database.read() as connection:
                return generation, [tuple((await connection.execute(query)).one()) for query in self._fingerprints]
        except SQLAlchemyError as error:
            raise NoImageYet("the registry's tables cannot be read; see `intertie db status`") from error

    async def read(self) -> Reading:
        """Everything, in one snapshot on SQLite; on MySQL statement by statement. Raises Unavailable.

        A change in between shows in the next mark, so it is read then; until then what has no system yet is left out.
        """
        tables = self._tables
        self._forget_when_keys_changed()
        try:
            async with self._database.read() as connection:
                # First the digests: read after the rest, they could be newer than it, and a call look like SQL.
                known = await _known(connection, tables)
                parts: dict[int, list[Part]] = defaultdict(list)
                for part in await _parts(connection, tables, None):
                    parts[part.system_id].append(self._clear(part) if isinstance(part, model.Connection) else part)
        except SQLAlchemyError as error:
            raise NoImageYet("the registry's tables cannot be read; see `intertie db status`") from error
        images = {number: image for number, some in parts.items() if (image := _image(some)) is not None}
        present = {connection.id for image in images.values() for connection in image.connections}
        self._opened = {number: opened for number, opened in self._opened.items() if number in present}
        self._tell_of_clear()
        return Reading(images, known)

    @property
    def lacks_keys(self) -> bool:
        """Whether something was last read that another key may open."""
        return any(lost.is_key_missing for opened in self._opened.values() for lost in opened.clear.unreadable)

    def _clear(self, stored: model.Connection) -> model.Connection:
        """The connection with its credentials opened."""
        seen = self._opened.get(stored.id)
        if seen is None or seen.stored != stored:
            standing_clear = sum(not found.is_sealed for found in self._credentials.look(stored))
            seen = self._opened[stored.id] = _Opened(stored, self._credentials.opened(stored), standing_clear)
        return seen.clear

    def _tell_of_clear(self) -> None:
        """Say how many credentials stand in clear text: at first, and when there are more."""
        count = sum(opened.standing_clear for opened in self._opened.values())
        if count > self._most_clear and self._credentials.source is not None:
            remedy = "`intertie secrets seal` encrypts them, unless another application reads them"
            _log.warning(
                "credentials stand in clear text in the database",
                count=count,
                remedy=remedy if self._credentials.is_on else f"{remedy} once INTERTIE_SECRETS_SEALING is on",
            )
        self._most_clear = count

    def _forget_when_keys_changed(self) -> None:
        generation = self._credentials.generation
        if generation != self._opened_with:
            self._opened.clear()
            self._opened_with = generation


async def parts_of(connection: AsyncConnection, tables: Tables, system_id: int) -> tuple[Part, ...]:
    """The connections, mappings and grants of one system; credentials as they are stored."""
    return tuple(part for part in await _parts(connection, tables, system_id) if part.kind != "system")


async def _known(connection: AsyncConnection, tables: Tables) -> tuple[Known, ...]:
    columns = tables.digests.c
    query = select(columns.kind, columns.part_id, columns.system_id, columns.title, columns.digest)
    return tuple(Known(*row) for row in await connection.execute(query))


async def _parts(connection: AsyncConnection, tables: Tables, system_id: int | None) -> list[Part]:
    """Every part, or those of one system, each kind by id. Ids that the contracts cannot carry are left out."""
    found: list[Part] = []
    readers: tuple[Callable[[rows.Row], Part], ...] = (rows.system, rows.connection, rows.mapping, rows.grant)
    for table, read in zip(tables.configuration(), readers, strict=True):
        query = select(table).where(table.c.id.between(1, _LARGEST_ID)).order_by(table.c.id)
        if system_id is not None:
            query = query.where((table.c.id if table is tables.systems else table.c.system_id) == system_id)
        result = await connection.execute(query)
        found.extend(read(row) for row in result.mappings())
    return found


def _configures(column: str) -> bool:
    return column not in _REPORTED


def _image(parts: list[Part]) -> SystemImage | None:
    """A system's parts, the system first, as one; None when they are without it."""
    first, *rest = parts
    if not isinstance(first, model.System):
        return None
    return SystemImage(
        first,
        connections=tuple(part for part in rest if isinstance(part, model.Connection)),
        mappings=tuple(part for part in rest if isinstance(part, model.Mapping)),
        grants=tuple(part for part in rest if isinstance(part, model.Grant)),
    )
