"""What is known of a target table: its columns and keys, as plain values that conversion and decisions work on."""

import enum
from dataclasses import dataclass, field
from typing import TypeAlias

SqlValue: TypeAlias = "None | int | float | str | bytes"
"""A value as it is bound: times and decimals are texts in the database's own notation, so that both stores agree."""

Key: TypeAlias = tuple[SqlValue, ...]
"""The values of a row's primary key, in the key's order."""


class Kind(enum.Enum):
    """What a column holds, whatever the database calls it."""

    INTEGER = "integer"
    BOOLEAN = "boolean"
    DECIMAL = "decimal"
    FLOAT = "float"
    TEXT = "text"
    ENUM = "enum"
    SET = "set"
    DATE = "date"
    DATETIME = "datetime"
    TIMESTAMP = "timestamp"
    TIME = "time"
    YEAR = "year"
    JSON = "json"
    BINARY = "binary"
    UUID = "uuid"
    BIT = "bit"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a target table."""

    name: str
    type: str
    """The SQL type as the database says it."""
    kind: Kind
    nullable: bool = True
    has_default: bool = False
    """Whether an INSERT may leave it out and it gets a value other than NULL: a default, a generated key."""
    auto_increment: bool = False
    computed: bool = False
    """A generated column: nobody may write it."""
    default_expression: str | None = None
    """The expression of the default where it is one that makes a new value for each row (`uuid()`)."""
    max_characters: int | None = None
    max_bytes: int | None = None
    padded: bool = False
    """CHAR: trailing spaces are not kept."""
    fixed_bytes: int | None = None
    """BINARY(n): shorter values would be padded."""
    low: int | None = None
    high: int | None = None
    precision: int | None = None
    scale: int = 0
    single: bool = False
    """FLOAT of four bytes."""
    fraction: int = 0
    """Digits of a second that are kept."""
    words: tuple[str, ...] = ()
    encoding: str | None = None
    """Python's name of the column's character set when that is not all of Unicode; `utf8mb3` for three-byte UTF-8."""
    embedded: bool = False
    """On SQLite, which keeps 64-bit integers and doubles only."""

    @property
    def required(self) -> bool:
        """Whether an INSERT must name it."""
        return not self.nullable and not self.has_default and not self.computed


@dataclass(frozen=True, slots=True)
class UniqueKey:
    """A unique key other than the primary one."""

    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A reference to another table."""

    name: str
    columns: tuple[str, ...]
    refers_to: str


@dataclass(frozen=True, slots=True)
class CheckpointTable:
    """The table that keeps how the exchange of this table's rows stands."""

    name: str
    row_column: str
    """The column that refers to the target row: `event_id`."""


@dataclass(frozen=True, slots=True)
class TargetTable:
    """A table that mappings may write to."""

    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    uniques: tuple[UniqueKey, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    checkpoint: CheckpointTable | None = None
    reuses_keys: bool = False
    """Whether a deleted row's key may come again (SQLite without AUTOINCREMENT, keys that are mapped)."""
    transactional: bool = True
    """Whether its rows come and go with the transaction: not so with MyISAM."""
    by_name: dict[str, Column] = field(init=False, compare=False, repr=False)
    key_columns: tuple[Column, ...] = field(init=False, compare=False, repr=False)
    """The columns of the primary key, in its order."""

    def __post_init__(self) -> None:
        """Index the columns by name."""
        by_name = {column.name: column for column in self.columns}
        object.__setattr__(self, "by_name", by_name)
        object.__setattr__(self, "key_columns", tuple(by_name[name] for name in self.primary_key))

    @property
    def has_integer_key(self) -> bool:
        """Whether the primary key is one integer: only then can checkpoints refer to a row."""
        return len(self.primary_key) == 1 and self.key_columns[0].kind is Kind.INTEGER
