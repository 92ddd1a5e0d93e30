"""Every statement on external_record_links: which target row came from which external record."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

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


@dataclass(frozen=True, slots=True)
class NewLink:
    """What a link is to say after the batch."""

    record: LeasedRecord
    key: Key
    link_id: int = 0
    """The link that there is already; 0: none."""


class LinkStore:
    """The links in one database; every method works on the caller's connection."""

    def __init__(self, dialect: Dialect, table_name: str) -> None:
        self._dialect = dialect
        self._name = table_name

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
            for row in result.all():
                found[row.external_id] = self._link(table, row)
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
        sql = self._dialect
        names = ("system_id", "mapping_id", "external_id", *_WRITTEN, "created_at")
        stamp = now.isoformat(" ", timespec="microseconds")
        rows = [
            (
                link.record.system_id,
                link.record.mapping_id,
                link.record.external_id,
                *self._values(table, fingerprint, link, stamp),
                stamp,
            )
            for link in sorted(links, key=lambda link: link.record.external_id)
        ]
        for some in chunks(rows):
            await connection.exec_driver_sql(
                f"INSERT INTO {sql.quote(self._name)} ({sql.names(names)}) VALUES {sql.rows(len(some), len(names))}",
                flat(some),
            )

    async def update(
        self,
        connection: AsyncConnection,
        table: TargetTable,
        fingerprint: bytes,
        links: Sequence[NewLink],
        now: datetime,
    ) -> None:
        """Bring links up to date that are there, read with `lock`."""
        sql = self._dialect
        stamp = now.isoformat(" ", timespec="microseconds")
        if sql.embedded:
            assignments = ", ".join(f"{sql.quote(name)} = {sql.mark}" for name in _WRITTEN)
            rows = [(*self._values(table, fingerprint, link, stamp), link.link_id) for link in links]
            await connection.exec_driver_sql(
                f"UPDATE {sql.quote(self._name)} SET {assignments} WHERE id = {sql.mark}", rows
            )
            return
        # With the id given, every row meets its own link: one statement instead of a round trip each.
        names = ("id", "system_id", "mapping_id", "external_id", *_WRITTEN, "created_at")
        many = [
            (
                link.link_id,
                link.record.system_id,
                link.record.mapping_id,
                link.record.external_id,
                *self._values(table, fingerprint, link, stamp),
                stamp,
            )
            for link in links
        ]
        upsert = sql.upsert(["id"], [(name, "{new}") for name in _WRITTEN])
        for some in chunks(many):
            await connection.exec_driver_sql(
                f"INSERT INTO {sql.quote(self._name)} ({sql.names(names)}) VALUES "
                f"{sql.rows(len(some), len(names))}{upsert}",
                flat(some),
            )

    def _values(self, table: TargetTable, fingerprint: bytes, link: NewLink, stamp: str) -> tuple[SqlValue, ...]:
        record, key_json = link.record, key_to_json(table, link.key)
        return (
            table.name, key_json, key_digest(key_json), record.version_key, record.revision, record.id, record.digest,
            record.delivery_id, fingerprint, stamp,
        )  # fmt: skip

    @staticmethod
    def _link(table: TargetTable, row: Row[Any]) -> Link:
        values = dict(zip(_READ, row, strict=True))
        moved = values["target_table"] != table.name
        gone = moved or values["target_key_digest"] is None
        return Link(
            id=values["id"],
            external_id=values["external_id"],
            key=None if gone else key_from_json(table, values["target_key"]),
            version_key=values["version_key"],
            revision=values["revision"],
            record_id=values["record_id"],
            mapping_fingerprint=bytes(values["mapping_fingerprint"]),
            moved=moved,
        )
