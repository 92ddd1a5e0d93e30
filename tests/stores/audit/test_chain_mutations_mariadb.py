"""What is done to a sealed log on MariaDB is found as it is on SQLite."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from chain_rig import LENGTH, Rig, Tables, made, other
from intertie_audit.chain import ENTRY_COLUMNS
from intertie_audit.chain_keys import KnownKeys
from intertie_audit.verification import Scope


@pytest.fixture
async def mariadb_sample(mariadb_url: str, tmp_path: Path) -> AsyncIterator[tuple[Rig, Tables]]:
    """The same on MariaDB."""
    rig, tables = await made(mariadb_url, tmp_path)
    yield rig, tables
    await rig.database.close()


async def test_the_same_on_mariadb(mariadb_sample: tuple[Rig, Tables]) -> None:
    """Each column of an entry and of a link, and one of each other kind."""
    rig, tables = mariadb_sample
    assert await rig.found() == []
    assert await rig.found(scope=Scope(3, 7), keys=KnownKeys(rig.known.jwks, [])) == []

    async def after(change: Callable[[Tables], None]) -> list[tuple[str, int, int]]:
        changed = tables.copy()
        change(changed)
        await changed.write(rig)
        return await rig.found()

    for column in (*ENTRY_COLUMNS[1:], "request_payload"):

        def edit(changed: Tables, column: str = column) -> None:
            row = changed.row(5)
            row[column] = "x" if column == "error_message" else other(row[column], column)

        kind = "PAYLOAD_ALTERED" if column == "request_payload" else "ENTRY_ALTERED"
        assert await after(edit) == [(kind, 5, 5)], column
    for column in ("kind", "canonical", "head", "mac", "sealed_at"):

        def break_link(changed: Tables, column: str = column) -> None:
            changed.link(5)[column] = other(changed.link(5)[column], column)

        assert await after(break_link) == [("LINK_BROKEN", 5, 5)], column

    def cut(changed: Tables) -> None:
        changed.links = changed.links[:6]
        changed.checkpoints = changed.checkpoints[:1]

    assert ("TRUNCATED", 7, LENGTH) in await after(cut)

    def anew(changed: Tables) -> None:
        changed.link(7)["canonical"] += b" "
        changed.rehash(7, None)

    assert await after(anew) == [("LINK_BROKEN", 7, LENGTH), ("HEAD_MISMATCH", 7, LENGTH)]
