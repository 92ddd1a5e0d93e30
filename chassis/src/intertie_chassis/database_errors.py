"""What a database error means: a conflict to retry, a store that is away, a duplicate, a fault of the data.

The numbers are MySQL's and MariaDB's error codes and SQLite's (extended) result codes.
"""

from sqlalchemy import exc

_MYSQL_LOCK_WAIT = 1205
_MYSQL_CONFLICT = {
    _MYSQL_LOCK_WAIT,  # of a row or of a table
    1213,  # deadlock
    1020,  # record has changed since last read (MariaDB with innodb_snapshot_isolation)
    1206,  # no room for more locks
}
_MYSQL_AWAY = {
    1021,  # disk full
    1026,  # error writing a file (the binary log's disk is full, say)
    1030,  # storage engine error
    1036,  # the table is read-only
    1037,
    1038,
    1041,  # out of memory
    1040,  # too many connections
    1047,  # a node of a cluster that is not ready
    1044,
    1045,  # access denied, of a server that let us in before: a password that is being changed
    1053,  # server is shutting down
    1077,
    1078,
    1079,
    1080,
    1114,  # the table is full
    1129,  # the host is blocked after too many errors of connecting
    1135,  # no thread can be made
    1158,
    1159,
    1160,
    1161,  # network read and write errors
    1180,  # an error during COMMIT
    1203,  # too many connections of this user
    1226,  # resource limit of this user
    1290,  # the server runs read-only
    1317,  # query interrupted
    1792,  # the transaction is read-only
    1836,  # the server is in read-only mode
    1927,  # connection was killed
    1969,  # a statement took longer than the server allows
    2002,
    2003,  # cannot connect
    2006,  # server has gone away
    2013,  # connection lost during a query
    2014,
    2055,
    3168,  # server is not ready
    4031,  # disconnected for inactivity
}
_MYSQL_LOST = {1053, 1077, 1078, 1079, 1080, 1158, 1159, 1160, 1161, 2002, 2003, 2006, 2013, 2014, 2055, 3168}
_MYSQL_REFUSAL = {1021, 1026, 1030, 1036, 1114, 1180, 1290, 1792, 1836}
_MYSQL_DATA = {
    1048,  # column cannot be null
    1062,  # duplicate key
    1136,  # column count does not match
    1138,
    1169,
    1264,  # out of range
    1265,  # data truncated (also an ENUM's unknown value)
    1292,  # incorrect date, number …
    1364,  # no default value
    1366,  # incorrect value, also of a character set
    1367,
    1406,  # data too long
    1411,
    1425,
    1441,
    1451,
    1452,  # foreign key
    1526,
    1557,
    1586,  # duplicate key, named
    1690,  # value out of range in an expression
    1748,
    1765,
    1859,
    3140,  # invalid JSON text
    3819,  # check constraint (MySQL)
    4025,  # check constraint (MariaDB), also of JSON columns
}
_MYSQL_DENIED = {1142, 1143}
_MYSQL_DUPLICATE = {1062, 1169, 1586, 1859}
_SQLITE_CONFLICT = {5, 6}  # BUSY (with BUSY_SNAPSHOT), LOCKED
_SQLITE_AWAY = {8, 10, 11, 13, 14, 26}  # READONLY, IOERR, CORRUPT, FULL, CANTOPEN, NOTADB
_SQLITE_DATA = {18, 19, 20}  # TOOBIG, CONSTRAINT, MISMATCH
_SQLITE_DUPLICATE = {1555, 2067, 2579}  # PRIMARYKEY, UNIQUE, ROWID


def is_duplicate_key(error: BaseException) -> bool:
    """Whether a row with the same unique or primary key exists."""
    number, is_sqlite = _number(error)
    return number in (_SQLITE_DUPLICATE if is_sqlite else _MYSQL_DUPLICATE)


def is_data_error(error: BaseException) -> bool:
    """Whether the fault is in the values of the row (a duplicate key included), so that retrying cannot help."""
    number, is_sqlite = _number(error)
    if is_sqlite:
        return number is not None and number & 0xFF in _SQLITE_DATA
    return number in _MYSQL_DATA or (number is None and isinstance(error, (exc.DataError, exc.IntegrityError)))


def is_denied(error: BaseException) -> bool:
    """Whether the account may not do this to the table or the column: no fault of the data, and a grant mends it."""
    number, is_sqlite = _number(error)
    return not is_sqlite and number in _MYSQL_DENIED


def is_conflict(error: BaseException) -> bool:
    """Whether another transaction was in the way, so that running this one again is right."""
    number, is_sqlite = _number(error)
    if is_sqlite:
        return number is not None and number & 0xFF in _SQLITE_CONFLICT
    return number in _MYSQL_CONFLICT


def is_lock_wait(error: BaseException) -> bool:
    """Whether it is a conflict that took its whole time of waiting to show, unlike a deadlock, which shows at once."""
    number, is_sqlite = _number(error)
    return is_conflict(error) if is_sqlite else number == _MYSQL_LOCK_WAIT


def is_away(error: BaseException) -> bool:
    """Whether the store cannot be reached, cannot write, or has no connection free."""
    if isinstance(error, exc.TimeoutError) or (isinstance(error, exc.DBAPIError) and error.connection_invalidated):
        return True
    number, is_sqlite = _number(error)
    if is_sqlite:
        return number is not None and number & 0xFF in _SQLITE_AWAY
    # What the driver says without a number is about its connection, not about a statement.
    is_drivers = isinstance(error, exc.InterfaceError) or (number is None and isinstance(error, exc.InternalError))
    return number in _MYSQL_AWAY or is_drivers


def is_crowded(error: BaseException) -> bool:
    """Whether no connection of the pool came free: the store may be well."""
    return isinstance(error, exc.TimeoutError)


def is_refusal(error: BaseException) -> bool:
    """Whether the store answers that it cannot write: its disk is full or fails, or it is read-only."""
    number, is_sqlite = _number(error)
    if is_sqlite:
        return number is not None and number & 0xFF in _SQLITE_AWAY
    return number in _MYSQL_REFUSAL


def is_lost(error: BaseException) -> bool:
    """Whether the server did not answer: it cannot be reached, hung up, or is going down."""
    number, is_sqlite = _number(error)
    return not is_sqlite and (number in _MYSQL_LOST or number is None)


def error_number(error: BaseException) -> int | None:
    """The database's own number of the error; None when it has none."""
    return _number(error)[0]


def constraint_text(error: BaseException) -> str:
    """The driver's text, from which a store may read which key or column is meant; not for callers' eyes."""
    return str(getattr(error, "orig", None) or error)


def _number(error: BaseException) -> tuple[int | None, bool]:
    original = getattr(error, "orig", None) or error
    sqlite_code = getattr(original, "sqlite_errorcode", None)
    if isinstance(sqlite_code, int):
        return sqlite_code, True
    first = original.args[0] if getattr(original, "args", None) else None
    return (first, False) if isinstance(first, int) and not isinstance(original, OSError) else (None, False)
