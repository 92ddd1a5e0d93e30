"""How a change that SQL made is seen on MySQL and MariaDB: a digest of a whole table, computed by the server.

`updated_at` will not do: it has seconds, so the second of two changes in one second looks like none; and a deleted row
has none. CHECKSUM TABLE would, but gives 32 bits. These are 64 bits of each row's MD5, combined so that order does not
matter.
"""

from collections.abc import Sequence


def statement(table: str, columns: Sequence[str]) -> str:
    """SQL that gives one row, equal to the one before unless some value of the table changed."""
    # QUOTE tells NULL from 'NULL' and one column's end from the next one's beginning. The separator cannot be empty.
    row = f"MD5(CONCAT_WS(',', {', '.join(f'QUOTE(`{column}`)' for column in columns)}))"
    half = f"CAST(CONV(SUBSTRING({row}, 1, 16), 16, 10) AS UNSIGNED)"
    return f"SELECT COUNT(*), COALESCE(MAX(`{columns[0]}`), 0), BIT_XOR({half}) FROM `{table}`"
