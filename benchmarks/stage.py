"""Where parts are measured: the options of the run, the private MariaDB, directories; all of it ends with the run."""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from installation import Installation
from mariadb import MariaDBServer, find
from webhooks import Numbers

MARIADB_OPTIONS = (
    "--innodb-flush-log-at-trx-commit=1",
    "--innodb-buffer-pool-size=512M",
    "--innodb-log-file-size=512M",
)
"""Durable, and as large as a small server in production has them."""
STORES = ("mariadb", "sqlite")
TITLES = {"mariadb": "MariaDB", "sqlite": "SQLite"}


@dataclass(frozen=True, slots=True)
class Options:
    """What a run was asked for."""

    rounds: int = 3
    is_quick: bool = False
    deliveries: int | None = None
    """How many the part on growth sends; None: a million, or fifty thousand in a quick run."""

    def either(self, short: int, long: int) -> int:
        """The one for a quick run, or for a whole one."""
        return short if self.is_quick else long


@dataclass
class Stage:
    """`with Stage(options) as stage:`; raises RuntimeError when MariaDB is missing or does not start."""

    options: Options
    numbers: Numbers = field(default_factory=Numbers)
    server: MariaDBServer = field(init=False)
    directory: Path = field(init=False)
    _made: int = 0

    def __enter__(self) -> Self:
        mariadbd, install_db = find("mariadbd"), find("mariadb-install-db")
        if mariadbd is None or install_db is None:
            raise RuntimeError("MariaDB's server is missing; on Debian: apt-get install mariadb-server")
        self.directory = Path(tempfile.mkdtemp(prefix="intertie-bench-"))
        try:
            self.server = MariaDBServer.launch(mariadbd, install_db, *MARIADB_OPTIONS)
        except BaseException:
            shutil.rmtree(self.directory, ignore_errors=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def installation(
        self, store: str, env: Mapping[str, str] | None = None, beside: Sequence[str] = ()
    ) -> Installation:
        """A new installation on an empty database of the kind, not yet started."""
        server = self.server if store == "mariadb" else None
        return Installation(self.new_directory(store), server, self.numbers, env, beside)

    def new_directory(self, name: str) -> Path:
        """An empty directory that goes with the run."""
        self._made += 1
        made = self.directory / f"{self._made}-{name}"
        made.mkdir()
        return made

    def say(self, text: str) -> None:
        """Tells whoever waits how far it is."""
        print(f"  {text}", flush=True)
