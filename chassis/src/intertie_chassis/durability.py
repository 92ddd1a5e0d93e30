"""Which settings of a database would lose what it has acknowledged. Pure."""

from collections.abc import Mapping

SERVER_VARIABLES = (
    "innodb_flush_log_at_trx_commit",
    "log_bin",
    "sync_binlog",
    "innodb_doublewrite",
    "innodb_flush_method",
    "wsrep_on",
)
"""What `of_server` wants to know; a server has not all of them."""

_NO_DOUBLEWRITE = {"off", "0", "detect_only"}
_NO_SYNC = {"nosync", "littlesync"}


def of_server(variables: Mapping[str, str]) -> tuple[str, ...]:
    """What is wrong with a MySQL or MariaDB server, each fault in a line that says what to set; empty when nothing is.

    Args:
        variables: global variables by their names in lower case.
    """
    values = {name: value.lower() for name, value in variables.items()}
    faults = []
    # 3 is MariaDB's: synced as 1 is, in more steps.
    if (flush := values.get("innodb_flush_log_at_trx_commit", "1")) not in ("1", "3"):
        faults.append(
            f"innodb_flush_log_at_trx_commit is {flush}: a power cut loses the last second; set it to 1, "
            "for the server (SET GLOBAL) and in its configuration"
        )
    # With the log on it decides which prepared transactions are kept: InnoDB then leaves the sync to it.
    if values.get("log_bin") in ("on", "1") and (sync := values.get("sync_binlog", "1")) != "1":
        faults.append(f"the binary log is on and sync_binlog is {sync}: a power cut loses commits; set sync_binlog=1")
    if (doublewrite := values.get("innodb_doublewrite", "on")) in _NO_DOUBLEWRITE:
        faults.append(
            f"innodb_doublewrite is {doublewrite}: a power cut may leave half-written pages, and then whole tables "
            "cannot be read; set innodb_doublewrite=ON"
        )
    if (method := values.get("innodb_flush_method", "fsync")) in _NO_SYNC:
        faults.append(f"innodb_flush_method is {method}: nothing is synced; set it to fsync or O_DIRECT")
    if values.get("wsrep_on") in ("on", "1"):
        faults.append(
            "the server is a node of a Galera cluster (wsrep_on=ON), which may lose transactions that it has "
            "acknowledged; nothing is promised there"
        )
    return tuple(faults)


def of_file(journal_mode: str, synchronous: int) -> tuple[str, ...]:
    """The same of an SQLite file, by the values of its two pragmas on the connection that writes."""
    faults = []
    if journal_mode.lower() != "wal":
        faults.append(
            f"journal_mode is {journal_mode} and not wal: the file's file system does not take shared memory; "
            "put the data directory on a local disk"
        )
    if synchronous < 2:
        faults.append(f"synchronous is {synchronous} and not FULL: a power cut loses the last commits")
    return tuple(faults)
