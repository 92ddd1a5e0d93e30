"""The configuration of a mapping, read from its JSON with all of its problems named at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, cast

from intertie_mapping.documents import parse_value
from intertie_mapping.errors import ConfigurationFault, DocumentError
from intertie_mapping.expressions import Expression, ExpressionError
from intertie_mapping.paths import PathError, compile_path
from intertie_mapping.retrying import DELAYS, check_retry, delays_of
from intertie_mapping.synchronisation import check_sync
from intertie_mapping.transformations.chain import Step, parse_steps
from intertie_mapping.values import JsonObject, JsonValue

KEYS = (
    "field_mappings", "transformations", "expressions", "constants", "defaults", "external_id_field", "external_id",
    "version_field", "match_fields", "filter", "apply", "on_deleted", "retry", "sync",
)  # fmt: skip

MAX_COLUMNS = 1_000
MAX_COLUMN_NAME = 64  # of MySQL


@dataclass(frozen=True, slots=True)
class Configuration:
    """A checked mapping configuration. Its dicts are not to be changed."""

    #: (source path, the columns it feeds), in the order they were written
    field_mappings: tuple[tuple[str, tuple[str, ...]], ...] = ()
    #: column → the transformations of what its source or expression gives
    transformations: Mapping[str, tuple[Step, ...]] = field(default_factory=dict)
    #: column → JSONata
    expressions: Mapping[str, str] = field(default_factory=dict)
    #: column → the value it always gets
    constants: Mapping[str, JsonValue] = field(default_factory=dict)
    #: column → the value it gets when its source is missing; on insert alone if it has no source
    defaults: Mapping[str, JsonValue] = field(default_factory=dict)
    #: path of the external id
    external_id_field: str = "id"
    #: what a record without id is: "field" – one of its own each time; "content" – the one that has the same bytes
    external_id: Literal["field", "content"] = "field"
    #: path of the version; None: the order of arrival
    version_field: str | None = None
    #: columns by whose values an unlinked record finds the row that it is; empty: it is a new row
    match_fields: tuple[str, ...] = ()
    #: JSONata that a record must fulfil to be mapped
    filter: str | None = None
    #: "latest" – the row mirrors the newest state; "every" – each delivery makes a row
    apply: Literal["latest", "every"] = "latest"
    #: what to do with a record whose row the module deleted: set it aside, or make the row again
    on_deleted: Literal["set_aside", "recreate"] = "set_aside"
    #: seconds after each attempt that failed for no fault of the record's; with them used up it is set aside
    retry_delays: tuple[int, ...] = DELAYS
    #: how the source is pulled, as it was written; `Synchronisation.of` reads it
    sync: Mapping[str, JsonValue] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that the mapping may write, each once."""
        sourced = (column for _, columns in self.field_mappings for column in columns)
        return tuple(dict.fromkeys((*sourced, *self.expressions, *self.constants, *self.defaults)))

    @classmethod
    def from_json(cls, text: str | bytes, *, strict: bool = False) -> Configuration:
        """The configuration of a JSON text. Raises ConfigurationFault with all problems."""
        try:
            value = parse_value(text if isinstance(text, str) else text.decode())
        except UnicodeDecodeError:
            raise ConfigurationFault([("", "the configuration is not UTF-8")]) from None
        except DocumentError as error:
            raise ConfigurationFault([("", error.message.replace("The body", "The configuration"))]) from None
        return cls.from_value(value, strict=strict)

    @classmethod
    def from_value(cls, value: JsonValue, *, strict: bool = False) -> Configuration:
        """The configuration of a parsed JSON value. Raises ConfigurationFault with all problems.

        `strict` is for saving: unknown keys, and transformations of columns that no source feeds, are problems too. A
        mapping that was written by SQL is read without, so that a misspelt extra does not stop its deliveries.
        """
        if value == []:  # how PHP writes an empty object
            value = {}
        if not isinstance(value, dict):
            raise ConfigurationFault([("", "the configuration must be a JSON object")])
        reader = _Reader(value, strict)
        configuration = reader.read()
        if reader.problems:
            raise ConfigurationFault(reader.problems)
        return configuration


