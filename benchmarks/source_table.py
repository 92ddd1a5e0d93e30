"""An external database with one table of meetings, to be synced; and how an installation is told of it."""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy.engine import make_url

from mariadb import MariaDBServer
from suite import PREFIX, Suite

SYSTEM, MAPPING = "benchmark_source", "rows_to_events"
_COLUMNS = (
    "id BIGINT PRIMARY KEY, updated_at DATETIME NOT NULL, title VARCHAR(80) NOT NULL, held_on DATE NOT NULL, "
    "place VARCHAR(80) NOT NULL, attendance INT NOT NULL, cost DECIMAL(12, 2) NOT NULL, remarks VARCHAR(200)"
)
_CONFIG: dict[str, Any] = {
    "field_mappings": {"title": "event_title", "held_on": "date", "place": "location"},
    "defaults": {"event_status": "planned"},
}
_ROWS_AT_ONCE = 5000


def table_rows(count: int) -> Iterator[tuple[Any, ...]]:
    """The rows of the source, of about 270 bytes as JSON."""
    first = datetime(2025, 1, 1)
    for number in range(1, count + 1):
        moment = first + timedelta(seconds=number)
        yield (
            number,
            moment.isoformat(" "),
            f"Meeting number {number} of the ward",
            moment.date().isoformat(),
            f"Hall {number % 97}, {number % 1009} Station Road",
            number % 500,
            f"{number % 100_000}.50",
            f"Entered by the clerk of ward {number % 61}; chairs and loudspeakers are ordered.",
        )


def fill(connection: Any, mark: str, count: int) -> None:
    """Makes the table with so many rows; `mark` is how the driver writes a parameter."""
    with closing(connection.cursor()) as cursor:
        cursor.execute(f"CREATE TABLE meetings ({_COLUMNS})")
        statement = f"INSERT INTO meetings VALUES ({', '.join([mark] * 8)})"
        rows = table_rows(count)
        while some := list(islice(rows, _ROWS_AT_ONCE)):
            cursor.executemany(statement, some)
            connection.commit()


def database_of(server: MariaDBServer, count: int) -> str:
    """The name of a new database of the server that holds the table with so many rows."""
    database = server.create_database()
    with server.connect(database) as connection:
        connection.autocommit(False)
        fill(connection, "%s", count)
    return database


def account_of(server: MariaDBServer, database: str) -> dict[str, Any]:
    """How pull reaches a database of the server."""
    url = make_url(server.url(database))
    return {
        "db_driver": "mysql",
        "db_host": url.host,
        "db_port": url.port,
        "db_name": url.database,
        "db_username": url.username,
        "db_password": url.password,
        "config_json": {"allowed_networks": ["127.0.0.0/8"]},
    }


def register(suite: Suite, account: dict[str, Any], page_size: int = 1000) -> None:
    """Registers the source; pull knows its mapping a moment later. Raises RuntimeError when it is refused."""
    config = {**_CONFIG, "sync": {"cursor_field": "updated_at", "page_size": page_size}}
    mapping = {
        "system": SYSTEM,
        "mapping_name": MAPPING,
        "source_table": "meetings",
        "target_table": f"{PREFIX}events",
        "mapping_config": config,
        "sync_frequency": "manual",
    }
    for path, body in (
        ("/systems", {"system_name": SYSTEM, "display_name": SYSTEM, "system_type": "database"}),
        ("/connections", {"system": SYSTEM, "connection_type": "database", **account}),
        ("/mappings", mapping),
    ):
        response = suite.request("POST", path, json=body)
        if not response.is_success:
            raise RuntimeError(response.text)


def is_known(suite: Suite) -> bool:
    """Whether pull knows the mapping."""
    return suite.request("GET", "/sync/cursor", params={"system": SYSTEM, "mapping": MAPPING}).is_success


def newest_run(suite: Suite) -> dict[str, Any] | None:
    """The newest run of a sync as it is stored."""
    found = suite.sql("ingest", f"SELECT * FROM {PREFIX}sync_runs ORDER BY run_id DESC LIMIT 1")
    return found[0] if found else None
