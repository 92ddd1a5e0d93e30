"""How MySQL and MariaDB are reached: session settings, pools, and a driver whose dead connections are recognised."""

from typing import Any, NoReturn

import structlog
from sqlalchemy import event, make_url
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.mysql.asyncmy import (
    AsyncAdapt_asyncmy_connection,
    AsyncAdapt_asyncmy_dbapi,
    MySQLDialect_asyncmy,
)
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.util.concurrency import await_

_log = structlog.get_logger()
_CONNECT_SECONDS = 2
_READ_SECONDS = 30
_SESSION = (
    "time_zone='+00:00', innodb_lock_wait_timeout=5, "
    # Strict: without it a value that does not fit is cut or zeroed without an error.
    "sql_mode='STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ZERO_DATE,NO_ZERO_IN_DATE,NO_ENGINE_SUBSTITUTION'"
)


class _Connection(AsyncAdapt_asyncmy_connection):
    """A connection whose transport died under it says so as the driver's errors do.

    uvloop raises RuntimeError("unable to perform operation on … the handler is closed") and the standard loop OSError;
    SQLAlchemy's dialect lets both pass untranslated, so that pre-ping fails instead of reconnecting (asyncmy #158).
    """

    __slots__ = ()

    @classmethod
    def _handle_exception_no_connection(cls, dbapi: Any, error: Exception) -> NoReturn:
        if isinstance(error, (RuntimeError, OSError, EOFError)) and not isinstance(error, dbapi.Error):
            raise dbapi.OperationalError(2013, "network operation failed: the connection is closed") from error
        super()._handle_exception_no_connection(dbapi, error)

    def _terminate_handled_exceptions(self) -> tuple[type[BaseException], ...]:
        return (*super()._terminate_handled_exceptions(), RuntimeError, self.dbapi.Error)


class _Driver(AsyncAdapt_asyncmy_dbapi):
    def connect(self, *arguments: Any, **options: Any) -> _Connection:
        creator = options.pop("async_creator_fn", self.asyncmy.connect)
        return await_(_Connection.create(self, creator(*arguments, **options)))


class Dialect(MySQLDialect_asyncmy):
    """SQLAlchemy's asyncmy dialect over `_Connection`."""

    supports_statement_cache = True

    @classmethod
    def import_dbapi(cls) -> Any:
        """The driver with our connection class."""
        return _Driver(__import__("asyncmy"))


registry.register("mysql.intertie", "intertie_chassis.mysql", "Dialect")


def writer_engine(url: str, pool_size: int) -> AsyncEngine:
    """The engine of transactions. READ COMMITTED: the default REPEATABLE READ takes gap locks that stop inserts while
    another transaction claims rows, and its reads do not see what its writes meet."""
    return _engine(
        url,
        isolation_level="READ COMMITTED",
        pool_size=pool_size,
        init=f"SET SESSION {_SESSION}",
        read_timeout=_READ_SECONDS,
    )


def reader_engine(url: str, pool_size: int) -> AsyncEngine:
    """The engine of reads: statements that each stand alone, in sessions that the server itself keeps from writing."""
    return _engine(
        url,
        isolation_level="AUTOCOMMIT",
        pool_size=pool_size,
        init=f"SET SESSION {_SESSION}",
        read_timeout=_READ_SECONDS,
        read_only=True,
    )


def schema_engine(url: str) -> AsyncEngine:
    """An engine for changes of the schema: each statement commits by itself and may take as long as it takes."""
    return _engine(url, isolation_level="AUTOCOMMIT", pool_size=None, init=f"SET SESSION {_SESSION}", read_timeout=None)


def _engine(
    url: str,
    *,
    isolation_level: Any,
    pool_size: int | None,
    init: str,
    read_timeout: float | None,
    read_only: bool = False,
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
    address = make_url(url).set(drivername="mysql+intertie")
    connect: dict[str, Any] = {"connect_timeout": _CONNECT_SECONDS, "init_command": init}
    if "charset" not in address.query:
        connect["charset"] = "utf8mb4"
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

    return engine


async def check(engine: AsyncEngine) -> None:
    """Logs the server's version, and warns when its settings do not keep what is committed."""
    async with engine.connect() as connection:
        row = (
            await connection.exec_driver_sql(
                "SELECT VERSION(), @@innodb_flush_log_at_trx_commit, @@log_bin, @@sync_binlog, @@max_allowed_packet"
            )
        ).one()
    version, flush, binlog, sync, packet = tuple(row)
    _log.info("database is open", version=version, max_allowed_packet=packet)
    if int(flush) != 1:
        _log.error(
            "DURABILITY DEGRADED: acknowledged data may be lost; set innodb_flush_log_at_trx_commit=1",
            innodb_flush_log_at_trx_commit=flush,
        )
    if int(binlog) == 1 and int(sync) != 1:
        _log.warning("the binary log may miss commits after a power cut; set sync_binlog=1", sync_binlog=sync)
