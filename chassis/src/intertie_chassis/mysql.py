"""How MySQL and MariaDB are reached: session settings and pools.

asyncmy from 0.2.18 on reports a connection that died as an error of its own also under uvloop (asyncmy #158), so that
pre-ping replaces it; no dialect of our own is needed for that, and a test holds it on both event loops.
"""

import time
from pathlib import Path
from typing import Any, NamedTuple

import asyncmy
from asyncmy.constants.CR import CR_SERVER_LOST as CONNECTION_LOST
from sqlalchemy import URL, event, exc, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from intertie_chassis import durability
from intertie_chassis.bulk_cursor import STATEMENTS, BulkCursor
from intertie_chassis.errors import StartupError

_CONNECT_SECONDS = 2
_READ_SECONDS = 30
_RESTED_SECONDS = 1.0
_USED_AT = "intertie used it at"
_FILES = {"ssl_ca", "ssl_cert", "ssl_key"}
_OPTIONS = {"charset", "unix_socket", "ssl_check_hostname", *_FILES}
LOCK_WAIT_SECONDS = 5
"""How long a statement waits for rows, and one of a reader or writer also for a table, that others have locked."""
_SESSION = (
    "time_zone='+00:00', "
    # Strict: without it a value that does not fit is cut or zeroed without an error.
    "sql_mode='STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ZERO_DATE,NO_ZERO_IN_DATE,NO_ENGINE_SUBSTITUTION'"
)


class LockWait(NamedTuple):
    """How many seconds a statement waits for what others have locked."""

    rows: int
    #: also for a lock on everything, as a backup takes it
    tables: int


USUAL_LOCK_WAIT = LockWait(LOCK_WAIT_SECONDS, LOCK_WAIT_SECONDS)
_PATIENT = LockWait(LOCK_WAIT_SECONDS, 86400)
"""With the server's own default for a table, a day. Whoever may give up needs less: nothing tells the server that its
client has gone, and until then the session would keep the rows that it has locked."""


def lock_wait(wait: LockWait) -> str:
    """The statement after which the session waits so long."""
    return f"SET SESSION innodb_lock_wait_timeout={wait.rows}, lock_wait_timeout={wait.tables}"


def _begin_session(wait: LockWait) -> str:
    return f"{lock_wait(wait)}, {_SESSION}"


def writer_engine(url: str, pool_size: int, lock_wait: LockWait = USUAL_LOCK_WAIT) -> AsyncEngine:
    """The engine of transactions. READ COMMITTED: the default REPEATABLE READ takes gap locks that stop inserts while
    another transaction claims rows, and its reads do not see what its writes meet."""
    return _engine(
        url,
        isolation_level="READ COMMITTED",
        pool_size=pool_size,
        init=_begin_session(lock_wait),
        read_timeout=_READ_SECONDS,
        is_writer=True,
    )


def reader_engine(url: str, pool_size: int) -> AsyncEngine:
    """The engine of reads: statements that each stand alone, in sessions that the server itself keeps from writing."""
    return _engine(
        url,
        isolation_level="AUTOCOMMIT",
        pool_size=pool_size,
        init=_begin_session(USUAL_LOCK_WAIT),
        read_timeout=_READ_SECONDS,
        read_only=True,
    )


def looker_engine(url: str) -> AsyncEngine:
    """An engine for looking whether the server is there: each connection is a new one, and none waits for long."""
    return _engine(
        url, isolation_level="AUTOCOMMIT", pool_size=None, init=_begin_session(_PATIENT), read_timeout=_CONNECT_SECONDS
    )


def schema_engine(url: str) -> AsyncEngine:
    """An engine for changes of the schema: each statement commits by itself and may take as long as it takes."""
    return _engine(url, isolation_level="AUTOCOMMIT", pool_size=None, init=_begin_session(_PATIENT), read_timeout=None)


