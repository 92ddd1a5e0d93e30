"""A suite of each test's own, on both stores: these tests break it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import fault_form
import previous_version
import requirement
from fleet import Fleet
from mariadb import MariaDBServer
from suite import Suite


@pytest.fixture(params=fault_form.stores("mariadb"))
def suite(request: pytest.FixtureRequest, tmp_path: Path, _mariadb_if_here: MariaDBServer | None) -> Iterator[Suite]:
    """The suite on an empty database, started by `intertie up`."""
    database_url = None
    if request.param == "mariadb":
        if _mariadb_if_here is None:
            requirement.missing("mariadb", "install mariadb-server")
        database_url = _mariadb_if_here.url(_mariadb_if_here.create_database())
    # A killed mapper's records come back when their lease expires; a minute of that proves no more than seconds.
    running = Suite(tmp_path / "suite", database_url, {"INTERTIE_MAPPER_LEASE_SECONDS": "10"}).start()
    yield running
    running.stop()


@pytest.fixture(params=["sqlite", "mariadb"])
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    """A fleet on an empty database of its own server."""
    fleet = Fleet.launch(request.param, tmp_path)
    yield fleet
    fleet.stop()


@pytest.fixture
def previous(tmp_path: Path) -> Path:
    """The source tree of the version before, out of the history."""
    return previous_version.unpack(tmp_path)
