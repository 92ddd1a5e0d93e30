"""A suite whose processes are started and replaced one by one, each with the code of this version or the one before."""

import subprocess
import sys
from pathlib import Path
from subprocess import Popen
from typing import Literal

import httpx

import previous_version
import processes
from intertie_chassis import readiness
from suite import PREFIX, SERVICES, Suite, mysql
from waiting import eventually

Version = Literal["old", "new"]
PROCESSES = (*SERVICES, "gateway")
_MODULES = {"pull": "intertie_ingest.pull"}
_OWNERS = ("registry", "ingest", "mapper", "audit")


class Rolling(Suite):
    """Processes on one MariaDB database, with one data directory."""

    def __init__(self, directory: Path, database_url: str, previous: Path) -> None:
        super().__init__(directory, database_url, {"INTERTIE_MAPPER_LEASE_SECONDS": "10"})
        self.directory.mkdir(parents=True, exist_ok=True)
        self._previous = previous
        self._running: dict[str, Popen[bytes]] = {}
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}",
            timeout=30,
            trust_env=False,
            event_hooks={"response": [self._look_for_secrets]},
        )

    async def begin(self, name: str, version: Version) -> None:
        """Start a process, and wait until it is ready. Says where it stands in the log when it is not."""
        path = {"PYTHONPATH": previous_version.python_path(self._previous)} if version == "old" else {}
        command = [sys.executable, "-m", _MODULES.get(name, f"intertie_{name}")]
        self._running[name] = processes.start(command, log=self.log, env={**self.env, **path}, cwd=self.directory)
        is_ready: bool = await eventually(lambda: self._is_ready(name), timeout=60, every=0.1)
        assert is_ready

    async def replace(self, name: str, version: Version) -> None:
        """Stop a process as a rollout does, and start the other version in its place."""
        stopped = self._running.pop(name)
        stopped.terminate()
        await eventually(lambda: stopped.poll() is not None, timeout=40)
        assert stopped.returncode == 0, f"{name} ended with {stopped.returncode}"
        await self.begin(name, version)

    def loaded_from(self, name: str) -> str:
        """Say which code a running process has open: its environment tells."""
        environment = Path(f"/proc/{self._running[name].pid}/environ").read_bytes().decode()
        return "old" if "PYTHONPATH=" + str(self._previous) in environment else "new"

    def migrate_beyond(self) -> None:
        """Make the tables of this version, and then those of one to come: a column and an index more in every table.

        So every process, of whatever version, works on tables newer than its code.
        """
        subprocess.run(self.command("db", "migrate"), env={"PATH": "", **self.env}, check=True, capture_output=True)
        assert self.database_url is not None
        with mysql(self.database_url) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT table_name AS name FROM information_schema.tables"
                " WHERE table_schema = database() AND table_type = 'BASE TABLE'"
            )
            for name in [row["name"] for row in cursor.fetchall()]:
                if not name.endswith("_schema_versions"):
                    cursor.execute(f"ALTER TABLE `{name}` ADD COLUMN of_the_future INT NOT NULL DEFAULT 0")
                    cursor.execute(f"CREATE INDEX of_the_future ON `{name}` (of_the_future)")
            for owner in _OWNERS:
                cursor.execute(f"UPDATE {PREFIX}{owner}_schema_versions SET version_num = 'future'")

    def count(self, table: str) -> int:
        """Count the rows of a table, named without its prefix."""
        [row] = self.sql("target", f"SELECT COUNT(*) AS number FROM {PREFIX}{table}")
        return int(row["number"])

    def stop(self) -> int | None:
        """Stop all processes."""
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            processes.stop(process)
        self._running.clear()
        return super().stop()

    async def _is_ready(self, name: str) -> bool:
        process = self._running[name]
        if process.poll() is not None:
            raise RuntimeError(f"{name} ended with {process.returncode}:\n{self._log_text()[-4000:]}")
        if name == "gateway":
            return await readiness.http(f"127.0.0.1:{self.port}")
        return await readiness.service(self.env[f"INTERTIE_{name.upper()}_LISTEN"])
