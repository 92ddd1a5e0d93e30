"""An installation of Intertie that is measured: `intertie up` with its processes, and replicas beside it."""

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import processes
from database_view import Counts, DatabaseView
from mariadb import MariaDBServer
from paced import Paced, Pacing
from process_costs import Meter, Process, processes_of
from suite import API, SECRET, Suite
from webhooks import CONFIG, MAPPING, SYSTEM, Numbers, template
from wrk import Burst, burst

_LOOK_SECONDS = 0.05
_STUCK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Drained:
    """All that was accepted has landed, is settled and in the log."""

    at: float
    """When it was seen, by the monotonic clock."""
    deliveries: int
    """How many are stored that were not at the last drain."""
    counts: Counts


class _Patience:
    """Waits between two looks for as long as something moves."""

    def __init__(self, view: DatabaseView) -> None:
        self._view = view
        self._known = view.newest()
        self._moved_at = time.monotonic()

    def wait(self) -> None:
        """Raises RuntimeError when nothing has moved for a minute."""
        newest, now = self._view.newest(), time.monotonic()
        if newest != self._known:
            self._known, self._moved_at = newest, now
        if now - self._moved_at > _STUCK_SECONDS:
            raise RuntimeError(f"not all that was accepted lands: {self._view.counts()}")
        time.sleep(_LOOK_SECONDS)


class _Measured(Suite):
    """A suite whose whole databases are not searched for secrets when it stops: there are millions of rows."""

    def require_no_secret_seen(self) -> None:
        """Does nothing; tests look for secrets."""


class Installation:
    """A running installation with one system whose webhooks are mapped; `with Installation(…) as installation:`."""

    def __init__(
        self,
        directory: Path,
        server: MariaDBServer | None,
        numbers: Numbers,
        env: Mapping[str, str] | None = None,
        beside: Sequence[str] = (),
    ) -> None:
        """Starts nothing yet.

        Args:
            directory: where its data and logs go; it is made.
            server: gives it a database of its own; None: embedded SQLite.
            numbers: those of the records that it is sent.
            env: settings beside the defaults.
            beside: services of which one more process each runs, by name.
        """
        self.store = "sqlite" if server is None else "mariadb"
        self._server = server
        self._database = server.create_database() if server else None
        self.suite = _Measured(directory, server.url(self._database) if server and self._database else None, env)
        self._numbers = numbers
        self._beside = beside
        self._replicas: list[subprocess.Popen[bytes]] = []
        self._pacing: Pacing | None = None
        self.template = directory / "webhook.http"
        self.view: DatabaseView
        self.acknowledged = 0
        """Deliveries that generators were told are accepted."""
        self._stored = 0

    def __enter__(self) -> Self:
        try:
            self.suite.start()
            for service in self._beside:
                self._start_one_more(service)
            self.suite.add_system(SYSTEM)
            self.suite.add_mapping(SYSTEM, MAPPING, CONFIG)
            self.template.write_bytes(template(f"{API}/webhook/{SYSTEM}", SECRET))
            self.view = DatabaseView(self.suite)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.view.__exit__(kind, error, trace)
        self._stop()

    @property
    def port(self) -> int:
        """Where its gateway listens."""
        return self.suite.port

    def processes(self) -> list[Process]:
        """Its processes, without the database's."""
        return processes_of(self.suite.data)

    def meter(self) -> Meter:
        """A meter of its processes and of its database's server."""
        database = [Process("mariadbd", self._server.pid)] if self._server else []
        return Meter([*self.processes(), *database])

    def burst(self, seconds: int, rate: float | None = None) -> Burst:
        """Has wrk send as much as is taken, or at a rate, for so long."""
        done = burst(self.port, self.template, self._numbers.first(), seconds, rate)
        self.acknowledged += done.answers - done.refused
        return done

    def begin_pacing(self, rate: float, seconds: float) -> Pacing:
        """Starts the paced generator; `end_pacing` waits for it."""
        self._pacing = Pacing(self.port, self.template, self._numbers.first(), rate, seconds)
        return self._pacing

    def end_pacing(self, pacing: Pacing) -> Paced:
        """What the paced generator says in the end."""
        done = pacing.finish()
        self.acknowledged += len(done.answered)
        return done

    def drain(self) -> Drained:
        """Waits until all that was accepted has landed, is settled and in the log.

        Raises RuntimeError when less is stored than was acknowledged, and when nothing moves for a minute.
        """
        patience = _Patience(self.view)
        while True:
            at = self.wait_until_quiet()
            counts = self.view.counts()
            if counts.is_complete:
                break
            patience.wait()
        if counts.deliveries < self.acknowledged:
            raise RuntimeError(f"{self.acknowledged} deliveries were acknowledged, and are stored: {counts}")
        new, self._stored = counts.deliveries - self._stored, counts.deliveries
        return Drained(at, new, counts)

    def wait_until_quiet(self) -> float:
        """Waits until nothing waits to be mapped or to be told to audit; gives when that was, by the monotonic clock.

        Raises RuntimeError when nothing moves for a minute.
        """
        patience = _Patience(self.view)
        while True:
            now = time.monotonic()
            if self.view.is_quiet():
                return now
            patience.wait()

    def _start_one_more(self, service: str) -> None:
        address = f"127.0.0.1:{processes.free_port()}"
        self._replicas.append(
            processes.start(
                [sys.executable, "-m", f"intertie_{service}"],
                log=self.suite.directory / f"second-{service}.log",
                env={**self.suite.env, f"INTERTIE_{service.upper()}_LISTEN": address},
                cwd=self.suite.directory,
            )
        )

    def _stop(self) -> None:
        if self._pacing is not None:
            self._pacing.stop()
        for replica in self._replicas:
            processes.stop(replica)
        self.suite.stop()
        if self._server is not None and self._database is not None:
            self._server.drop_database(self._database)
