"""The configuration on disk: all of it as it was kept, by whoever has the key and in its place, or nothing."""

import stat
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canaries import canary, found
from ingest_samples import mapping, system
from intertie_chassis.errors import StartupError
from intertie_chassis.sealing import SealingKey
from intertie_chassis.sealing_sources import FileKeys, GivenKeys
from intertie_ingest import feed_convert
from intertie_ingest.configuration import StoredConnection, StoredGrant, StoredMapping, StoredSystem
from intertie_ingest.grants import NEVER
from intertie_ingest.snapshot_file import Kept, SnapshotFile, Unusable

NOW = 1_800_000_000.5
KEYS = GivenKeys(SealingKey("k1", b"1" * 32).line())
DAY = timedelta(days=1)
SECRET = canary("kept")
SYSTEMS = (
    system(mapping(), grants=(StoredGrant("events", "read", True),), webhook_secret=SECRET),
    system(number=2, name="zweites – ü", is_active=False, webhook_auth="none"),
)

IDS, TEXTS = st.integers(1, 2**32 - 1), st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
MOMENTS = st.integers(0, 4 * 10**15).map(lambda microseconds: microseconds * 1000 / 1e9) | st.just(NEVER)
STORED = st.builds(
    StoredSystem,
    IDS,
    TEXTS,
    st.booleans(),
    st.lists(st.builds(StoredConnection, IDS, st.booleans(), st.binary(max_size=9), TEXTS), max_size=2).map(tuple),
    st.lists(st.builds(StoredMapping, IDS, TEXTS, st.booleans(), TEXTS, st.binary(max_size=9), TEXTS), max_size=2).map(
        tuple
    ),
    st.lists(st.builds(StoredGrant, TEXTS, TEXTS, st.booleans(), st.binary(max_size=9), MOMENTS), max_size=2).map(
        tuple
    ),
)


@pytest.fixture
def file(tmp_path: Path) -> SnapshotFile:
    """A file that is not there yet."""
    return SnapshotFile(tmp_path / "kept", KEYS, DAY)


@given(st.lists(STORED, max_size=3).map(tuple))
def test_whatever_is_stored_is_kept(systems: tuple[StoredSystem, ...]) -> None:
    """Each field that accepting knows of, to the letter and the microsecond."""
    assert feed_convert.unpacked(feed_convert.packed(systems)) == systems


def test_what_is_kept_is_read(file: SnapshotFile) -> None:
    """The last that was written, with the time of its confirmation; nothing before the first."""
    assert file.read(NOW) is None
    file.write(SYSTEMS[:1], NOW - 10)
    file.write(SYSTEMS, NOW)
    assert file.read(NOW + 60) == Kept(SYSTEMS, NOW)
    file.write((), NOW)
    assert file.read(NOW) == Kept((), NOW)


def test_it_is_its_owners_and_holds_no_secret_in_clear(file: SnapshotFile) -> None:
    """Nor does any other file that is made on the way."""
    file.write(SYSTEMS, NOW)
    for path in file.path.parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert found([SECRET], path.read_bytes()) == []


def test_every_cut_and_every_changed_byte_is_noticed(file: SnapshotFile) -> None:
    """Half a configuration would answer 401 to those of the other half."""
    short = (system(name="a", webhook_secret=SECRET),)
    file.write(short, NOW)
    sealed = file.path.read_bytes()
    for end in range(len(sealed)):
        file.path.write_bytes(sealed[:end])
        with pytest.raises(Unusable):
            file.read(NOW)
    for at, byte in enumerate(sealed):
        for other in {byte ^ 1, byte ^ 0x80, ord("A"), ord("\n")} - {byte}:
            file.path.write_bytes(sealed[:at] + bytes([other]) + sealed[at + 1 :])
            with pytest.raises(Unusable) as caught:
                file.read(NOW)
            assert SECRET not in str(caught.value)
    file.path.write_bytes(sealed + b"\n")
    with pytest.raises(Unusable):
        file.read(NOW)
    file.path.write_bytes(sealed)
    assert file.read(NOW) == Kept(short, NOW)


