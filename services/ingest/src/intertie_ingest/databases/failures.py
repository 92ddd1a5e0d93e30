"""What an external database's error means to whoever asked: one of our errors, in the database's own words where safe.

A database's message names tables and columns, which helps; it may also quote the statement, a value or the account,
which is nobody's business: those are cut out.
"""

import asyncio
import re
import sqlite3
import ssl

import asyncpg
from asyncmy import errors as mysql
from sqlalchemy import exc

from intertie_chassis.errors import IntertieError
from intertie_ingest.errors import (
    ConnectionUnusable,
    ExternalInvalid,
    ExternalUnavailable,
    QueryFailed,
    QueryTimedOut,
)
from intertie_ingest.external import ExternalConnection

_LONGEST = 300
_AWAY = "the external database cannot be reached, or the connection to it was lost; try again"
_LOGIN = "the external database does not accept the connection's user name and password"
_NO_DATABASE = "the external database does not know the database of this name, or does not open it for this user"

_MYSQL_LOGIN = {1045, 1698, 1251, 2054, 2059, 1862, 3118, 3955, 4151, 1820}
_MYSQL_DATABASE = {1044, 1049}
_MYSQL_TIME = {1969, 3024, 1317, 1205, 1028}
_MYSQL_AWAY = {1040, 1041, 1053, 1158, 1159, 1160, 1161, 1203, 1213, 1226, 1290, 1836, 1927, 4031}
_MYSQL_AWAY |= set(range(1077, 1081)) | set(range(2000, 2100)) - _MYSQL_LOGIN
_POSTGRESQL_LOGIN = ("28",)
_POSTGRESQL_DATABASE = ("3D000",)
_POSTGRESQL_TIME = ("57014", "55P03", "25P03", "25P04")
_POSTGRESQL_AWAY = ("08", "53", "57", "58", "40")

_ACCOUNT = re.compile(r"\s*(?:to|for|by) user '[^']*'(?:@'[^']*')?|\s*(?:for|of) user \"[^\"]*\"")
# What event loops say of a connection that is gone, and the driver of a server that asks for our files.
_CLOSED = re.compile("clos|LOAD_LOCAL")
_NEAR = re.compile(r"(?:;? check the manual[^;]*?)?\s*\b(?:at or )?near\b.*", re.DOTALL)
_QUOTED = re.compile(r": \"[^\"]*\"|: '[^']*'|(?<=entry )'.*'(?= for key)|(?<=value: )'.*?'|: '.*", re.DOTALL)


def translated(error: BaseException, connection: ExternalConnection) -> IntertieError | None:
    """The error for the caller; None for one that no database and no network has raised.

    It tells no statement, parameter, account or host.
    """
    error = getattr(error, "orig", None) or error
    if isinstance(error, IntertieError):
        return error
    if isinstance(error, mysql.MySQLError):
        return _of_mysql(error, connection)
    if isinstance(error, asyncpg.PostgresError):
        return _of_postgresql(error, connection)
    if isinstance(error, sqlite3.Error):
        return _of_sqlite(error, connection)
    if isinstance(error, ssl.SSLCertVerificationError):
        return ConnectionUnusable("the external database's certificate is not one that tls and tls_ca accept")
    if isinstance(error, UnicodeDecodeError):
        return ExternalInvalid("the external database sent a text that is not what its character set says")
    if isinstance(error, OverflowError | ValueError) and not isinstance(error, asyncpg.InterfaceError):
        return ExternalInvalid("the external database sent a value that cannot be read, such as a year over 9999")
    if isinstance(error, asyncpg.InterfaceError):
        return _of_client(error)
    if isinstance(error, ssl.SSLError | OSError | EOFError | TimeoutError | asyncio.IncompleteReadError):
        return ExternalUnavailable(_AWAY, retry_after=5)
    if isinstance(error, RuntimeError) and _CLOSED.search(str(error)):
        return ExternalUnavailable(_AWAY, retry_after=5)
    if isinstance(error, exc.SQLAlchemyError):
        return QueryFailed(shown(str(error).split("\n")[0], connection))
    return _of_any_driver(error, connection)


def shown(message: str, connection: ExternalConnection) -> str:
    """A database's message on one line of at most 300 characters, without account, host and values."""
    text = _QUOTED.sub("", _NEAR.sub("", _ACCOUNT.sub("", " ".join(message.split()))))
    for secret in (connection.db_password, connection.db_host, connection.db_username):
        if len(secret) > 2:
            text = text.replace(secret, "…")
    text = text.strip(" :;,").encode("utf-8", "replace").decode()
    return text[:_LONGEST] or "the external database does not accept the statement"


def _of_mysql(error: mysql.MySQLError, connection: ExternalConnection) -> IntertieError:
    number, message = (*error.args, 0, "")[:2] if len(error.args) >= 2 else (0, str(error))
    if number in _MYSQL_LOGIN:
        return ConnectionUnusable(_LOGIN)
    if number in _MYSQL_DATABASE:
        return ConnectionUnusable(_NO_DATABASE)
    if number in _MYSQL_TIME:
        return QueryTimedOut()
    if number in _MYSQL_AWAY or isinstance(error, mysql.InterfaceError):
        if isinstance(error.__cause__, ssl.SSLCertVerificationError):
            return ConnectionUnusable("the external database's certificate is not one that tls and tls_ca accept")
        return ExternalUnavailable(_AWAY, retry_after=5)
    return QueryFailed(shown(str(message), connection))


def _of_postgresql(error: asyncpg.PostgresError, connection: ExternalConnection) -> IntertieError:
    state = error.sqlstate or ""
    if state.startswith(_POSTGRESQL_LOGIN):
        return ConnectionUnusable(_LOGIN)
    if state in _POSTGRESQL_DATABASE:
        return ConnectionUnusable(_NO_DATABASE)
    if state in _POSTGRESQL_TIME:
        return QueryTimedOut()
    if state.startswith(_POSTGRESQL_AWAY):
        return ExternalUnavailable(_AWAY, retry_after=5)
    return QueryFailed(shown(str(error.args[0]) if error.args else "", connection))


def _of_client(error: asyncpg.InterfaceError) -> IntertieError:
    if "SSL" in str(error) or "ssl" in str(error):
        return ConnectionUnusable("the external database offers no TLS, which tls asks for")
    return ExternalUnavailable(_AWAY, retry_after=5)


def _of_sqlite(error: sqlite3.Error, connection: ExternalConnection) -> IntertieError:
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if code == sqlite3.SQLITE_INTERRUPT:
        return QueryTimedOut()
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL):
        return ExternalUnavailable(_AWAY, retry_after=1)
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_PROTOCOL):
        return ConnectionUnusable("db_name is not the path of a SQLite database that can be opened")
    if code == sqlite3.SQLITE_AUTH:
        return QueryFailed("the statement does what is not allowed here")
    if isinstance(error, sqlite3.OperationalError) and "UTF-8" in str(error):
        return ExternalInvalid("the external database sent a text that is not valid UTF-8")
    return QueryFailed(shown(str(error), connection))


def _of_any_driver(error: BaseException, connection: ExternalConnection) -> IntertieError | None:
    """Of the drivers of the optional extras all that is known is that DB-API names their errors."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if not kinds & {"DatabaseError", "InterfaceError"}:
        return None
    if kinds & {"OperationalError", "InterfaceError"}:
        return ExternalUnavailable(_AWAY, retry_after=5)
    return QueryFailed(shown(str(error), connection))
