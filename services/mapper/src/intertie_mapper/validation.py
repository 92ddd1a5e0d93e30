"""Everything that is wrong with a mapping against its target table as it is now, in one answer."""

from collections.abc import Iterator
from difflib import get_close_matches

from intertie_mapper.columns import Column, Kind, TargetTable
from intertie_mapper.conversion import convert, shown
from intertie_mapper.misfits import Misfit
from intertie_mapping.configuration import Configuration
from intertie_mapping.errors import ConfigurationFault

Problem = tuple[str, str]
"""A path in the configuration (or a column), and what is wrong and would be right."""

_DATE_MAKERS = {"date", "datetime", "time", "date_format"}
_NUMBERS = {Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT, Kind.BOOLEAN, Kind.BIT}
_MOMENTS = {Kind.DATE, Kind.DATETIME, Kind.TIMESTAMP, Kind.TIME}
_NEVER: dict[str, set[Kind]] = {
    **dict.fromkeys(_DATE_MAKERS, _NUMBERS | {Kind.UUID, Kind.BINARY, Kind.ENUM, Kind.SET}),
    **dict.fromkeys(
        ("number", "integer", "decimal", "round", "absolute", "multiply", "add", "count"), _MOMENTS | {Kind.UUID}
    ),
    "boolean": _MOMENTS | {Kind.UUID, Kind.BINARY, Kind.YEAR},
    "split": _NUMBERS | _MOMENTS | {Kind.TEXT, Kind.ENUM, Kind.UUID, Kind.BINARY, Kind.YEAR},
}
"""Kinds of column that can never hold what a transformation makes, when it is a column's last."""


def read(config: bytes, *, strict: bool) -> tuple[Configuration | None, list[Problem]]:
    """The configuration, if it can be read at all, and its problems."""
    try:
        return Configuration.from_json(config, strict=strict), []
    except ConfigurationFault as fault:
        if not strict:
            return None, list(fault.problems)
        # What is only not allowed when saving does not keep the rest from being checked.
        return read(config, strict=False)[0], list(fault.problems)


def problems(configuration: Configuration, table: TargetTable) -> list[Problem]:
    """What keeps the configuration from fitting the table; nothing: it may be saved."""
    return [
        *_unknown(configuration, table),
        *_without_value(configuration, table),
        *_fixed_values(configuration, table),
        *_transformed(configuration, table),
    ]


def _unknown(configuration: Configuration, table: TargetTable) -> Iterator[Problem]:
    for path, name in _columns(configuration):
        column = table.by_name.get(name)
        if column is None:
            near = get_close_matches(name, table.by_name, 1, 0.6)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(list(table.by_name)[:30])}"
            yield path, f"{table.name} has no column {name}; {hint}"
        elif column.computed:
            yield path, f"the column {name} is computed by the database, so nothing can be written to it"


def _without_value(configuration: Configuration, table: TargetTable) -> Iterator[Problem]:
    given = set(configuration.columns)
    for column in table.columns:
        if not column.required or column.name in given:
            continue
        if column.name in table.primary_key:
            yield (
                column.name,
                f"the key column {column.name} is neither made by the database nor given a value: map a field to it",
            )
        else:
            yield (
                column.name,
                f"the column {column.name} ({column.type}) needs a value (NOT NULL, no default) "
                f"and the mapping gives it none: "
                f'map a field to it, or give a constant, as in "constants": {{"{column.name}": …}}',
            )


def _fixed_values(configuration: Configuration, table: TargetTable) -> Iterator[Problem]:
    for key, values in (("constants", configuration.constants), ("defaults", configuration.defaults)):
        for name, value in values.items():
            column = table.by_name.get(name)
            if column is None:
                continue
            if value is None:
                if column.required:
                    yield f"{key}.{name}", f"the column {name} takes no null"
                continue
            try:
                convert(column, value)
            except Misfit as misfit:
                yield f"{key}.{name}", f"{shown(value)} does not fit the column {name} ({column.type}): {misfit.why}"


def _transformed(configuration: Configuration, table: TargetTable) -> Iterator[Problem]:
    for name, steps in configuration.transformations.items():
        column = table.by_name.get(name)
        if column is None or not steps:
            continue
        last = steps[-1].specification.name
        if column.kind in _NEVER.get(last, ()):
            yield f"transformations.{name}", _never(last, column)


def _never(transformation: str, column: Column) -> str:
    return f"{transformation} makes what the column {column.name} ({column.type}) can never hold"


def _columns(configuration: Configuration) -> Iterator[Problem]:
    for source, names in configuration.field_mappings:
        for name in names:
            yield f"field_mappings.{source}", name
    for key, columns in (
        ("expressions", configuration.expressions),
        ("constants", configuration.constants),
        ("defaults", configuration.defaults),
    ):
        for name in columns:
            yield f"{key}.{name}", name