def test_another_key_or_place_opens_nothing(file: SnapshotFile, tmp_path: Path) -> None:
    """A key of the same id, one that is not there, another file's content; an old key opens beside the new one."""
    file.write(SYSTEMS, NOW)
    old, new = SealingKey("k1", b"1" * 32), SealingKey("k2", b"2" * 32)
    for keys in (SealingKey("k1", b"2" * 32).line(), new.line()):
        with pytest.raises(Unusable, match="'k1'"):
            SnapshotFile(file.path, GivenKeys(keys), DAY).read(NOW)
    assert SnapshotFile(file.path, GivenKeys(f"{new.line()},{old.line()}"), DAY).read(NOW) == Kept(SYSTEMS, NOW)
    moved = SnapshotFile(tmp_path / "moved", KEYS, DAY)
    moved.path.write_bytes(file.path.read_bytes())
    with pytest.raises(Unusable):
        moved.read(NOW)


def test_what_was_sealed_for_another_use_is_refused(file: SnapshotFile) -> None:
    """Also what is authentic, and no configuration."""
    for associated in (b"", file._associated):
        file.path.write_text(KEYS.current().seal_bytes(b"7", associated))
        with pytest.raises(Unusable):
            file.read(NOW)
    file.path.write_text(KEYS.current().seal_bytes(bytes(8) + b"\xff\xff", file._associated))
    with pytest.raises(Unusable, match="another version"):
        file.read(NOW)


@pytest.mark.parametrize("age", [timedelta(0), DAY, timedelta(minutes=-4)])
def test_it_is_used_while_it_is_young(file: SnapshotFile, age: timedelta) -> None:
    """Up to its longest time, and for a clock that was a little fast."""
    file.write(SYSTEMS, NOW)
    assert file.read(NOW + age.total_seconds()) == Kept(SYSTEMS, NOW)


@pytest.mark.parametrize(
    ("confirmed_at", "why"),
    [
        (NOW - DAY.total_seconds() - 1, "1 day, 0:00:01 old"),
        (0.0, "old"),
        (NOW + 301, "future"),
        (float("inf"), "future"),
        (float("nan"), "future"),
    ],
)
def test_it_is_not_used_when_it_is_old(file: SnapshotFile, confirmed_at: float, why: str) -> None:
    """Whatever the file's own times say: what counts stands inside of the seal."""
    file.write(SYSTEMS, confirmed_at)
    with pytest.raises(Unusable, match=why):
        file.read(NOW)


def test_what_is_no_file(file: SnapshotFile) -> None:
    """Something else of that name, and one that cannot be a configuration."""
    file.path.mkdir()
    with pytest.raises(Unusable, match="no file"):
        file.read(NOW)
    with pytest.raises(OSError, match="kept"):
        file.write(SYSTEMS, NOW)


def test_its_key_is_made_when_it_is_needed(tmp_path: Path) -> None:
    """For its owner alone; a named one is not made, and neither reading nor writing goes on without it."""
    path = tmp_path / "keys" / "own.key"
    file = SnapshotFile(tmp_path / "deep" / "kept", FileKeys(path, is_made=True, head="# of ingest\n"), DAY)
    assert file.read(NOW) is None
    assert not path.exists()
    file.write(SYSTEMS, NOW)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().startswith("# of ingest\n")
    again = SnapshotFile(file.path, FileKeys(path), DAY)
    assert again.read(NOW) == Kept(SYSTEMS, NOW)
    missing = SnapshotFile(file.path, FileKeys(tmp_path / "missing"), DAY)
    with pytest.raises(Unusable, match="cannot be read"):
        missing.read(NOW)
    with pytest.raises(StartupError, match="cannot be read"):
        missing.write(SYSTEMS, NOW)


def test_what_a_cut_off_write_left_is_cleared_away(file: SnapshotFile) -> None:
    """Kills must not fill the disk; what others have beside it stays."""
    left, other = file.path.with_name(".kept.abcd_123"), file.path.with_name(".kept2.abcd_123")
    for path in (left, other):
        path.write_text("half")
    file.write(SYSTEMS, NOW)
    assert not left.exists()
    assert other.exists()


def test_it_can_be_removed(file: SnapshotFile) -> None:
    """Once."""
    file.write(SYSTEMS, NOW)
    assert (file.remove(), file.remove(), file.read(NOW)) == (True, False, None)
