"""The running suite, once a session and store: tests keep apart by using systems of their own."""

from collections.abc import Iterator

import pytest

import requirement
from mariadb import MariaDBServer
from suite import Suite


@pytest.fixture(scope="session", params=["sqlite", "mariadb"])
def suite(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, _mariadb_if_here: MariaDBServer | None
) -> Iterator[Suite]:
    """The suite on an empty database, started by `intertie up`."""
    database_url = None
    if request.param == "mariadb":
        if _mariadb_if_here is None:
            requirement.missing("mariadb", "install mariadb-server")
        database_url = _mariadb_if_here.url(_mariadb_if_here.create_database())
    running = Suite(tmp_path_factory.mktemp(f"suite-{request.param}"), database_url).start()
    yield running
    running.stop()


@pytest.fixture
def system(request: pytest.FixtureRequest) -> str:
    """A system name of the test's own."""
    return request.node.originalname.removeprefix("test_")[:80]  # type: ignore[no-any-return]
