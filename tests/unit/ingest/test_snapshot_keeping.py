"""Keeping the configuration: used when registry does not answer, and as new as what registry said last."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ingest_samples import system
from intertie_chassis.durable_files import version_of
from intertie_chassis.sealing import SealingKey
from intertie_chassis.sealing_sources import GivenKeys
from intertie_ingest.snapshot import Change, Snapshot
from intertie_ingest.snapshot_file import Kept, SnapshotFile
from intertie_ingest.snapshot_keeping import SnapshotKeeper
from waiting import eventually

KEYS = GivenKeys(SealingKey.new().line())
A, B = system(name="a"), system(number=2, name="b")
NOW = 1_800_000_000.0


@dataclass
class Rig:
    """A process's snapshot and the file; the clock that registry's word is dated by stands."""

    path: Path
    now: float = NOW
    longest: timedelta = timedelta(days=36_500)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def file(self) -> SnapshotFile:
        """The file as another process sees it."""
        return SnapshotFile(self.path, KEYS, self.longest)

    def start(self, patience: float = 0.0) -> Snapshot:
        """The snapshot of a process that keeps it."""
        snapshot = Snapshot(lambda: self.now)
        keeper = SnapshotKeeper(snapshot, self.file, patience=patience, pause=0, clock=lambda: self.now)
        self.tasks.append(asyncio.create_task(keeper.run()))
        return snapshot

    def kept(self) -> Kept | None:
        """What the file holds."""
        return self.file.read(self.now)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """Nothing is kept yet."""
    made = Rig(tmp_path / "kept")
    yield made
    for task in made.tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_each_change_is_kept(rig: Rig) -> None:
    """New, changed and gone systems; half a snapshot is not."""
    snapshot = rig.start(patience=60)
    snapshot.apply(Change((A,), is_snapshot=True, is_complete=False))
    snapshot.apply(Change((B,), is_snapshot=True))
    await eventually(lambda: rig.kept() == Kept((A, B), NOW))
    snapshot.apply(Change((system(name="renamed"),), removed=(2,)))
    await eventually(lambda: rig.kept() == Kept((system(name="renamed"),), NOW))


async def test_a_sign_of_life_renews_it_now_and_then(rig: Rig) -> None:
    """It stays young as long as registry is there, and is not written each time."""
    snapshot = rig.start(patience=60)
    snapshot.apply(Change((A,), is_snapshot=True))
    await eventually(lambda: rig.kept() == Kept((A,), NOW))
    await eventually(lambda: not snapshot._heard.is_set())
    written = version_of(rig.path)
    rig.now += 299
    snapshot.apply(Change())
    await eventually(lambda: not snapshot._heard.is_set())
    assert version_of(rig.path) == written
    rig.now += 1
    snapshot.apply(Change())
    await eventually(lambda: rig.kept() == Kept((A,), NOW + 300))
    rig.now -= 200  # the clock was wrong, and a file from the future would not be used
    snapshot.apply(Change())
    await eventually(lambda: rig.kept() == Kept((A,), NOW + 100))


async def test_without_registry_what_was_kept_is_used_and_not_made_younger(rig: Rig) -> None:
    """Until registry answers: then all of it is replaced, in the file too. The log says since when registry is away."""
    rig.file.write((A, B), NOW)
    before = version_of(rig.path)
    rig.now += 7200
    with capture_logs() as logs:
        snapshot = rig.start()
        await eventually(lambda: snapshot.systems)
        assert (dict(snapshot.systems), snapshot.confirmed_at) == ({1: A, 2: B}, None)
        assert version_of(rig.path) == before
        snapshot.apply(Change((B,), is_snapshot=True))
        await eventually(lambda: rig.kept() == Kept((B,), NOW + 7200))
    assert [(one["log_level"], one.get("confirmed_at")) for one in logs] == [
        ("warning", "2027-01-15T08:00:00Z"),
        ("info", None),
    ]


async def test_registry_is_asked_first(rig: Rig) -> None:
    """What it says in time counts, and nothing of the file does."""
    rig.file.write((A, B), NOW)
    snapshot = rig.start(patience=60)
    snapshot.apply(Change((B,), is_snapshot=True))
    await eventually(lambda: rig.kept() == Kept((B,), NOW))
    assert dict(snapshot.systems) == {2: B}


@pytest.mark.parametrize("content", [b"", b"sealed:v1:k1:AAAA", b"\xff\x00" * 1000])
async def test_what_cannot_be_used_is_told_and_replaced(rig: Rig, content: bytes) -> None:
    """Deliveries wait for registry as they would without a file."""
    rig.path.write_bytes(content)
    with capture_logs() as logs:
        snapshot = rig.start()
        await eventually(lambda: logs)
        assert await snapshot.check() is not None
        snapshot.apply(Change((A,), is_snapshot=True))
        await eventually(lambda: rig.path.read_bytes() != content)
    assert rig.kept() == Kept((A,), NOW)
    assert [one["log_level"] for one in logs] == ["error"]


async def test_a_disk_that_fails_is_told_once_and_tried_again(rig: Rig) -> None:
    """Accepting goes on; what registry says next is kept once it can be."""
    rig.path.mkdir()
    with capture_logs() as logs:
        snapshot = rig.start(patience=60)
        for _ in range(3):
            snapshot.apply(Change((A,), is_snapshot=True))
            await eventually(lambda: not snapshot._heard.is_set() and logs)
        rig.path.rmdir()
        snapshot.apply(Change())
        await eventually(lambda: rig.path.is_file() and rig.kept() == Kept((A,), NOW))
    assert [one["log_level"] for one in logs] == ["error"]


async def test_what_was_kept_goes_when_nothing_is_to_be_kept(rig: Rig) -> None:
    """It holds secrets, so switched off means gone; and nothing is written any more."""
    rig.file.write((A,), NOW)
    rig.longest = timedelta(0)
    snapshot = rig.start()
    await eventually(lambda: not rig.path.exists())
    snapshot.apply(Change((A,), is_snapshot=True))
    await asyncio.sleep(0)
    assert snapshot._heard.is_set(), "nobody listens"
    assert not rig.path.exists()
