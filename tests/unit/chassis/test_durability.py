"""Which settings would lose what is acknowledged."""

import pytest

from intertie_chassis import durability

GOOD = {
    "innodb_flush_log_at_trx_commit": "1",
    "log_bin": "OFF",
    "sync_binlog": "0",
    "innodb_doublewrite": "ON",
    "innodb_flush_method": "O_DIRECT",
    "wsrep_on": "OFF",
}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"innodb_flush_log_at_trx_commit": "3"},
        {"log_bin": "ON", "sync_binlog": "1"},
        {"innodb_flush_method": "fsync"},
        {"innodb_flush_method": "O_DIRECT_NO_FSYNC"},
        {"innodb_doublewrite": "DETECT_AND_RECOVER"},
    ],
)
def test_what_keeps_all_is_not_warned_of(changes: dict[str, str]) -> None:
    assert durability.of_server(GOOD | changes) == ()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"innodb_flush_log_at_trx_commit": "2"}, "innodb_flush_log_at_trx_commit is 2"),
        ({"innodb_flush_log_at_trx_commit": "0"}, "innodb_flush_log_at_trx_commit is 0"),
        ({"log_bin": "ON"}, "sync_binlog is 0"),
        ({"log_bin": "ON", "sync_binlog": "100"}, "sync_binlog is 100"),
        ({"innodb_doublewrite": "OFF"}, "innodb_doublewrite"),
        ({"innodb_doublewrite": "DETECT_ONLY"}, "innodb_doublewrite"),
        ({"innodb_flush_method": "nosync"}, "innodb_flush_method"),
        ({"wsrep_on": "ON"}, "Galera"),
    ],
)
def test_what_loses_is_named(changes: dict[str, str], told: str) -> None:
    (fault,) = durability.of_server(GOOD | changes)
    assert told in fault


def test_what_a_server_does_not_know_is_no_fault() -> None:
    assert durability.of_server({}) == ()


@pytest.mark.parametrize(
    ("journal_mode", "synchronous", "faults"), [("wal", 2, 0), ("wal", 3, 0), ("wal", 1, 1), ("delete", 2, 1)]
)
def test_a_file_keeps_all_in_wal_and_full_only(journal_mode: str, synchronous: int, faults: int) -> None:
    assert len(durability.of_file(journal_mode, synchronous)) == faults
