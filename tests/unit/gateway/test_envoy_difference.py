"""The files beside those on disk: what is shown, and what is put in place."""

from pathlib import Path

import pytest

from intertie_chassis.errors import StartupError
from intertie_gateway.envoy import difference

FILES = {"contracts-02.binpb": b"\x00new", "envoy.yaml": b"a: 1\nb: 3\n"}


def test_nothing_differs_from_itself(tmp_path: Path) -> None:
    difference.place(tmp_path / "made", difference.changes(tmp_path / "made", FILES))
    assert {path.name: path.read_bytes() for path in (tmp_path / "made").iterdir()} == FILES
    assert difference.changes(tmp_path / "made", FILES) == []
    assert difference.told([]) == ""


def test_what_is_left_of_another_configuration_goes_last(tmp_path: Path) -> None:
    """And what is not ours stays."""
    for name, content in {"contracts-01.binpb": "old", "cds.yaml": "x: 1\n", "envoy.yaml": "a: 1\nb: 2\n"}.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "notes.yaml").write_text("mine")
    found = difference.changes(tmp_path, FILES)
    assert [change.name for change in found] == ["contracts-02.binpb", "envoy.yaml", "cds.yaml", "contracts-01.binpb"]
    shown = difference.told(found).splitlines()
    assert "+ contracts-02.binpb: contracts as they are, 4 bytes" in shown
    assert "- contracts-01.binpb: contracts as they were, 3 bytes" in shown
    assert shown[shown.index("--- envoy.yaml (on disk)") :][:6] == [
        "--- envoy.yaml (on disk)", "+++ envoy.yaml (made anew)", "@@ -1,2 +1,2 @@", " a: 1", "-b: 2", "+b: 3",
    ]  # fmt: skip
    difference.place(tmp_path, found)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["contracts-02.binpb", "envoy.yaml", "notes.yaml"]


def test_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match="cannot be"):
        difference.place(tmp_path / "file" / "envoy", difference.changes(tmp_path / "nowhere", FILES))
