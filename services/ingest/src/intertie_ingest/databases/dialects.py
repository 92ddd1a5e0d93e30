"""The SQL dialects of the drivers: what the guard must know of each to read a statement and to write it again."""

from dataclasses import dataclass

from intertie_ingest.errors import ConnectionUnusable


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a server reads text. Where servers of one kind differ by a setting, what they differ in is refused."""

    #: the `db_driver` of a connection
    driver: str
    #: sqlglot's name for it
    sqlglot: str
    #: what opens a quoted identifier, and what closes it
    identifiers: tuple[str, ...]
    #: the quotes that we write; SQLite takes "x" for a text when there is no such column, [x] and `x` never
    writes: tuple[str, str]
    #: `"x"` is a text
    double_is_text: bool = False
    #: a backslash in a text means itself, whatever the server's settings
    plain_backslash: bool = True
    #: operators beyond those that all have
    operators: tuple[str, ...] = ()
    #: `--` begins a comment only before white space, and `#` begins one
    mysql_comments: bool = False
    #: what the server makes of a name that is not quoted: `lower`, `upper`, or nothing
    unquoted: str = ""
    #: one schema of the connection's own database may be named before a table, as all of them are in that database
    has_schemas: bool = False


_BITS = ("<<", ">>", "&", "|", "^", "~")

_DIALECTS = {
    dialect.driver: dialect
    for dialect in (
        # NO_BACKSLASH_ESCAPES, ANSI_QUOTES and PIPES_AS_CONCAT change the meaning of a text; what we write means the
        # same under each of them, but for `||`, which is refused.
        Dialect(
            driver="mysql",
            sqlglot="mysql",
            identifiers=("``",),
            writes=("`", "`"),
            double_is_text=True,
            plain_backslash=False,
            operators=("<=>", "->>", "->", "&&", *_BITS),
            mysql_comments=True,
        ),
        # standard_conforming_strings may be off.
        Dialect(
            driver="postgresql",
            sqlglot="postgres",
            identifiers=('""',),
            writes=('"', '"'),
            plain_backslash=False,
            operators=(
                *("::", "->>", "->", "#>>", "#>", "@>", "<@", "!~*", "!~", "~*", "||", "[", "]"),
                *(bit for bit in _BITS if bit != "^"),
            ),
            unquoted="lower",
            has_schemas=True,
        ),
        Dialect(
            driver="sqlite",
            sqlglot="sqlite",
            identifiers=('""', "``", "[]"),
            writes=("`", "`"),
            operators=("->>", "->", "||", "==", "<<", ">>", "&", "|", "~"),
        ),
        Dialect(
            driver="mssql",
            sqlglot="tsql",
            identifiers=('""', "[]"),
            writes=("[", "]"),
            operators=("&", "|", "^", "~"),
            has_schemas=True,
        ),
        Dialect(
            driver="oracle",
            sqlglot="oracle",
            identifiers=('""',),
            writes=('"', '"'),
            operators=("||",),
            unquoted="upper",
            has_schemas=True,
        ),
    )
}


def dialect_of(driver: str) -> Dialect:
    """The dialect of a connection's `db_driver`. Raises ConnectionUnusable for one that there is not."""
    dialect = _DIALECTS.get(driver)
    if dialect is None:
        raise ConnectionUnusable("There is no database driver of the connection's `db_driver`.")
    return dialect
