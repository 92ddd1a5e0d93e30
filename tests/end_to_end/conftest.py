"""The running suite, once a session and store: tests keep apart by using systems of their own."""

from collections.abc import Iterator

import pytest

import requirement
from mariadb import MariaDBServer
from suite import Suite


@pytest.fixture(scope="session")
def _suite_on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    running = Suite(tmp_path_factory.mktemp("suite-sqlite")).start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def _suite_on_mariadb(
    tmp_path_factory: pytest.TempPathFactory, _mariadb_if_here: MariaDBServer | None
) -> Iterator[Suite]:
    if _mariadb_if_here is None:
        requirement.missing("mariadb", "install mariadb-server")
    url = _mariadb_if_here.url(_mariadb_if_here.create_database())
    running = Suite(tmp_path_factory.mktemp("suite-mariadb"), url).start()
    yield running
    running.stop()


# Not itself of the session: a fixture with parameters is ended whenever another parameter's turn comes, so every file
# would start both suites anew.
@pytest.fixture(params=["sqlite", "mariadb"])
def suite(request: pytest.FixtureRequest) -> Suite:
    """The suite on an empty database, started by `intertie up`."""
    found: Suite = request.getfixturevalue(f"_suite_on_{request.param}")
    return found


@pytest.fixture
def system(request: pytest.FixtureRequest) -> str:
    """A system name of the test's own."""
    return request.node.originalname.removeprefix("test_")[:80]  # type: ignore[no-any-return]
