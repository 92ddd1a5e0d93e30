"""Fixtures of all rings: databases on both stores, free ports, and the closing line about what was skipped."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings

import memory_files
import patience
import postgresql
import processes
import requirement
from mariadb import MariaDBServer, find

# No test fails for the machine's speed. Developers' runs explore; CI repeats the same examples, so that what is green
# stays green and what fails there fails again here.
settings.register_profile(
    "intertie",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
)
settings.load_profile("intertie")
memory_files.use()
patience.use()


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """What a test configures of logging ends with it: a level would hide warnings from those that look for some."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def usual_limits() -> Iterator[None]:
    """A database that does not answer is found away as soon as in production."""
    with patience.usual():
        yield


@pytest.fixture(scope="session")
def _mariadb_if_here() -> Iterator[MariaDBServer | None]:
    """One server for the whole run; None without MariaDB, so that each test that wants it is counted as skipped."""
    mariadbd, install_db = find("mariadbd"), find("mariadb-install-db")
    if mariadbd is None or install_db is None:
        yield None
        return
    server = MariaDBServer.launch(mariadbd, install_db)
    yield server
    server.stop()


@pytest.fixture
def mariadb_server(_mariadb_if_here: MariaDBServer | None) -> MariaDBServer:
    """The run's MariaDB server; the test is skipped without one."""
    if _mariadb_if_here is None:
        requirement.missing("mariadb", "install mariadb-server")
    return _mariadb_if_here


@pytest.fixture
def mariadb_url(mariadb_server: MariaDBServer) -> Iterator[str]:
    """The URL of an empty MariaDB database of the test's own."""
    name = mariadb_server.create_database()
    yield mariadb_server.url(name)
    mariadb_server.drop_database(name)


@pytest.fixture(scope="session")
def _postgresql_if_here() -> Iterator[postgresql.PostgreSQLServer | None]:
    """One server for the whole run; None without PostgreSQL, as above."""
    programs = postgresql.find_directory()
    if programs is None:
        yield None
        return
    server = postgresql.PostgreSQLServer.launch(programs)
    yield server
    server.stop()


@pytest.fixture
def postgresql_server(_postgresql_if_here: postgresql.PostgreSQLServer | None) -> postgresql.PostgreSQLServer:
    """The run's PostgreSQL server; the test is skipped without one."""
    if _postgresql_if_here is None:
        requirement.missing("postgresql", "install postgresql")
    return _postgresql_if_here


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of an SQLite file of the test's own, not yet there."""
    return f"sqlite+aiosqlite:///{tmp_path / 'test.db'}"


@pytest.fixture(params=["sqlite", "mariadb"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database: the test runs once on SQLite and once on MariaDB."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def free_port() -> int:
    """A TCP port of the loopback that nothing listens on."""
    return processes.free_port()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand what this process skipped to the one that reports, when tests run side by side."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["missed"] = dict(requirement.missed)


class SideBySide:
    """Gathers what each of the processes skipped; its hook exists only where tests can run side by side."""

    def pytest_testnodedown(self, node: Any) -> None:
        """Count what a process that has ended skipped."""
        requirement.missed.update(getattr(node, "workeroutput", {}).get("missed", {}))


def pytest_configure(config: pytest.Config) -> None:
    """Register the hook of pytest-xdist, where it is installed."""
    if config.pluginmanager.has_plugin("xdist"):
        config.pluginmanager.register(SideBySide())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end what this machine lacks, so that a green run is not taken for more than it was."""
    for what, tests in sorted(requirement.missed.items()):
        terminalreporter.write_line(f"skipped for want of {what}: {tests} tests", yellow=True)
