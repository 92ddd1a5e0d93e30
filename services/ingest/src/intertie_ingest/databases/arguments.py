"""Parameters: what a caller gives by name, as the arguments of a statement's placeholders."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from intertie_ingest.databases.statements import Statement
from intertie_ingest.errors import QueryFailed

_MOST_BITS = 4096


def arguments_of(statement: Statement, params: Mapping[str, Any]) -> tuple[Any, ...]:
    """The arguments in the order of the placeholders. Raises QueryFailed, which names the parameter at fault."""
    missing = sorted(set(statement.parameters) - set(params))
    if missing:
        raise QueryFailed(f"the statement needs a value for {_listed(missing)}", metadata={"parameter": missing[0]})
    unneeded = sorted(set(params) - set(statement.parameters))
    if unneeded:
        raise QueryFailed(f"the statement has no parameter {_listed(unneeded)}", metadata={"parameter": unneeded[0]})
    return tuple(_checked(name, params[name]) for name in statement.parameters)


def wrong(name: str, expected: str) -> QueryFailed:
    """The refusal of a value; it is not repeated, for it may be a person's."""
    return QueryFailed(f"the parameter {name[:100]} must be {expected}", metadata={"parameter": name[:100]})


def _listed(names: list[str]) -> str:
    return ", ".join(f":{name[:100]}" for name in names[:10])


def _checked(name: str, value: Any) -> Any:
    match value:
        case None | bool() | bytes():
            return value
        case str():
            if not _is_unicode(value):
                raise wrong(name, "a text of valid Unicode")
            return value
        case int():
            if value.bit_length() > _MOST_BITS:
                raise wrong(name, "a smaller number")
            return value
        case float():
            return _finite(name, value, value - value == 0)
        case Decimal():
            return _finite(name, value, value.is_finite() and abs(value.adjusted()) < _MOST_BITS)
        case list() | tuple() | dict():
            raise wrong(name, "a number, a text, true, false or null; write a list as one parameter for each value")
    raise wrong(name, "a number, a text, true, false or null")


def _finite(name: str, value: Any, is_finite: bool) -> Any:
    if not is_finite:
        raise wrong(name, "a finite number")
    return value


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
