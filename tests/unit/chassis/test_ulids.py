"""The ids that are made here are ULIDs as everybody else reads them."""

import time

from ulid import ULID

from intertie_chassis.ids import new_ulid


def test_an_id_is_a_ulid_of_its_moment() -> None:
    """Its first part is the millisecond, its text the usual one; another implementation reads it."""
    before = time.time_ns() // 1_000_000
    made = new_ulid()
    after = time.time_ns() // 1_000_000
    read = ULID.from_str(made)
    assert before <= read.milliseconds <= after
    assert str(read) == made


def test_ids_of_one_millisecond_differ() -> None:
    """Eighty bits of them are random."""
    assert len({new_ulid() for _ in range(10_000)}) == 10_000
