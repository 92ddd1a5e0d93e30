"""A mapping's plan fitted to its target table: from a leased record to the values that are bound, column by column."""

from collections import OrderedDict
from typing import NamedTuple

from intertie_mapper.binders import Binder, binder
from intertie_mapper.columns import Column, SqlValue, TargetTable
from intertie_mapper.configuration import MappingEntry
from intertie_mapper.conversion import shown
from intertie_mapper.errors import Refusal, TargetReason
from intertie_mapper.misfits import Misfit
from intertie_mapper.model import LeasedRecord
from intertie_mapping import documents
from intertie_mapping.configuration import Configuration
from intertie_mapping.documents import Record
from intertie_mapping.errors import ConfigurationFault, DocumentError, MappingFault
from intertie_mapping.plan import Plan, compile_plan
from intertie_mapping.values import JsonValue, Value

_MOST_PLANS = 500


class Prepared(NamedTuple):
    """A record with the values for its columns, converted and checked as far as that needs no database."""

    record: LeasedRecord
    values: dict[str, SqlValue]
    """By column, in the plan's order. A null for a column that takes none is left out: an INSERT then uses the column's
    default, an UPDATE leaves the column as it is."""


class Assembly:
    """A plan and the table that it writes to, as the table was when this was made."""

    def __init__(self, plan: Plan, table: TargetTable) -> None:
        """Raises Refusal(invalid_mapping) when the plan names columns that the table lacks or computes itself."""
        self.plan = plan
        self.table = table
        self.is_slow = False
        """Whether a record took long to prepare: its expressions are heavy."""
        self._sources = {column: source for source, columns in plan.configuration.field_mappings for column in columns}
        self._columns: dict[str, Column] = {}
        for name in plan.columns:
            column = table.by_name.get(name)
            if column is None or column.computed:
                why = "does not exist" if column is None else "is computed by the database"
                raise Refusal(TargetReason.INVALID_MAPPING, name, f"the column {name} of {table.name} {why}")
            self._columns[name] = column
        self._nullable = frozenset(name for name, column in self._columns.items() if column.nullable)
        self._binders: dict[str, Binder] = {name: binder(column) for name, column in self._columns.items()}
        self.match_columns = plan.configuration.match_fields
        self.recreates = plan.configuration.on_deleted == "recreate"
        self.insert_only = plan.insert_only
        self.compared = tuple(name for name in plan.columns if name not in plan.insert_only)
        """The columns that an UPDATE may set."""
        self._required = tuple(column.name for column in table.columns if column.required)

    def source(self, column: str) -> str:
        """The path of the record that feeds the column; the column itself when it has an expression or a constant."""
        return self._sources.get(column, column)

    def prepare(self, record: LeasedRecord) -> Prepared:
        """The record's values. Raises Refusal that names the field, the value and the column."""
        parsed = parse_record(record.data)
        try:
            # Which of two equal keys was meant nobody knows: the sender must say.
            parsed.require_unique_keys()
            return Prepared(record, self.values(parsed.value))
        except MappingFault as fault:
            raise self.refusal_of(fault) from None

    def values(self, document: dict[str, JsonValue]) -> dict[str, SqlValue]:
        """The bound values of a record's columns. Raises MappingFault from the plan, Refusal from the conversion."""
        bound: dict[str, SqlValue] = {}
        binders = self._binders
        for name, value in self.plan.apply(document).items():
            if value is None:
                if name in self._nullable:
                    bound[name] = None
                continue
            try:
                bound[name] = binders[name](value)
            except Misfit as misfit:
                raise self._misfit(self._columns[name], value, misfit) from None
        return bound

    def refusal_of(self, fault: MappingFault) -> Refusal:
        """The fault with the record's field in place of the column that it feeds."""
        source = self.source(fault.field)
        into = f" (for the column {fault.field})" if fault.field in self._columns else ""
        return Refusal(fault.reason, source, f"{source}{into}: {fault.message}" if source else fault.message)

    def require_complete(self, values: dict[str, SqlValue]) -> None:
        """Raise Refusal(missing_required) if a new row of these values would leave a required column empty."""
        for name in self._required:
            if values.get(name) is None:
                source = self._sources.get(name)
                hint = (
                    f"the record has no {source}" if source else "the mapping gives it none; a constant or default can"
                )
                raise Refusal(
                    TargetReason.MISSING_REQUIRED,
                    source or name,
                    f"the column {name} of {self.table.name} needs a value, and {hint}",
                )

    def match_values(self, values: dict[str, SqlValue]) -> tuple[SqlValue, ...] | None:
        """The values to find an existing row by; None when the mapping does not match, or one is missing."""
        found = tuple(values.get(name) for name in self.match_columns)
        return None if not found or None in found else found

    def _misfit(self, column: Column, value: Value, misfit: Misfit) -> Refusal:
        source = self.source(column.name)
        return Refusal(
            misfit.reason,
            source,
            f"{source}: {shown(value)} does not fit the column {column.name} ({column.type}): {misfit.why}",
        )


def parse_record(data: bytes) -> Record:
    """The record in the bytes that ingest keeps. Raises Refusal(invalid_document)."""
    try:
        return documents.parse_record(data)
    except DocumentError as error:
        raise Refusal(TargetReason.INVALID_DOCUMENT, "", error.message) from None


class Plans:
    """Compiled plans by content, so that a mapping is compiled once however often its system changes."""

    def __init__(self) -> None:
        self._plans: OrderedDict[bytes, Plan | Refusal] = OrderedDict()

    def of(self, mapping: MappingEntry) -> Plan:
        """The mapping's plan. Raises Refusal(invalid_mapping) with all problems of the configuration."""
        found = self._plans.get(mapping.fingerprint)
        if found is None:
            found = self._plans[mapping.fingerprint] = _compile(mapping)
            if len(self._plans) > _MOST_PLANS:
                self._plans.popitem(last=False)
        if isinstance(found, Refusal):
            raise Refusal(found.reason, found.field, found.message)
        return found


def _compile(mapping: MappingEntry) -> Plan | Refusal:
    try:
        return compile_plan(Configuration.from_json(mapping.config))
    except ConfigurationFault as fault:
        text = "; ".join(f"{path}: {problem}" if path else problem for path, problem in fault.problems[:5])
        return Refusal(TargetReason.INVALID_MAPPING, fault.problems[0][0], f"the mapping {mapping.name}: {text}")
