"""A chain with its sealer, for tests: entries go in, and what stands in the tables may be changed behind its back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text

from intertie_audit.anchor import Anchor
from intertie_audit.chain import START, Checkpoint, Finding, leaf, mac, next_head
from intertie_audit.chain_keys import ChainKeys, KnownKeys
from intertie_audit.chain_store import ChainStore
from intertie_audit.checkpoints import Checkpoints
from intertie_audit.lease_store import Lease
from intertie_audit.migrations import MIGRATIONS
from intertie_audit.migrations.triggers import triggers
from intertie_audit.model import Entry
from intertie_audit.row_store import RowStore
from intertie_audit.seal_store import SealStore
from intertie_audit.sealer import Sealer
from intertie_audit.store import Store
from intertie_audit.verification import Scope, Verdict, Verification
from intertie_audit.verify_store import VerifyStore
from intertie_chassis.database import Database
from intertie_chassis.ids import new_ulid

PREFIX = "campaign_department_"
CHAIN = f"{PREFIX}integration_audit_chain"
CHECKPOINTS = f"{PREFIX}integration_audit_checkpoints"
LOGS = f"{PREFIX}integration_query_logs"
LENGTH = 12
SIGNED = (4, 9, 12)
NOON = datetime(2025, 1, 20, 12, 0, 0, 123456)


def entry(**fields: Any) -> Entry:
    """An entry with something in every column that ours write."""
    values: dict[str, Any] = {
        "id": 0,
        "entry_id": new_ulid(),
        "system_id": 7,
        "system_name": "fire_rescue",
        "query_type": "webhook",
        "query_string": 'POST "/webhook" \u00e9\U0001f600 \x01\x1f\\',
        "request_payload": '{"size": 12}',
        "response_payload": '{"status": "accepted"}',
        "response_status": 202,
        "execution_time_ms": 3,
        "status": "success",
        "error_message": None,
        "requested_by": None,
        "module_name": "events",
        "actor": "system:fire_rescue",
        "created_at": NOON,
        "delivery_id": new_ulid(),
        "request_id": "r-1",
    }
    return Entry(**{**values, **fields})


@dataclass
class Rig:
    """One audit process's part of the chain; several may work on one database."""

    database: Database
    directory: Path

    def __post_init__(self) -> None:
        self.log = Store(self.database)
        self.links = ChainStore(self.database)
        self.key, self.known = ChainKeys(self.directory).ensure()
        self.seals = SealStore(self.database, self.key.mac_key)
        self.anchor = Anchor(self.directory / "anchor" / "audit.jsonl")
        self.checkpoints = Checkpoints(self.seals, self.links, self.key, self.anchor)
        self.sealer = Sealer(
            self.seals,
            RowStore(self.database),
            self.log,
            self.checkpoints,
            Lease(self.database),
            self.known.mac_keys,
        )

    async def seal(self, *entries: Entry, sign: bool = True) -> None:
        """Append entries and seal all that waits, as a process does that starts and stops."""
        if entries:
            await self.log.append(entries)
        await self.sealer.begin()
        while await self.sealer.step():
            pass
        if sign:
            await self.sealer.finish()

    async def verify(
        self,
        *,
        scope: Scope = Scope(),  # noqa: B008  a frozen value
        keys: KnownKeys | None = None,
        anchored: bool = True,
    ) -> tuple[Verdict, list[Finding]]:
        """The verdict, and all that was told."""
        verification = Verification(
            VerifyStore(self.database), self.links, keys or self.known, self.anchor if anchored else None, patience=0
        )
        findings: list[Finding] = []
        verdict: Verdict | None = None
        async for progress in verification.run(scope):
            findings += progress.findings
            verdict = progress.verdict
        assert verdict is not None
        assert verdict.findings == len(findings) or len(findings) >= scope.most_findings
        assert verdict.is_intact == (not findings)
        return verdict, findings

    async def found(self, **options: Any) -> list[tuple[str, int, int]]:
        """Kind, first and last place of each finding."""
        _, findings = await self.verify(**options)
        return [(one.kind, one.sequence, one.last_sequence) for one in findings]

    async def run(self, statement: str, **values: Any) -> list[Any]:
        """Any statement, as somebody runs it who is let in."""

        async def work(connection: Any) -> list[Any]:
            result = await connection.execute(text(statement), values)
            return list(result.all()) if result.returns_rows else []

        return await self.database.transaction(work)

    async def drop_triggers(self) -> None:
        """What somebody does first who means to change the log."""
        for name in triggers(PREFIX, self.database.dialect):
            await self.run(f"DROP TRIGGER {name}")

    async def stored(self) -> Sequence[Checkpoint]:
        """The database's checkpoints, the oldest first."""
        return (await self.links.checkpoints())[::-1]


