"""The suite of a fault test: `intertie up` with a second mapper and a database server of its own, to be harmed."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from subprocess import Popen
from typing import Self

import load
import processes
import requirement
import victims
from mariadb import MariaDBServer, find
from suite import Suite

VICTIMS = ("registry", "ingest", "mapper", "audit", "gateway", "pull")


class Fleet:
    """A suite with a second mapper beside it, and the database where there is a server."""

    def __init__(self, suite: Suite, server: MariaDBServer | None) -> None:
        self.suite = suite
        self.server = server
        self.second: Popen[bytes] | None = None
        self.victims = [*VICTIMS, "second mapper", *(["mariadbd"] if server else [])]

    @classmethod
    def launch(cls, store: str, directory: Path, env: Mapping[str, str] | None = None) -> Self:
        """Start all of it on an empty database of the kind, configured for `load`; skip the test without a server."""
        server, url = None, None
        if store == "mariadb":
            mariadbd, install_db = find("mariadbd"), find("mariadb-install-db")
            if mariadbd is None or install_db is None:
                requirement.missing("mariadb", "install mariadb-server")
            server = MariaDBServer.launch(mariadbd, install_db)
            url = server.url(server.create_database())
        # A killed mapper's records come back when their lease has ended; a minute of that proves no more than seconds.
        fleet = cls(Suite(directory / "suite", url, {"INTERTIE_MAPPER_LEASE_SECONDS": "10", **(env or {})}), server)
        try:
            fleet.suite.start()
            fleet.start_second()
            load.configure(fleet.suite)
        except BaseException:
            fleet.stop()
            raise
        return fleet

    @property
    def store(self) -> str:
        """What it stores in: sqlite or mariadb."""
        return "sqlite" if self.server is None else "mariadb"

    def start_second(self) -> None:
        """Start the second mapper."""
        address = f"127.0.0.1:{processes.free_port()}"
        self.second = processes.start(
            [sys.executable, "-m", "intertie_mapper"],
            log=self.suite.directory / "second-mapper.log",
            env={**self.suite.env, "INTERTIE_MAPPER_LISTEN": address},
            cwd=self.suite.directory,
        )

    async def kill(self, victim: str) -> bool:
        """Kill -9 the victim and have it started again; False when it was not running."""
        if victim == "mariadbd":
            assert self.server is not None
            self.server.kill()
            self.server.start()
        elif victim == "second mapper":
            assert self.second is not None
            self.second.kill()
            self.second.wait()
            self.start_second()
        else:
            with suppress(LookupError, ProcessLookupError):
                os.kill(await asyncio.to_thread(victims.find_process, self.suite, victim), signal.SIGKILL)
                return True
            return False
        return True

    def stop(self) -> None:
        """Stop all."""
        if self.second is not None:
            processes.stop(self.second)
        self.suite.stop()
        if self.server is not None:
            self.server.stop()
