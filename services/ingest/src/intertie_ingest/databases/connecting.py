"""Opening a session: which driver, which address, which TLS."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from intertie_ingest.databases import (
    mysql_session,
    postgresql_session,
    sqlalchemy_session,
    sqlite_session,
    tls,
)
from intertie_ingest.databases.failures import translated
from intertie_ingest.databases.session import Session
from intertie_ingest.egress import Egress, networks_of
from intertie_ingest.errors import ConnectionUnusable, ExternalUnavailable
from intertie_ingest.external import ExternalConnection

_MODULES: dict[str, Any] = {"mysql": mysql_session, "postgresql": postgresql_session}
DRIVERS = (*_MODULES, "sqlite", *sqlalchemy_session.PORTS)


async def open_session(connection: ExternalConnection, egress: Egress, forbidden: Collection[Path]) -> Session:
    """A session on the database that the connection describes, at an address that was checked just now.

    Raises ConnectionUnusable, AddressNotAllowed, ExternalUnavailable.
    """
    if connection.problem:
        raise ConnectionUnusable(connection.problem)
    if not connection.is_database or connection.db_driver not in DRIVERS:
        raise ConnectionUnusable(f"db_driver must be one of {', '.join(DRIVERS)}")
    try:
        if connection.db_driver == "sqlite":
            return await sqlite_session.connect(connection, forbidden)
        return await _at_an_address(connection, egress)
    except Exception as error:
        failure = translated(error, connection)
        if failure is None:
            raise
        raise failure from error


async def _at_an_address(connection: ExternalConnection, egress: Egress) -> Session:
    if not connection.db_host or not connection.db_name:
        raise ConnectionUnusable("db_host and db_name must be set")
    made = tls.context(connection.options, connection.db_host)
    module = _MODULES.get(connection.db_driver, sqlalchemy_session)
    port = connection.db_port or (
        module.PORT if module is not sqlalchemy_session else sqlalchemy_session.PORTS[connection.db_driver]
    )
    networks = networks_of(connection.options)
    failure: Exception = ExternalUnavailable(retry_after=5)
    for address in await egress.addresses(connection.db_host, port, networks):
        try:
            session: Session = await module.connect(connection, address, made)
            return session
        except Exception as error:
            failure = error
            if not isinstance(translated(error, connection), ExternalUnavailable):
                raise
    raise failure