def _engine(
    url: str,
    *,
    isolation_level: Any,
    pool_size: int | None,
    init: str,
    read_timeout: float | None,
    read_only: bool = False,
    is_writer: bool = False,
) -> AsyncEngine:
    options: dict[str, Any] = {"poolclass": NullPool}
    if pool_size is not None:
        options = {
            "pool_size": pool_size,
            "max_overflow": 0,
            "pool_timeout": 2,
            "pool_pre_ping": True,
            "pool_recycle": 1800,
            "pool_use_lifo": True,
        }
    if isolation_level == "AUTOCOMMIT":
        options["skip_autocommit_rollback"] = True
    if is_writer:
        # Transactions are committed or rolled back where they are begun, and an interrupted connection is thrown away:
        # the pool's own ROLLBACK after each COMMIT would be a round trip for nothing. So is its ping before each use
        # of a connection that was used a moment ago.
        options |= {"pool_reset_on_return": None, "pool_pre_ping": False}
    address = make_url(url)
    _refuse_what_cannot_work(address)
    # Whatever character set the URL names: in a smaller one (`utf8` is) names and payloads would be lost or refused.
    address = address.difference_update_query(["charset"])
    connect: dict[str, Any] = {"connect_timeout": _CONNECT_SECONDS, "init_command": init, "charset": "utf8mb4"}
    connect |= {"async_creator_fn": _connect, "cursor_cls": BulkCursor, "stmt_cache_size": STATEMENTS}
    if address.password:
        # As bytes: of a text the driver makes latin-1, while servers and their command-line clients take UTF-8.
        connect["password"] = str(address.password).encode()
    if read_timeout is not None:
        connect["read_timeout"] = read_timeout
    engine = create_async_engine(
        address, isolation_level=isolation_level, hide_parameters=True, connect_args=connect, **options
    )
    if read_only:

        @event.listens_for(engine.sync_engine, "connect")
        def on_connect(connection: Any, _record: Any) -> None:
            # A statement of its own: one server calls the variable tx_read_only, another transaction_read_only.
            cursor = connection.cursor()
            cursor.execute("SET SESSION TRANSACTION READ ONLY")
            cursor.close()

    if is_writer:
        _ping_what_has_rested(engine)
    return engine


def _ping_what_has_rested(engine: AsyncEngine) -> None:
    """Has a connection that nobody used for a second looked at before its next use, and replaced when it is dead."""

    @event.listens_for(engine.sync_engine, "checkin")
    def on_checkin(_connection: Any, record: Any) -> None:
        record.info[_USED_AT] = time.monotonic()

    @event.listens_for(engine.sync_engine, "checkout")
    def on_checkout(connection: Any, record: Any, _fairy: Any) -> None:
        used_at = record.info.get(_USED_AT)
        if used_at is None or time.monotonic() - used_at < _RESTED_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise exc.InvalidatePoolError("a connection of the pool is dead") from error


async def _connect(**options: Any) -> Any:
    """The driver's connect, which under uvloop has no error for a server that hangs up at once, as a full one does."""
    try:
        return await asyncmy.connect(**options)
    except RuntimeError as error:
        raise asyncmy.errors.OperationalError(CONNECTION_LOST, "the server ended the connection at once") from error


def _refuse_what_cannot_work(address: URL) -> None:
    """Raises StartupError, by which a person can mend the URL, for what the driver would only fail at later."""
    if not address.database:
        raise StartupError(
            "the database URL names no database: it must end with one, as in mysql://user:password@host/LGU"
        )
    unknown = sorted(set(address.query) - _OPTIONS)
    if unknown:
        raise StartupError(
            f"the database URL has options that are not known: {', '.join(unknown)}; "
            f"it takes {', '.join(sorted(_OPTIONS))}"
        )
    for option in sorted(_FILES & set(address.query)):
        if not Path(str(address.query[option])).is_file():
            raise StartupError(f"the file that {option} of the database URL names cannot be found")


async def check(engine: AsyncEngine) -> tuple[dict[str, str], tuple[str, ...]]:
    """The server's version, for the log, and which of its settings would lose what is committed (`durability`)."""
    names = ", ".join(f"'{name}'" for name in ("version", "max_allowed_packet", *durability.SERVER_VARIABLES))
    async with engine.connect() as connection:
        # Not @@name: a server lacks some of them.
        query = f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})"
        rows = (await connection.exec_driver_sql(query)).mappings().all()
    variables = {str(row["Variable_name"]).lower(): str(row["Value"]) for row in rows}
    facts = {name: variables.get(name, "") for name in ("version", "max_allowed_packet")}
    return facts, durability.of_server(variables)
