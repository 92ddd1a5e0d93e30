"""The files of a data directory that say who is who: their places, one writer at a time, each write whole or none."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from intertie_chassis import durable_files


class KeyFiles:
    """The files. Everything that writes does so within `locked`."""

    def __init__(self, data_dir: Path | str) -> None:
        self.data_dir = Path(data_dir)
        self.directory = self.data_dir / "keys"
        self.signing = self.directory / "signing.jwk"
        """The private key that signs."""
        self.next = self.directory / "next.jwk"
        """The private key that will sign next, while it is only published."""
        self.public = self.directory / "jwks.json"
        """The public keys that verify."""
        self.journal = self.directory / "journal.jsonl"
        """What happened to tokens and keys."""
        self.revoked = self.directory / "revoked.json"
        """What is refused, derived from the journal."""
        self.admin_token = self.data_dir / "admin.token"
        """The admin token, one line."""

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the directory, made if need be; the kernel frees it with the process. Raises OSError."""
        # The data directory is the owner's alone, too: the embedded databases in it hold the secrets of systems.
        for directory in (self.data_dir, self.directory):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with durable_files.locked(self.directory / ".lock"):
            self._clear_away()
            yield

    def _clear_away(self) -> None:
        """Removes what writes have left that were cut off: it may be a private key or a token."""
        for path in (self.signing, self.next, self.public, self.revoked, self.admin_token):
            durable_files.clear_away(path)

    def write(self, path: Path, text: str, mode: int) -> None:
        """Writes the file whole or not at all, also when the power fails. Raises OSError."""
        durable_files.write_whole(path, text, mode)

    def append(self, path: Path, text: str) -> None:
        """Adds whole lines to the file, for good when this returns. Raises OSError."""
        durable_files.append_lines(path, text.encode())

    def rename(self, path: Path, target: Path) -> None:
        """Puts the file in the place of another one, for good when this returns. Raises OSError."""
        path.replace(target)
        durable_files.keep_names(target.parent)

    def remove(self, path: Path) -> None:
        """Removes the file, for good when this returns. Raises OSError."""
        path.unlink(missing_ok=True)
        durable_files.keep_names(path.parent)
