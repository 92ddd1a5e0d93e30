"""The mapping guide's worked examples give the rows that they show."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from intertie_mapping.configuration import Configuration
from intertie_mapping.documents import parse
from intertie_mapping.forms import parse_form
from intertie_mapping.plan import compile_plan
from intertie_mapping.transformations.specification import as_text
from mapping_examples import Example, examples


def test_the_guide_has_the_senders_that_it_names() -> None:
    """So that a block which is misspelt is not taken for none."""
    assert len(examples()) == 12


@pytest.mark.parametrize("example", examples(), ids=lambda example: f"line {example.line}")
def test_a_body_gives_the_row_that_is_shown(example: Example) -> None:
    """Through the mapping as it is compiled for use: filter, id, version and each column."""
    plan = compile_plan(Configuration.from_json(example.mapping, strict=True))
    document = parse(example.body) if example.content_type == "application/json" else parse_form(example.body)
    assert len(document.records) == len(example.rows)
    for record, row in zip(document.records, example.rows, strict=True):
        assert plan.wants(record.value)
        assert plan.every or plan.external_id(record.value)
        plan.version(record.value)
        found = {column: _as_json(value) for column, value in plan.apply(record.value).items()}
        assert found == {column: _exact(value) for column, value in row.items()}


def _as_json(value: Any) -> Any:
    return as_text(value) if isinstance(value, date) else value


def _exact(value: Any) -> Any:
    return Decimal(repr(value)) if isinstance(value, float) else value
