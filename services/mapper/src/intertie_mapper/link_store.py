"""Every statement on external_record_links: which target row came from which external record."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.bulk_cursor import RowStatement
from intertie_mapper.columns import Key, SqlValue, TargetTable
from intertie_mapper.keys import key_digest, key_from_json, key_to_json
from intertie_mapper.model import LeasedRecord, Link
from intertie_mapper.statements import Dialect, chunks, flat

_READ = (
    "id", "external_id", "target_table", "target_key", "target_key_digest", "version_key", "revision", "record_id",
    "mapping_fingerprint",
)  # fmt: skip
_WRITTEN = (
    "target_table", "target_key", "target_key_digest", "version_key", "revision", "record_id", "digest", "delivery_id",
    "mapping_fingerprint", "updated_at",
)  # fmt: skip


_COLUMNS = ("system_id", "mapping_id", "external_id", *_WRITTEN, "created_at")
_LONG = (_COLUMNS.index("target_key"),)


class NewLink(NamedTuple):
    """What a link is to say after the batch."""

    record: LeasedRecord
    key_json: str
    link_id: int = 0
    """The link that there is already; 0: none."""


class LinkStore:
    """The links in one database; every method works on the caller's connection."""

    def __init__(self, dialect: Dialect, table_name: str) -> None:
        self._dialect = dialect
        self._name = table_name
        self._insert = RowStatement(self._insert_text(_COLUMNS))
        self._update = RowStatement(self._update_text())

    async def write_nothing(self, connection: AsyncConnection) -> None:
        """A change of no row: it shows whether links can be written at all, in a database that is read-only as well."""
        sql = self._dialect
        revision, name = sql.quote("revision"), sql.quote(self._name)
        await connection.exec_driver_sql(f"UPDATE {name} SET {revision} = {revision} WHERE {sql.quote('id')} = 0")

    async def read(
        self,
        connection: AsyncConnection,
        table: TargetTable,
        mapping_id: int,
        external_ids: Sequence[str],
        *,
        lock: bool,
    ) -> dict[str, Link]:
        """The links of these records by external id; with `lock` they stay as they are for this transaction."""
        sql = self._dialect
        found: dict[str, Link] = {}
        for some in chunks([(external_id,) for external_id in external_ids]):
            result = await connection.exec_driver_sql(
                f"SELECT {sql.names(_READ)} FROM {sql.quote(self._name)} WHERE mapping_id = {sql.mark} AND "
                f"{sql.is_in(['external_id'], len(some))} ORDER BY external_id{sql.lock if lock else ''}",
                (mapping_id, *flat(some)),
            )
            links = [_link(table, row) for row in result.all()]
            found.update((link.external_id, link) for link in links)
        return found

    async def holders(
        self, connection: AsyncConnection, table: TargetTable, mapping_id: int, keys: Sequence[Key]
    ) -> dict[Key, str]:
        """The external ids of the mapping's records that hold these rows."""
        sql = self._dialect
        held: dict[Key, str] = {}
        digests = [(key_digest(key_to_json(table, key)),) for key in keys]
        for some in chunks(digests):
            result = await connection.exec_driver_sql(
                f"SELECT external_id, target_key FROM {sql.quote(self._name)} WHERE target_table = {sql.mark} AND "
                f"mapping_id = {sql.mark} AND {sql.is_in(['target_key_digest'], len(some))}",
                (table.name, mapping_id, *flat(some)),
            )
            for row in result.all():
                key = key_from_json(table, row.target_key)
                if key is not None:
                    held[key] = row.external_id
        return held

    async def release(self, connection: AsyncConnection, table: TargetTable, keys: Sequence[Key]) -> None:
        """Say of links to these keys that their rows are gone.

        For rows that were just inserted: a link that already named such a key was to a deleted row whose key came
        again.
        """
        sql = self._dialect
        for some in chunks([(key_digest(key_to_json(table, key)),) for key in keys]):
            await connection.exec_driver_sql(
                f"UPDATE {sql.quote(self._name)} SET target_key_digest = NULL WHERE target_table = {sql.mark} AND "
                f"{sql.is_in(['target_key_digest'], len(some))}",
                (table.name, *flat(some)),
            )

    async def insert(
        self,
        connection: AsyncConnection,
        table: TargetTable,
        fingerprint: bytes,
        links: Sequence[NewLink],
        now: datetime,
    ) -> None:
        """Make links that are not there. Raises IntegrityError when another transaction made one meanwhile."""
        in_order = sorted(links, key=lambda link: link.record.external_id)
        for some in chunks(_rows(table, fingerprint, in_order, now), _LONG):
            await connection.exec_driver_sql(self._insert, some)

    async def update(
        self,
        connection: AsyncConnection,
        table: TargetTable,
        fingerprint: bytes,
        links: Sequence[NewLink],
        now: datetime,
    ) -> None:
        """Bring links up to date that are there, read with `lock`."""
        rows = [(*row, link.link_id) for row, link in zip(_rows(table, fingerprint, links, now), links, strict=True)]
        for some in chunks(rows, _LONG):
            await connection.exec_driver_sql(self._update, some)

    def _insert_text(self, names: Sequence[str]) -> str:
        sql = self._dialect
        return f"INSERT INTO {sql.quote(self._name)} ({sql.names(names)}) VALUES {sql.row(len(names))}"

    def _update_text(self) -> str:
        """With a placeholder for each of _COLUMNS, and the last one for the id."""
        sql = self._dialect
        if sql.embedded:
            # SQLite numbers its placeholders, and minds none that are not used.
            places = {name: place for place, name in enumerate(_COLUMNS, 1)}
            assignments = ", ".join(f"{sql.quote(name)} = ?{places[name]}" for name in _WRITTEN)
            return f"UPDATE {sql.quote(self._name)} SET {assignments} WHERE id = ?{len(_COLUMNS) + 1}"
        # With the id given every row meets its own link; MySQL takes many rows at once for an INSERT only.
        return self._insert_text((*_COLUMNS, "id")) + sql.upsert(["id"], [(name, "{new}") for name in _WRITTEN])


def _rows(
    table: TargetTable, fingerprint: bytes, links: Sequence[NewLink], now: datetime
) -> list[tuple[SqlValue, ...]]:
    """The values of _COLUMNS for each link."""
    stamp = now.isoformat(" ", timespec="microseconds")
    return [
        (
            record.system_id, record.mapping_id, record.external_id,
            table.name, key_json, key_digest(key_json), record.version_key, record.revision, record.id, record.digest,
            record.delivery_id, fingerprint, stamp, stamp,
        )
        for record, key_json, _ in links
    ]  # fmt: skip


def _link(table: TargetTable, row: Sequence[Any]) -> Link:
    """The link in a row of _READ."""
    number, external_id, target_table, target_key, digest, version_key, revision, record_id, fingerprint = row
    moved = target_table != table.name
    gone = moved or digest is None
    key = None if gone else key_from_json(table, target_key)
    return Link(number, external_id, key, version_key, revision, record_id, bytes(fingerprint), moved)
