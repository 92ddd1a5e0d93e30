"""The reference of the mapping language says what the code does: its examples run, its tables are complete."""

from __future__ import annotations

import json
import re
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from intertie_mapping.configuration import KEYS, Configuration
from intertie_mapping.documents import parse, parse_value
from intertie_mapping.errors import Reason
from intertie_mapping.plan import compile_plan
from intertie_mapping.transformations.chain import CATALOGUE
from intertie_mapping.transformations.specification import as_text

REFERENCE = (Path(__file__).parents[3] / "docs" / "mapping.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(
    r"```json mapping\n(.*?)```\s+```json record\n(.*?)```\s+```json row\n(.*?)```", REFERENCE, re.DOTALL
)


def as_json(value: Any) -> Any:
    return as_text(value) if isinstance(value, date) else value


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 3


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_give_the_rows_that_they_show(example: tuple[str, str, str]) -> None:
    mapping, body, row = example
    plan = compile_plan(Configuration.from_json(mapping, strict=True))
    (record,) = parse(body.encode()).records
    assert plan.wants(record.value)
    assert plan.external_id(record.value)
    found = {column: as_json(value) for column, value in plan.apply(record.value).items()}
    expected = parse_value(row)
    assert isinstance(expected, dict)
    assert {
        key: Decimal(repr(value)) if isinstance(value, float) else value for key, value in expected.items()
    } == found


def test_the_first_configuration_is_taken() -> None:
    first = re.search(r"```json\n(\{.*?)```", REFERENCE, re.DOTALL)
    assert first is not None
    assert Configuration.from_value(json.loads(first[1]), strict=True).columns


@pytest.mark.parametrize("name", CATALOGUE)
def test_each_transformation_is_described_as_it_describes_itself(name: str) -> None:
    """Its row has its sentence and each of its arguments'."""
    (row,) = re.findall(rf"^\| `{name}` \| .*$", REFERENCE, re.MULTILINE)
    assert CATALOGUE[name].sentence in row
    for argument, described in CATALOGUE[name].arguments.items():
        assert f"`{argument}`: {described.sentence}" in row


@pytest.mark.parametrize("name", KEYS)
def test_each_key_is_described(name: str) -> None:
    assert f"| `{name}` |" in REFERENCE


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_is_described(reason: Reason) -> None:
    assert f"| `{reason.value}` | {reason.sentence} |" in REFERENCE
