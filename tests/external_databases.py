"""External databases for tests: a real one of each kind, with an account that may only read and one that may write."""

import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import pymysql

from intertie_ingest.external import ExternalConnection
from mariadb import MariaDBServer
from postgresql import PostgreSQLServer

LOOPBACK = {"allowed_networks": ["127.0.0.0/8"]}


class External(Protocol):
    """A database that the suite knows nothing of, with what a test does there from outside."""

    #: an account that may read and write the tables
    connection: ExternalConnection
    #: one that may only read them
    reader: ExternalConnection

    def execute(self, sql: str) -> None:
        """Run statements, separated by `;` at the end of a line, as the database's owner."""
        ...

    def insert(self, table: str, rows: Sequence[Sequence[Any]], *, new_only: bool = False) -> None:
        """Insert rows as the database's owner; with ``new_only`` those whose key is there already are left out."""
        ...

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query as the database's owner."""
        ...

    def close(self) -> None:
        """Remove the database and its accounts."""
        ...


def _statements(sql: str) -> list[str]:
    return [part.strip() for part in sql.split(";\n") if part.strip().rstrip(";")]


@dataclass
class ExternalSQLite:
    """A file."""

    connection: ExternalConnection
    reader: ExternalConnection

    @classmethod
    def make(cls, path: Path) -> "ExternalSQLite":
        """A fresh file at the path."""
        sqlite3.connect(path).close()
        path.touch()
        connection = ExternalConnection(1, 1, "files", "database", db_driver="sqlite", db_name=str(path))
        return cls(connection, replace(connection, id=2))

    def execute(self, sql: str) -> None:
        """See External."""
        with sqlite3.connect(self.connection.db_name) as connection:
            for statement in _statements(sql):
                connection.execute(statement)
        connection.close()

    def insert(self, table: str, rows: Sequence[Sequence[Any]], *, new_only: bool = False) -> None:
        """See External."""
        if rows:
            with sqlite3.connect(self.connection.db_name) as connection:
                verb = "INSERT OR IGNORE" if new_only else "INSERT"
                connection.executemany(f"{verb} INTO {table} VALUES ({','.join('?' * len(rows[0]))})", rows)
            connection.close()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """See External."""
        connection = sqlite3.connect(self.connection.db_name)
        try:
            return list(connection.execute(sql))
        finally:
            connection.close()

    def close(self) -> None:
        """See External."""
        Path(self.connection.db_name).unlink()


@dataclass
class ExternalMariaDB:
    """A database of the run's server, with accounts as the documentation says."""

    server: MariaDBServer
    name: str
    connection: ExternalConnection
    reader: ExternalConnection

    @classmethod
    def make(cls, server: MariaDBServer) -> "ExternalMariaDB":
        """A fresh database with its two accounts."""
        name = server.create_database()
        passwords = secrets.token_hex(8), secrets.token_hex(8)
        with server.connect() as connection, connection.cursor() as cursor:
            for user, password, grants in (
                (f"r_{name[5:]}", passwords[0], "SELECT"),
                (f"w_{name[5:]}", passwords[1], "SELECT, INSERT, UPDATE, DELETE"),
            ):
                cursor.execute(f"CREATE USER '{user}'@'127.0.0.1' IDENTIFIED BY '{password}'")
                cursor.execute(f"GRANT {grants} ON `{name}`.* TO '{user}'@'127.0.0.1'")
        writer = ExternalConnection(
            11,
            1,
            "maria",
            "database",
            db_driver="mysql",
            db_host="127.0.0.1",
            db_port=server.port,
            db_name=name,
            db_username=f"w_{name[5:]}",
            db_password=passwords[1],
            options=LOOPBACK,
        )
        return cls(server, name, writer, replace(writer, id=12, db_username=f"r_{name[5:]}", db_password=passwords[0]))

    def execute(self, sql: str) -> None:
        """See External."""
        with self.server.connect(self.name) as connection, connection.cursor() as cursor:
            for statement in _statements(sql):
                cursor.execute(statement)

    def insert(self, table: str, rows: Sequence[Sequence[Any]], *, new_only: bool = False) -> None:
        """See External."""
        if rows:
            with self.server.connect(self.name) as connection, connection.cursor() as cursor:
                verb = "INSERT IGNORE" if new_only else "INSERT"
                cursor.executemany(f"{verb} INTO {table} VALUES ({','.join(['%s'] * len(rows[0]))})", rows)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """See External."""
        with self.server.connect(self.name) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def close(self) -> None:
        """See External."""
        self.server.drop_database(self.name)
        with self.server.connect() as connection, connection.cursor() as cursor:
            for user in (self.reader.db_username, self.connection.db_username):
                try:
                    cursor.execute(f"DROP USER '{user}'@'127.0.0.1'")
                except pymysql.err.OperationalError as gone:
                    if gone.args[0] != pymysql.constants.ER.CANNOT_USER:
                        raise


@dataclass
class ExternalPostgreSQL:
    """A database of the run's server, with accounts as the documentation says."""

    server: PostgreSQLServer
    name: str
    connection: ExternalConnection
    reader: ExternalConnection

    @classmethod
    def make(cls, server: PostgreSQLServer) -> "ExternalPostgreSQL":
        """A fresh database with its two accounts, which have rights on all tables that come."""
        name = server.create_database()
        passwords = secrets.token_hex(8), secrets.token_hex(8)
        reader, writer = f"r_{name[5:]}", f"w_{name[5:]}"
        rights = ((reader, passwords[0], "SELECT"), (writer, passwords[1], "SELECT, INSERT, UPDATE, DELETE"))
        server.execute(f"REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC", name)
        for user, password, grants in rights:
            server.execute(
                f"CREATE ROLE {user} LOGIN PASSWORD '{password}' NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT;"
                f"GRANT CONNECT ON DATABASE {name} TO {user}; GRANT USAGE ON SCHEMA public TO {user};"
                f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT {grants} ON TABLES TO {user}",
                name,
            )
        connection = ExternalConnection(
            21,
            1,
            "postgres",
            "database",
            db_driver="postgresql",
            db_host="127.0.0.1",
            db_port=server.port,
            db_name=name,
            db_username=writer,
            db_password=passwords[1],
            options=LOOPBACK,
        )
        return cls(server, name, connection, replace(connection, id=22, db_username=reader, db_password=passwords[0]))

    def execute(self, sql: str) -> None:
        """See External."""
        for statement in _statements(sql):
            self.server.execute(statement, self.name)

    def insert(self, table: str, rows: Sequence[Sequence[Any]], *, new_only: bool = False) -> None:
        """See External."""
        if rows:
            self.server.insert(table, rows, self.name, " ON CONFLICT DO NOTHING" if new_only else "")

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """See External."""
        return self.server.rows(sql, self.name)

    def close(self) -> None:
        """See External."""
        self.server.drop_database(self.name)
        for user in (self.reader.db_username, self.connection.db_username):
            self.server.execute(f"DROP ROLE {user}")
