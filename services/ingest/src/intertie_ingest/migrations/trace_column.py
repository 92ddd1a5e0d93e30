"""The column that revision 0005 adds, for the migration and the adoption; frozen like the tables.

It holds what belongs to a state as its `delivery_id` does: the trace in which its delivery came, when that is sampled.
"""

from typing import Any

from sqlalchemy import Column, String
from sqlalchemy.dialects.mysql import VARCHAR

CACHE = "external_data_cache"
TRACE_COLUMN = "traceparent"


def trace_column() -> Column[Any]:
    """The column; without a value for nearly all rows."""
    kind = String(55).with_variant(VARCHAR(55, charset="ascii", collation="ascii_bin"), "mysql", "mariadb")
    return Column(TRACE_COLUMN, kind)
