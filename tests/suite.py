"""The whole suite as a user runs it: one `intertie up` with its processes, driven over HTTP and seen through SQL.

Every secret that it is given is looked for in all that comes out of it: in each answer as it comes, and when it stops
in its log, its databases and what ingest keeps on disk.
"""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pymysql

import processes
from canaries import canary, found

PREFIX = "campaign_department_"
API = "/api/v1/integrations"
SEED_SECRET = "your_webhook_secret"
#: what systems of tests verify by: nothing that comes out of a suite may hold it
SECRET = canary("webhook-secret")
SERVICES = ("registry", "ingest", "mapper", "audit", "pull")
READY_LINE = "intertie is ready"
STARTUP_SECONDS = 100
#: the embedded file of each owner
FILES = {"registry": "registry.db", "ingest": "ingest.db", "audit": "audit.db", "target": "campaign.db"}

Row = dict[str, Any]


class Suite:
    """A running installation on ports of its own; ``database_url`` None means embedded SQLite."""

    def __init__(self, directory: Path, database_url: str | None = None, env: Mapping[str, str] | None = None) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.log = directory / "suite.log"
        self.database_url = database_url
        self.port = processes.free_port()
        self.env = {
            "INTERTIE_DATA_DIR": str(self.data),
            "INTERTIE_GATEWAY_LISTEN": f"127.0.0.1:{self.port}",
            "INTERTIE_LOG_FORMAT": "json",
            **(env or {}),
        }
        for service in SERVICES:
            address = f"127.0.0.1:{processes.free_port()}"
            self.env[f"INTERTIE_{service.upper()}_LISTEN"] = address
            self.env[f"INTERTIE_{service.upper()}_ADDRESS"] = address
        if database_url:
            self.env["INTERTIE_DATABASE_URL"] = database_url
        self._process: subprocess.Popen[bytes] | None = None
        self._tokens: dict[str, str] = {}
        self._asked: set[str] = set()
        self.secrets: set[str] = set()
        """What no output may hold; tests add theirs."""
        self.http = httpx.Client()

    def start(self, *flags: str) -> "Suite":
        """Start `intertie up` and wait until it says that it is ready; RuntimeError with the end of its log if not."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}",
            timeout=30,
            trust_env=False,
            event_hooks={"response": [self._look_for_secrets]},
        )
        said_before = self._log_text().count(READY_LINE)
        self._process = processes.start([*self.command("up"), *flags], log=self.log, env=self.env, cwd=self.directory)
        deadline = time.monotonic() + STARTUP_SECONDS
        while self._log_text().count(READY_LINE) == said_before:
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"the suite did not start:\n{self._log_text()[-4000:]}")
            time.sleep(0.05)
        return self

    def stop(self) -> int | None:
        """Stop everything as Ctrl-C does, and return the exit status."""
        self.http.close()
        if self._process is None:
            return None
        process, self._process = self._process, None
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            status = process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        self.require_no_secret_seen()
        return status

    def require_no_secret_seen(self) -> None:
        """Raise AssertionError when a secret stands in the log or in a database, whoever wrote it there."""
        outputs = {"log": self.log.read_bytes() if self.log.exists() else b"", **self._stored()}
        seen = {name: found(self.secrets, data) for name, data in outputs.items()}
        seen = {name: secrets for name, secrets in seen.items() if secrets}
        assert not seen, f"secrets were seen: {seen}"

    def command(self, *arguments: str) -> list[str]:
        """Spell an `intertie` command for this environment's interpreter."""
        return [sys.executable, "-m", "intertie_cli", *arguments]

    def cli(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run an `intertie` command against this installation."""
        done = subprocess.run(
            self.command(*arguments),
            env={**os.environ, **self.env},
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=check,
            stdin=subprocess.DEVNULL,
            timeout=60,
        )
        seen = found(self.secrets, f"{done.stdout}{done.stderr}".encode())
        assert not seen, f"intertie {' '.join(arguments[:2])} prints {seen}"
        return done

    def token(self, role: str = "admin") -> str:
        """Issue a token of the role, once a role."""
        if role not in self._tokens:
            self._tokens[role] = self.cli("token", "issue", "--role", role).stdout.strip()
            # Its signature is what makes it a token; the rest may be said.
            self.secrets.add(self._tokens[role].rpartition(".")[2])
        return self._tokens[role]

    def request(self, method: str, path: str, *, role: str | None = "admin", **arguments: Any) -> httpx.Response:
        """Send a request to a route below the API's prefix, with a token of ``role`` unless that is None."""
        headers = dict(arguments.pop("headers", None) or {})
        if role:
            headers["Authorization"] = f"Bearer {self.token(role)}"
        return self.http.request(method, API + path, headers=headers, **arguments)

    def get(self, path: str, **parameters: Any) -> Any:
        """Get a route as admin and return its JSON; AssertionError for anything but a 2xx."""
        response = self.request("GET", path, params=parameters)
        # An assertion, so that whoever waits for a restarted service takes its 503 for "not yet".
        assert response.is_success, f"{response.status_code}: {response.text}"
        return response.json()

    def webhook(self, system: str, body: Any, secret: str | None = "", **headers: str) -> httpx.Response:
        """Send a webhook as an external system does; ``body`` bytes go as they are, anything else as JSON.

        The secret is that of `add_system`, or for the demo's system the seed's, unless another one, or None, is given.
        """
        if secret == "":
            secret = SEED_SECRET if system == "law_enforcement" else SECRET
        sent = {
            "Content-Type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        if secret is not None:
            sent["X-Webhook-Secret"] = secret
        content = {"content": body} if isinstance(body, bytes) else {"json": body}
        return self.http.post(f"{API}/webhook/{system}", headers=sent, **content)

    def is_first_time(self, what: str) -> bool:
        """Say whether nobody has asked this before: what several tests share is set up by the first of them."""
        is_first = what not in self._asked
        self._asked.add(what)
        return is_first

    def sql(self, owner: str, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Run a statement on an owner's database from outside, as a SQL client does (``%s`` placeholders)."""
        if self.database_url is None:
            with sqlite3.connect(self.data / FILES[owner], timeout=10) as connection:
                connection.row_factory = sqlite3.Row
                found = connection.execute(statement.replace("%s", "?"), tuple(parameters)).fetchall()
            connection.close()
            return [dict(row) for row in found]
        with mysql(self.database_url) as connection, connection.cursor() as cursor:
            cursor.execute(statement, tuple(parameters) or None)
            return list(cursor.fetchall())

    def rows(
        self, table: str, where: str = "1 = 1", parameters: Sequence[Any] = (), owner: str = "target"
    ) -> list[Row]:
        """Read rows of a table, named without its prefix, in the order of their keys."""
        return self.sql(owner, f"SELECT * FROM {PREFIX}{table} WHERE {where} ORDER BY 1", parameters)

    def add_system(self, name: str, config: Mapping[str, Any] | None = None) -> Row:
        """Register a system that verifies by SECRET unless ``config`` says otherwise."""
        created = self._post("/systems", {"system_name": name, "display_name": name, "system_type": "hybrid"})
        connection = {
            "system": name,
            "connection_type": "api",
            "api_base_url": "https://sender.example.com",
            "config_json": dict(config) if config is not None else {"webhook_secret": SECRET},
        }
        if config is None:
            self.secrets.add(SECRET)
        self._post("/connections", connection)
        return created

    def add_mapping(self, system: str, name: str, config: Mapping[str, Any], table: str = "events") -> Row:
        """Create a realtime mapping of the system into a table, named without its prefix."""
        mapping = {
            "system": system,
            "mapping_name": name,
            "target_table": PREFIX + table,
            "mapping_config": dict(config),
            "sync_frequency": "realtime",
        }
        return self._post("/mappings", mapping)

    def _post(self, path: str, body: Row) -> Row:
        response = self.request("POST", path, json=body)
        assert response.status_code == 200, response.text
        answer: Row = response.json()
        return answer

    def _look_for_secrets(self, response: httpx.Response) -> None:
        response.read()
        seen = found(self.secrets, str(response.headers).encode() + response.content)
        assert not seen, f"{response.request.method} {response.url} answers with {seen}"

    def _stored(self) -> dict[str, bytes]:
        """What the databases hold, SQLite's files as they are, MariaDB's rows; and what ingest keeps on disk."""
        stored = {path.name: path.read_bytes() for path in self.data.glob("*.sealed")}
        if self.database_url is None:
            return stored | {path.name: path.read_bytes() for path in sorted(self.data.glob("*.db*"))}
        with mysql(self.database_url) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT table_name AS name FROM information_schema.tables WHERE table_schema = database()")
            for name in [row["name"] for row in cursor.fetchall()]:
                cursor.execute(f"SELECT * FROM `{name}`")
                values = [value for row in cursor.fetchall() for value in row.values() if value is not None]
                stored[name] = b"\n".join(v if isinstance(v, bytes) else str(v).encode() for v in values)
        return stored

    def _log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


def mysql(database_url: str) -> "pymysql.Connection[pymysql.cursors.DictCursor]":
    """Open a plain connection (autocommit, rows as dicts) to the database of a SQLAlchemy URL."""
    url = urlsplit(database_url)
    return pymysql.connect(
        host=url.hostname or "127.0.0.1",
        port=url.port or 3306,
        user=url.username or "",
        password=url.password or "",
        database=url.path.lstrip("/"),
        charset="utf8mb4",
        autocommit=True,
        cursorclass=pymysql.cursors.DictCursor,
    )
