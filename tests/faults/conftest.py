"""A suite of each test's own, on both stores: these tests break it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import requirement
from mariadb import MariaDBServer
from suite import Suite


@pytest.fixture(params=["sqlite", "mariadb"])
def suite(request: pytest.FixtureRequest, tmp_path: Path, _mariadb_if_here: MariaDBServer | None) -> Iterator[Suite]:
    """The suite on an empty database, started by `intertie up`."""
    database_url = None
    if request.param == "mariadb":
        if _mariadb_if_here is None:
            requirement.missing("mariadb", "install mariadb-server")
        database_url = _mariadb_if_here.url(_mariadb_if_here.create_database())
    running = Suite(tmp_path / "suite", database_url).start()
    yield running
    running.stop()