Rows = list[dict[str, Any]]


@dataclass
class Tables:
    """What stands in the three tables, to be changed at will and written back."""

    links: Rows
    checkpoints: Rows
    rows: Rows

    @classmethod
    async def read(cls, rig: Rig) -> "Tables":
        """All that is there."""

        async def rows(table: str, order: str) -> Rows:
            found = await rig.run(f"SELECT * FROM {table} ORDER BY {order}")
            return [dict(row._mapping) for row in found]

        return cls(await rows(CHAIN, "sequence"), await rows(CHECKPOINTS, "sequence"), await rows(LOGS, "id"))

    def copy(self) -> "Tables":
        """The same, to be changed."""
        return Tables(*([dict(row) for row in rows] for rows in (self.links, self.checkpoints, self.rows)))

    async def write(self, rig: Rig) -> None:
        """Puts these rows in the place of all that is there."""

        async def work(connection: Any) -> None:
            for table, rows in ((CHAIN, self.links), (CHECKPOINTS, self.checkpoints), (LOGS, self.rows)):
                await connection.execute(text(f"DELETE FROM {table}"))
                if rows:
                    columns = ", ".join(rows[0])
                    values = ", ".join(f":{name}" for name in rows[0])
                    await connection.execute(text(f"INSERT INTO {table} ({columns}) VALUES ({values})"), rows)

        await rig.database.transaction(work)

    def link(self, place: int) -> dict[str, Any]:
        """The link at a place."""
        return next(link for link in self.links if link["sequence"] == place)

    def row(self, place: int) -> dict[str, Any]:
        """The log's row that the link at a place seals."""
        return next(row for row in self.rows if row["id"] == self.link(place)["entry_id"])

    def rehash(self, first: int, mac_key: bytes | None) -> None:
        """Makes the heads from a place on anew, as whoever knows the format can; macs only with a key."""
        head = START if first == 1 else self.link(first - 1)["head"]
        for link in self.links:
            if link["sequence"] >= first:
                head = link["head"] = next_head(head, leaf(link["canonical"]))
                if mac_key is not None:
                    link["mac"] = mac(mac_key, head)


async def made(url: str, directory: Path) -> tuple[Rig, Tables]:
    """A chain of twelve links with three checkpoints, without triggers, and what stands in its tables."""
    database = await Database.open(url, table_prefix=PREFIX)
    await MIGRATIONS.upgrade(database, PREFIX)
    rig = Rig(database, directory)
    for start, end in zip((0, *SIGNED), SIGNED, strict=False):
        await rig.seal(*(entry(query_string=f"call {number} é") for number in range(start, end)))
    assert [checkpoint.sequence for checkpoint in await rig.stored()] == list(SIGNED)
    await rig.drop_triggers()
    return rig, await Tables.read(rig)


def flipped(raw: bytes, index: int) -> bytes:
    """The bytes with one bit changed."""
    at = index % len(raw)
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


def other(value: Any, column: str = "") -> Any:
    """Another value of the same kind, as near as can be."""
    if isinstance(value, bytes):
        return flipped(value, len(value) // 2)
    if isinstance(value, int):
        return value + 1
    if isinstance(value, datetime):
        return value + timedelta(microseconds=1)
    if column in ("created_at", "sealed_at"):
        return value[:-1] + ("0" if value[-1] != "0" else "1")
    if value is None:
        return 5 if column in ("requested_by", "system_id", "response_status", "execution_time_ms") else ""
    return {"success": "error", '{"size": 12}': '{"size":12}'}.get(value, value.swapcase() if value else "x")