class _Reader:
    """Reads one configuration, collecting problems as it goes."""

    def __init__(self, value: JsonObject, strict: bool) -> None:
        self._value = value
        self._strict = strict
        self.problems: list[tuple[str, str]] = []

    def read(self) -> Configuration:
        """The configuration; of no use when there are problems."""
        if self._strict:
            for key in self._value.keys() - set(KEYS):
                self._problem(key, f"unknown; the keys are {', '.join(KEYS)}")
        field_mappings = self._field_mappings()
        expressions = self._columns("expressions")
        for column, text in expressions.items():
            self._compiles(f"expressions.{column}", text)
        constants = self._columns("constants")
        sourced = [column for _, columns in field_mappings for column in columns]
        self._refuse_double((*sourced, *expressions, *constants))
        configuration = Configuration(
            field_mappings=field_mappings,
            transformations=self._transformations({*sourced, *expressions}),
            expressions=cast(dict[str, str], expressions),
            constants=constants,
            defaults=self._defaults(constants),
            external_id_field=self._path("external_id_field") or "id",
            external_id=cast('Literal["field", "content"]', self._choice("external_id", ("field", "content"))),
            version_field=self._path("version_field"),
            match_fields=self._match_fields(),
            filter=self._filter(),
            apply=cast('Literal["latest", "every"]', self._choice("apply", ("latest", "every"))),
            on_deleted=cast('Literal["set_aside", "recreate"]', self._choice("on_deleted", ("set_aside", "recreate"))),
            retry_delays=self._retry_delays(),
            sync=self._sync(),
        )
        self._check_whole(configuration)
        return configuration

    def _field_mappings(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        mappings: list[tuple[str, tuple[str, ...]]] = []
        for source, target in self._object("field_mappings").items():
            path = f"field_mappings.{source}"
            self._check_path(path, source)
            names = target if isinstance(target, list) else [target]
            if not names:
                self._problem(path, "names no column")
            columns = tuple(name for name in names if self._is_column(path, name))
            mappings.append((source, cast(tuple[str, ...], columns)))
        return tuple(mappings)

    def _transformations(self, sourced: set[str]) -> dict[str, tuple[Step, ...]]:
        transformations: dict[str, tuple[Step, ...]] = {}
        for column, value in self._columns("transformations").items():
            path = f"transformations.{column}"
            steps, problems = parse_steps(value)
            self.problems.extend((path + inside, text) for inside, text in problems)
            if self._strict and column not in sourced:
                self._problem(path, "no field mapping or expression feeds the column: nothing to transform")
            transformations[column] = steps
        return transformations

    def _defaults(self, constants: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        defaults = self._columns("defaults")
        for column in defaults.keys() & constants.keys():
            self._problem(f"defaults.{column}", "the column has a constant, so its default would never be used")
        return defaults

    def _match_fields(self) -> tuple[str, ...]:
        value = self._value.get("match_fields")
        if value is None:
            return ()
        names = value if isinstance(value, list) else [value]
        return tuple(cast(str, name) for name in names if self._is_column("match_fields", name))

    def _filter(self) -> str | None:
        text = self._value.get("filter")
        if text is None or text == "":
            return None
        return cast(str, text) if self._compiles("filter", text) else None

    def _retry_delays(self) -> tuple[int, ...]:
        if self._strict:
            retry = self._object("retry")
            self.problems.extend((f"retry.{path}", text) for path, text in check_retry(retry))
            return delays_of(retry)
        # What SQL wrote wrong here is no reason to stop deliveries: they have the usual delays.
        value = self._value.get("retry")
        return delays_of(value) if isinstance(value, dict) else DELAYS

    def _sync(self) -> JsonObject:
        sync = self._object("sync")
        if self._strict:
            # What SQL wrote wrong here stops the mapping's syncs (`Synchronisation.of`), but not its deliveries.
            self.problems.extend((f"sync.{path}", text) for path, text in check_sync(sync, strict=True))
        return sync

    def _check_whole(self, configuration: Configuration) -> None:
        columns = configuration.columns
        if not columns and not self.problems:
            self._problem(
                "field_mappings", 'names no column to write; give at least one, as in {"title": "event_title"}'
            )
        if len(columns) > MAX_COLUMNS:
            self._problem("field_mappings", f"the mapping writes more than {MAX_COLUMNS} columns")
        for column in configuration.match_fields:
            if column not in columns:
                self._problem("match_fields", f"the mapping gives {column!r} no value, so it cannot match by it")
        if configuration.apply == "every" and configuration.match_fields:
            self._problem("match_fields", '"apply": "every" makes a row of each delivery, so there is no row to match')

    def _refuse_double(self, columns: tuple[str, ...]) -> None:
        for column in dict.fromkeys(columns):
            if columns.count(column) > 1:
                self._problem(
                    "field_mappings", f"{column!r} has two sources among field_mappings, expressions and constants"
                )

    def _object(self, key: str) -> JsonObject:
        value = self._value.get(key)
        if value is None or value == []:  # PHP writes an empty object as an empty array
            return {}
        if isinstance(value, dict):
            return value
        self._problem(key, "must be a JSON object")
        return {}

    def _columns(self, key: str) -> JsonObject:
        return {column: value for column, value in self._object(key).items() if self._is_column(key, column)}

    def _path(self, key: str) -> str | None:
        value = self._value.get(key)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            self._problem(key, "must be a source path")
            return None
        self._check_path(key, value)
        return value

    def _choice(self, key: str, choices: tuple[str, ...]) -> str:
        value = self._value.get(key)
        if value is None:
            return choices[0]
        if value not in choices:
            self._problem(key, f"must be {' or '.join(repr(choice) for choice in choices)}")
        return cast(str, value)

    def _check_path(self, where: str, text: str) -> None:
        try:
            compile_path(text)
        except PathError as error:
            self._problem(where, str(error))

    def _is_column(self, where: str, name: JsonValue) -> bool:
        if isinstance(name, str) and 0 < len(name) <= MAX_COLUMN_NAME and name.isprintable():
            return True
        self._problem(where, f"a column's name is a text of 1 to {MAX_COLUMN_NAME} printable characters")
        return False

    def _compiles(self, where: str, text: JsonValue) -> bool:
        if not isinstance(text, str):
            self._problem(where, "must be a JSONata expression, which is a text")
            return False
        try:
            Expression(text)
        except ExpressionError as error:
            self._problem(where, str(error))
            return False
        return True

    def _problem(self, path: str, text: str) -> None:
        self.problems.append((path, text))
