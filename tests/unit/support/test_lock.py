"""The check of the lock: what it must find, and that the lock itself is sound."""

import pytest

from check_lock import ADVISORIES, LOCK, WANTED, faults_of_lock

HASH = "--hash=sha256:" + "a" * 64
ADVISORY = '[[advisory]]\npackage = "thing"\nid = "CVE-1"\nfixed = "1.10"\nabout = "it breaks"\n'


@pytest.mark.parametrize(
    ("lock", "wanted", "expected"),
    [
        (f"thing==1.10 \\\n    {HASH}\n", "thing>=1", []),
        (f"thing==1.9 \\\n    {HASH}\n", "thing", ["thing 1.9 has CVE-1 (it breaks): take 1.10 or newer"]),
        ("thing==1.10\n", "thing", ["thing has no hash"]),
        (f"thing>=1.10 {HASH}\n", "", ["thing is not pinned to one version"]),
        (f"thing==1.10 {HASH}\nThing==1.11 {HASH}\n", "", ["thing is locked twice"]),
        (f"thing==1.10 {HASH}\n", "thing>=2\nother", ["thing>=2 is wanted, and the lock has 1.10"]),
        (f"thing==1.10 ; python_version >= '3.11' {HASH}\n", "# a comment\nthing", []),
    ],
)
def test_faults_of_a_lock_are_named(lock: str, wanted: str, expected: list[str]) -> None:
    """Pins, hashes, what is wanted, and versions with known faults."""
    found = [*faults_of_lock(lock, wanted, ADVISORY)]
    assert found[: len(expected)] == expected
    assert bool(found) == bool(expected)


def test_our_lock_has_none() -> None:
    """What is locked is pinned, hashed and free of the faults that are known here."""
    assert [*faults_of_lock(LOCK.read_text(), WANTED.read_text(), ADVISORIES.read_text())] == []
