"""Tables and JSON on standard output."""

import json

import pytest

from intertie.registry.v1 import registry_pb2
from intertie_cli.output import Format, Printer
from intertie_cli.systems import COLUMNS

SYSTEMS = [
    registry_pb2.System(id=1, system_name="police", system_type="hybrid", is_active=True),
    registry_pb2.System(id=2, system_name="[bold]fire[/bold] " + "x" * 300, system_type="api", is_active=False),
]


def test_a_table_into_a_pipe_is_a_line_an_item(capsys: pytest.CaptureFixture[str]) -> None:
    """No cell is cut or folded, nothing in the data is taken for markup, and empty columns are left out."""
    Printer().items(SYSTEMS, COLUMNS, none="")
    heading, first, second = capsys.readouterr().out.splitlines()
    assert heading.split() == ["ID", "NAME", "TYPE", "ACTIVE"]
    assert first.split() == ["1", "police", "hybrid", "yes"]
    assert "[bold]fire[/bold] " + "x" * 300 in second


def test_json_is_an_array_of_the_items(capsys: pytest.CaptureFixture[str]) -> None:
    """Also of none, and nothing else is on standard output."""
    printer = Printer(Format.JSON)
    printer.items(SYSTEMS, COLUMNS, none="")
    assert [each["system_name"] for each in json.loads(capsys.readouterr().out)] == [
        system.system_name for system in SYSTEMS
    ]
    printer.items([], COLUMNS, none="There are none.")
    assert capsys.readouterr() == ("[]\n", "")


def test_nothing_found_is_a_remark(capsys: pytest.CaptureFixture[str]) -> None:
    """It is for a person: standard output stays empty."""
    Printer().items([], COLUMNS, none="There are none.")
    assert capsys.readouterr() == ("", "There are none.\n")


def test_an_item_is_shown_field_by_field(capsys: pytest.CaptureFixture[str]) -> None:
    """What is empty is left out; false is not empty."""
    Printer().item(SYSTEMS[1])
    lines = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert lines == ["id", "system_name", "system_type", "is_active"]
