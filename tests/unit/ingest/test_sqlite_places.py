"""Which SQLite files a connection may open beside the suite's own: those in `external`, also by name."""

from pathlib import Path

import pytest

from intertie_ingest.databases.sqlite_file import checked
from intertie_ingest.errors import ConnectionUnusable


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with a file of ours and one of somebody else's."""
    directory = tmp_path / "data"
    (directory / "external").mkdir(parents=True)
    (directory / "ingest.db").touch()
    (directory / "external" / "theirs.db").touch()
    return directory


def test_a_file_in_external_is_known_by_path_and_by_name(data: Path) -> None:
    """Its name is enough: the column holds 100 characters, and directories move."""
    theirs = data / "external" / "theirs.db"
    assert checked(str(theirs), [data]) == checked("theirs.db", [data]) == theirs.resolve()


def test_no_name_leads_to_the_suites_own(data: Path) -> None:
    """Nor does a link in `external`, nor a name when there is no such directory."""
    (data / "external" / "link.db").symlink_to(data / "ingest.db")
    (data / "external" / "hard.db").hardlink_to(data / "ingest.db")
    for name in (
        "/proc/self/environ",
        "../ingest.db",
        "link.db",
        "hard.db",
        "none.db",
        "",
        ".",
        str(data / "ingest.db"),
    ):
        with pytest.raises(ConnectionUnusable, match="db_name must be"):
            checked(name, [data])
    with pytest.raises(ConnectionUnusable, match="db_name must be"):
        checked("theirs.db", [data / "ingest.db"])
