"""What a page tells of its records besides their JSON is what reading the JSON gives."""

import datetime as dt
from decimal import Decimal
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from intertie_ingest.databases.values import Encoder, moment
from intertie_mapping.documents import parse

CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=True),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=Decimal("-1e65"), max_value=Decimal("1e65")),
    st.text(),
    st.binary(),
    st.datetimes(),
    st.dates(),
    st.times(),
    st.timedeltas(),
)


@given(rows=st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=5))
@example(rows=[(dt.datetime(9, 1, 2), Decimal("1.50"), Decimal("12345678901234567890.123")), ("\ud800", 2**70, 0.1)])
def test_a_column_is_what_reading_the_records_gives(rows: list[tuple[Any, ...]]) -> None:
    """Value and type, whatever the database's own type is."""
    encoder = Encoder(["a", "b", "a"], [(1, moment)], is_flat=True)
    read = [parse(raw).records[0].value for raw in encoder.encode(rows)]
    for name in encoder.names:
        column = encoder.column(name, rows)
        assert repr(column) == repr([record[name] for record in read])
