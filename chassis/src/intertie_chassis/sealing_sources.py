"""Where sealing keys come from: the environment, a command, a file, or a file that is made at first start."""

import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path

import structlog

from intertie_chassis.durable_files import PRIVATE, FileVersion, locked, version_of, write_whole
from intertie_chassis.errors import FailedPrecondition, StartupError
from intertie_chassis.sealing import SealingKey, SealingKeys
from intertie_chassis.sealing_keys import (
    COMMAND_SETTING,
    FILE_SETTING,
    KEYS_SETTING,
    MOST_BYTES,
    SECRETS_HEAD,
    KeySource,
    decoded,
    listed,
    parse,
)

COMMAND_SECONDS = 10.0
_OTHERWISE = f"give {KEYS_SETTING}, {FILE_SETTING} or {COMMAND_SETTING}"

_log = structlog.get_logger()


class GivenKeys(KeySource):
    """Keys in a text, such as a variable of the environment."""

    def __init__(self, text: str, name: str = KEYS_SETTING) -> None:
        super().__init__()
        self._text = text
        self._name = name

    @property
    def name(self) -> str:
        """The variable."""
        return self._name

    def _read(self) -> SealingKeys:
        return parse(self._text, self._name)


class CommandKeys(KeySource):
    """Keys that a command prints: run at the start, and whenever they are to be read again."""

    def __init__(self, command: str, *, seconds: float = COMMAND_SECONDS) -> None:
        """`command` is split as a shell would, and run without one: no variable or `;` in it means anything."""
        super().__init__()
        self._command = command
        self._seconds = seconds

    @property
    def name(self) -> str:
        """The variable that names the command."""
        return COMMAND_SETTING

    def _read(self) -> SealingKeys:
        try:
            words = shlex.split(self._command)
        except ValueError:
            raise StartupError(f"{self.name} cannot be split into words: is a quote left open?") from None
        if not words:
            raise StartupError(f"{self.name} names no command")
        try:
            # A group of its own, so that nothing that it started stays behind. What it writes elsewhere may be a key.
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise StartupError(f"{self.name} cannot be run ({error.strerror})") from None
        try:
            output, _ = process.communicate(timeout=self._seconds)
        except subprocess.TimeoutExpired:
            raise StartupError(f"{self.name} did not end within {self._seconds:g} seconds") from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        if process.returncode != 0:
            raise StartupError(f"{self.name} ended with code {process.returncode}")
        return parse(decoded(output, self.name), self.name)


class FileKeys(KeySource):
    """Keys in a file; read again when it changes."""

    def __init__(
        self, path: Path, *, is_made: bool = False, head: str = SECRETS_HEAD, otherwise: str = _OTHERWISE
    ) -> None:
        """Args:
        is_made: whether a file that is not there is made, with a new key.
        head: what stands before the keys in a file that is written here.
        otherwise: what else than a made file there may be, for whoever reads why it cannot be made.
        """
        super().__init__()
        self._path = path
        self._is_made = is_made
        self._head = head
        self._otherwise = otherwise
        self._seen: FileVersion | None = None

    @property
    def name(self) -> str:
        """The file."""
        return str(self._path)

    def current(self) -> SealingKeys:
        """The keys of the file as it stands; when it cannot be read any more, those that it held."""
        if self._keys is None:
            return super().current()
        version = version_of(self._path)
        if version != self._seen:
            try:
                self._take(self._read())
            except StartupError as error:
                self._seen = version
                _log.error("sealing keys cannot be read again; those that are known stay", cause=str(error))
        return self._keys

    def require_changeable(self) -> None:
        """Raises FailedPrecondition when the file, or its directory, cannot be written."""
        if not (os.access(self._path, os.W_OK) and os.access(self._path.parent, os.W_OK)) or self._path.is_symlink():
            raise FailedPrecondition(
                f"{self._path} cannot be changed from here: add the new key where the file comes from, as the first "
                "line (`intertie secrets keygen` prints one), then rotate"
            )

    def add(self, key: SealingKey) -> None:
        """Write the key before all others."""
        self._change(lambda keys: (key, *keys))

    def drop(self, ids: Iterable[str]) -> tuple[SealingKey, ...]:
        """Write the file without these keys."""
        gone = set(ids) - {self.current().present.id}
        dropped = tuple(key for key in self.current().all if key.id in gone)
        self._change(lambda keys: tuple(key for key in keys if key.id not in gone))
        return dropped

    def put_back(self, keys: Iterable[SealingKey]) -> None:
        """Write the keys behind all others."""
        again = tuple(keys)
        self._change(lambda present: (*present, *(key for key in again if key not in present)))

    def _change(self, changed: Callable[[tuple[SealingKey, ...]], tuple[SealingKey, ...]]) -> None:
        self.require_changeable()
        try:
            with self._locked():
                keys = SealingKeys(changed(self._read().all))
                write_whole(self._path, listed(keys, self._head), PRIVATE)
        except OSError as error:
            raise FailedPrecondition(f"{self._path} cannot be changed ({error.strerror})") from error
        self._take(self._read())

    def _read(self) -> SealingKeys:
        if self._is_made and self._keys is None and not self._path.exists():
            self._make()
        # Before the text: a change in between is then seen the next time.
        self._seen = version_of(self._path)
        try:
            with self._path.open("rb") as file:
                raw = file.read(MOST_BYTES + 1)
        except OSError as error:
            raise StartupError(f"the sealing keys in {self._path} cannot be read ({error.strerror})") from None
        return parse(decoded(raw, self.name), self.name)

    def _make(self) -> None:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._locked():
                if not self._path.exists():
                    write_whole(self._path, listed(SealingKeys([SealingKey.new()]), self._head), PRIVATE)
                    _log.info("made a sealing key", file=self.name)
        except OSError as error:
            raise StartupError(
                f"the sealing keys in {self._path} cannot be made ({error.strerror}); let this user own "
                f"INTERTIE_DATA_DIR, or {self._otherwise}"
            ) from None

    def _locked(self) -> AbstractContextManager[None]:
        """Keeps other processes from changing the file. Raises OSError."""
        return locked(self._path.parent / f".{self._path.name}.lock")


def chosen(*, keys: str | None, file: Path | None, command: str | None, data_dir: Path) -> KeySource:
    """The source that the settings name; without any the file of the data directory. Raises StartupError for two."""
    given = [KEYS_SETTING] * (keys is not None) + [FILE_SETTING] * bool(file) + [COMMAND_SETTING] * bool(command)
    if len(given) > 1:
        raise StartupError(f"{' and '.join(given)} both say where the sealing keys are: set one of them")
    if keys is not None:
        return GivenKeys(keys)
    if command:
        return CommandKeys(command)
    return FileKeys(file) if file else FileKeys(data_dir / "keys" / "secrets.keys", is_made=True)
