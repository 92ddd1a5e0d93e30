"""Where sealing keys come from, and what is said when they are not as they should be: nothing of a key."""

import base64
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from intertie_chassis.errors import FailedPrecondition, StartupError
from intertie_chassis.sealing import SealingKey
from intertie_chassis.sealing_keys import KeySource, parse
from intertie_chassis.sealing_sources import CommandKeys, FileKeys, GivenKeys, chosen

ONE, TWO = (f"{name}:{base64.b64encode(name.encode() * 32).decode()}" for name in "ab")


def test_lines_and_commas() -> None:
    """As a file has them, or a variable of one line; what is empty or a remark says nothing."""
    for text in (
        f"{ONE}\n{TWO}\n",
        f"{ONE},{TWO}",
        f"# of May\n\n {ONE} ,\r\n  # {ONE}\n{TWO}",
        f"\ufeff{ONE},\n{TWO},",
    ):
        assert parse(text.removeprefix("\ufeff"), "here").ids == ("a", "b")
    url_safe = "a:" + base64.urlsafe_b64encode(b"\xff" * 32).decode()
    assert parse(url_safe, "here").present.secret == b"\xff" * 32


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no key"),
        ("# only this\n,,", "holds no key"),
        ("Zm9vYmFy", "key 1 must be <key id>:<base64 of 32 bytes>"),
        (f"{ONE},:Zm9vYmFy", "key 2 must be"),
        (f"{ONE}\nb c:Zm9vYmFy", "key 2 must be"),
        ("x" * 65 + ":Zm9vYmFy", "key 1 must be"),
        ("a:Zm9vYmFy", "key 1 is not base64 of 32 bytes"),
        ("a:Zm9vYmF_é", "key 1 is not base64 of 32 bytes"),
        (ONE + "AAAA", "key 1 is not base64 of 32 bytes"),
        (f"{ONE},{ONE}", "key 2 has the id of one before it"),
    ],
)
def test_wrong_shapes(text: str, says: str) -> None:
    """One line that names the source and the entry, and shows nothing of it."""
    with pytest.raises(StartupError) as caught:
        parse(text, "INTERTIE_SECRETS_KEYS")
    told = str(caught.value)
    assert told.startswith("INTERTIE_SECRETS_KEYS")
    assert says in told
    assert "\n" not in told
    assert "Zm9v" not in told
    assert ONE.partition(":")[2] not in told


def test_one_source_is_chosen(tmp_path: Path) -> None:
    """Of two nobody knows which is meant; of none the data directory's file is made, for its owner alone."""
    with pytest.raises(StartupError, match="set one of them"):
        chosen(keys=ONE, file=tmp_path / "k", command=None, data_dir=tmp_path)
    assert chosen(keys=ONE, file=None, command=None, data_dir=tmp_path).current().ids == ("a",)
    assert chosen(keys=None, file=None, command="x", data_dir=tmp_path).name == "INTERTIE_SECRETS_KEYS_COMMAND"
    made = chosen(keys=None, file=None, command=None, data_dir=tmp_path / "data")
    key = made.current().present
    path = tmp_path / "data" / "keys" / "secrets.keys"
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert key.line() in path.read_text()
    again = chosen(keys=None, file=None, command=None, data_dir=tmp_path / "data")
    assert again.current() == made.current()
    with pytest.raises(StartupError, match="cannot be read"):
        chosen(keys=None, file=tmp_path / "none", command=None, data_dir=tmp_path).current()


def test_those_who_start_together_agree(tmp_path: Path) -> None:
    """One makes the key, all have it."""
    sources = [FileKeys(tmp_path / "keys" / "secrets.keys", is_made=True) for _ in range(16)]
    with ThreadPoolExecutor(16) as pool:
        keys = list(pool.map(lambda source: source.current().all, sources))
    assert len(set(keys)) == 1


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    """At once; when it is spoiled or gone, what it held stays, and it is not made anew."""
    path = tmp_path / "keys"
    path.write_text(ONE)
    source = FileKeys(path, is_made=True)
    first = source.generation
    assert source.current().ids == ("a",)
    path.write_text(f"{TWO}\n{ONE}")
    assert source.current().ids == ("b", "a")
    assert source.generation == first + 1
    path.write_text("spoiled")
    assert source.current().ids == ("b", "a")
    path.unlink()
    assert source.current().ids == ("b", "a")
    assert not path.exists()
    path.write_text(ONE)
    assert source.current().ids == ("a",)


async def test_keys_of_a_file_are_added_and_dropped(tmp_path: Path) -> None:
    """Another process that has the file open knows at once; the present key is never dropped."""
    source, other = (FileKeys(tmp_path / "secrets.keys", is_made=True) for _ in range(2))
    old = source.current().present
    other.current()
    source.add(new := SealingKey.new())
    assert other.current().all == (new, old)
    assert other.drop([old.id, new.id, "unknown"]) == (old,)
    assert source.current().all == (new,)
    source.put_back([old])
    assert other.current().all == (new, old)
    assert (tmp_path / "secrets.keys").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("source", [GivenKeys(ONE), CommandKeys("true")], ids=["environment", "command"])
def test_other_sources_are_changed_where_they_are(source: KeySource) -> None:
    """It is said where, and with which command."""
    for change in (lambda: source.add(SealingKey.new()), lambda: source.drop(["a"]), source.require_changeable):
        with pytest.raises(FailedPrecondition, match=r"INTERTIE_SECRETS_KEYS.*intertie secrets keygen"):
            change()


async def test_a_command_prints_keys(tmp_path: Path) -> None:
    """Its words are its arguments, no shell; it is run again when asked; what fails then changes nothing."""
    path = tmp_path / "a file; $(touch x)"
    path.write_text(ONE)
    source = CommandKeys(f"cat '{path}'")
    assert source.current().ids == ("a",)
    path.write_text(f"{TWO}\n{ONE}")
    assert source.current().ids == ("a",)
    await source.reload()
    assert source.current().ids == ("b", "a")
    path.unlink()
    await source.reload()
    assert source.current().ids == ("b", "a")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("'", "a quote left open"),
        (" ", "names no command"),
        ("/no/such/program", "cannot be run"),
        (f"{sys.executable} -c \"print('a:Zm9v'); import sys; sys.exit('Zm9v')\"", "ended with code 1"),
        (f"{sys.executable} -c \"print('a:Zm9v')\"", "key 1 is not base64"),
        (f"{sys.executable} -c \"import sys; sys.stdout.buffer.write(b'\\xff')\"", "is not text"),
        ("sh -c 'sleep 60 & sleep 60'", "did not end within 0.5 seconds"),
    ],
    ids=["quote", "empty", "missing", "fails", "shape", "bytes", "slow"],
)
def test_a_command_that_fails(command: str, says: str, capfd: pytest.CaptureFixture[str]) -> None:
    """The process cannot start; what the command wrote is shown nowhere."""
    source = CommandKeys(command, seconds=0.5 if "sleep" in command else 10)
    with pytest.raises(StartupError) as caught:
        source.current()
    assert says in str(caught.value)
    assert "Zm9v" not in str(caught.value) + "".join(capfd.readouterr())
