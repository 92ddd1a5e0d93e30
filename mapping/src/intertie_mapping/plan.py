"""A mapping compiled once into closures.

What one record becomes, without a clock, a database or anything else outside of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from intertie_mapping.configuration import Configuration
from intertie_mapping.documents import Record
from intertie_mapping.errors import Reason
from intertie_mapping.expressions import Expression, without_decimals
from intertie_mapping.identities import content_identity, identity
from intertie_mapping.paths import compile_path
from intertie_mapping.transformations.chain import Chain, compile_chain
from intertie_mapping.values import MISSING, JsonObject, JsonValue, Missing, Value
from intertie_mapping.versions import version_key

#: Writes one column's value into the row, if the record has one for it.
_Writer = Callable[[JsonObject, dict[str, Value]], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """A compiled mapping. Immutable and free of state: threads may share it.

    All its functions take a record's parsed value, return the same for the same record, and raise MappingFault alone.
    """

    configuration: Configuration
    #: the columns that `apply` may give a value to, in the order of the configuration
    columns: tuple[str, ...]
    #: those of them that have only a default: write them when a row is inserted, leave them out of an UPDATE
    insert_only: frozenset[str]
    #: whether the record passes the mapping's filter; a filter that cannot be evaluated is a fault (filter_failed)
    wants: Callable[[JsonObject], bool]
    #: the external id, None if the record has none (invalid_external_id)
    external_id: Callable[[JsonObject], str | None]
    #: the version's key, None if the mapping has no version_field; keys compare as the versions do (missing_version,
    #: invalid_version)
    version: Callable[[JsonObject], str | None]
    #: the columns' values; a column whose source is missing, and that has no default, is left out; a null is None
    apply: Callable[[JsonObject], dict[str, Value]]

    @property
    def every(self) -> bool:
        """Whether each delivery is a record of its own (`"apply": "every"`)."""
        return self.configuration.apply == "every"

    def identify(self, record: Record) -> str | None:
        """The external id, or one made of the record's bytes if it has none and the mapping says `"external_id":
        "content"`.

        None: the record is one of its own, and the caller gives it an id.
        """
        found = self.external_id(record.value)
        if found is None and self.configuration.external_id == "content":
            return content_identity(record)
        return found


def compile_plan(configuration: Configuration) -> Plan:
    """The plan of a configuration, which has been checked: nothing here can fail."""
    simple: list[tuple[str, Callable[[JsonObject], JsonValue | Missing]]] = []
    writers: list[_Writer] = []
    defaults = configuration.defaults
    for source, columns in configuration.field_mappings:
        read = compile_path(source)
        for column in columns:
            chain = compile_chain(column, configuration.transformations.get(column, ()))
            if chain is None and column not in defaults:
                simple.append((column, read))
            else:
                writers.append(_from_source(column, read, chain, defaults.get(column, MISSING)))
    if configuration.expressions:
        writers.append(_from_expressions(configuration))
    fixed = dict(configuration.constants)
    sourced = {
        column for _, columns in configuration.field_mappings for column in columns
    } | configuration.expressions.keys()
    only_default = {column: value for column, value in defaults.items() if column not in sourced}
    return Plan(
        configuration=configuration,
        columns=configuration.columns,
        insert_only=frozenset(only_default),
        wants=_filter(configuration.filter),
        external_id=_external_id(configuration.external_id_field),
        version=_version(configuration.version_field),
        apply=_apply(simple, writers, {**only_default, **fixed}),
    )


def _apply(
    simple: list[tuple[str, Callable[[JsonObject], JsonValue | Missing]]],
    writers: list[_Writer],
    fixed: dict[str, JsonValue],
) -> Callable[[JsonObject], dict[str, Value]]:
    """Columns that are taken as they are go through a loop of their own: most are, and it is the hot path."""

    def apply(record: JsonObject) -> dict[str, Value]:
        row: dict[str, Value] = {**fixed}
        for column, read in simple:
            value = read(record)
            if value is not MISSING:
                row[column] = value
        for write in writers:
            write(record, row)
        return row

    return apply


def _from_source(
    column: str, read: Callable[[JsonObject], JsonValue | Missing], chain: Chain | None, default: JsonValue | Missing
) -> _Writer:
    def write(record: JsonObject, row: dict[str, Value]) -> None:
        _put(column, read(record), chain, default, row)

    return write


def _from_expressions(configuration: Configuration) -> _Writer:
    compiled = [
        (
            column,
            Expression(text, column),
            compile_chain(column, configuration.transformations.get(column, ())),
            configuration.defaults.get(column, MISSING),
        )
        for column, text in configuration.expressions.items()
    ]

    def write(record: JsonObject, row: dict[str, Value]) -> None:
        plain = without_decimals(record)
        for column, expression, chain, default in compiled:
            _put(column, expression.evaluate(plain), chain, default, row)

    return write


def _put(
    column: str, value: JsonValue | Missing, chain: Chain | None, default: JsonValue | Missing, row: dict[str, Value]
) -> None:
    """A default is written as it stands; only what came from the record is transformed."""
    if value is MISSING and default is not MISSING:
        row[column] = default
        return
    result = value if chain is None else chain(value)
    if not isinstance(result, Missing):
        row[column] = result


def _filter(text: str | None) -> Callable[[JsonObject], bool]:
    if text is None:
        return lambda record: True
    expression = Expression(text, "filter", Reason.FILTER_FAILED)

    def wants(record: JsonObject) -> bool:
        return expression.holds(without_decimals(record))

    return wants


def _external_id(path: str) -> Callable[[JsonObject], str | None]:
    read = compile_path(path)

    def external_id(record: JsonObject) -> str | None:
        return identity(read(record))

    return external_id


def _version(path: str | None) -> Callable[[JsonObject], str | None]:
    if path is None:
        return lambda record: None
    read = compile_path(path)

    def version(record: JsonObject) -> str | None:
        return version_key(read(record))

    return version
