"""What a grant permits: the tables, columns, statements, rows, endpoints and methods of its `query_permissions`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from intertie_ingest.errors import QueryNotPermitted

STATEMENTS = frozenset({"select", "insert", "update", "delete"})

_KEYS = frozenset({"tables", "columns", "statements", "max_rows", "endpoints", "methods"})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
_UPPER = "".join(map(chr, range(ord("A"), ord("Z") + 1)))
_FOLD = str.maketrans(_UPPER, _UPPER.lower())


def folded(name: str) -> str:
    """The name as it is compared: letters of ASCII in lower case.

    No more than those: `str.lower` makes one name of `K` and the Kelvin sign, which no server does.
    """
    return name.translate(_FOLD)


class _NotUnderstood(Exception):
    """Its text says what of the permissions is not understood."""


@dataclass(frozen=True, slots=True)
class Permissions:
    """What a grant permits beyond its access type. None, or for `columns` a table that is absent: no restriction."""

    #: folded, `table` or `schema.table`
    tables: frozenset[str] | None = None
    #: by folded table the folded columns; out of the hash, as a mapping has none
    columns: Mapping[str, frozenset[str]] = field(default_factory=dict, hash=False)
    #: of `select`, `insert`, `update`, `delete`
    statements: frozenset[str] | None = None
    #: rows of one answer, at least 1
    max_rows: int | None = None
    #: paths as `/incidents/7`; with `*` at the end all that begin so
    endpoints: tuple[str, ...] | None = None
    #: in upper case
    methods: frozenset[str] | None = None
    #: why nothing is permitted
    problem: str = ""

    @classmethod
    def of(cls, text: bytes) -> "Permissions":
        """The permissions that a grant's JSON text means; empty or null: all.

        Raises nothing: what is not understood closes.
        """
        if not text.strip():
            return cls()
        try:
            return _read(json.loads(text, object_pairs_hook=_unique))
        except _NotUnderstood as error:
            problem = str(error)
        except (ValueError, RecursionError):
            problem = "they are not JSON"
        return cls(
            tables=frozenset(),
            statements=frozenset(),
            endpoints=(),
            methods=frozenset(),
            problem=f"The permissions of the module's grant are not understood: {problem}.",
        )

    def check_open(self) -> None:
        """Raises QueryNotPermitted when the permissions were not understood, and so permit nothing."""
        if self.problem:
            raise QueryNotPermitted(self.problem)

    def columns_of(self, table: str) -> frozenset[str] | None:
        """The permitted columns of a folded `table` or `schema.table`; None: all.

        Where only one of the two names the schema it may be the same table, and so the restriction counts.
        """
        if not self.columns:
            return None
        schema, _, name = table.rpartition(".")
        found: frozenset[str] | None = None
        for restricted, columns in self.columns.items():
            other, _, its_name = restricted.rpartition(".")
            if its_name == name and (other == schema or not other or not schema):
                found = columns if found is None else found & columns
        return found

    def check_endpoint(self, method: str, path: str) -> None:
        """Raises QueryNotPermitted unless the method may be used on the path, which is normal and without a query.

        An endpoint covers its own path only, with or without a slash at the end; one that ends in `*` all that begin
        with what stands before it.
        """
        self.check_open()
        if self.methods is not None and method.upper() not in self.methods:
            raise QueryNotPermitted(f"The module's grant does not permit {method.upper()}.")
        if self.endpoints is None:
            return
        whole = _path(path)
        for endpoint in self.endpoints:
            if endpoint.endswith("*"):
                # The path as it was given: `/incidents/*` covers `/incidents/`, which lists, and not `/incidents`.
                if path.startswith(endpoint[:-1]) and "*" not in path:
                    return
            elif whole == endpoint:
                return
        raise QueryNotPermitted("The module's grant does not permit this endpoint.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _NotUnderstood("a key stands twice in an object")
    return found


def _read(document: Any) -> Permissions:
    if document is None:
        return Permissions()  # PHP writes it for a column that nobody has filled
    if document == []:
        # PHP writes it for an empty object, too; but who lists nothing may mean nothing.
        raise _NotUnderstood("an empty list permits nothing; an empty object or null permits all")
    if isinstance(document, list):
        document = {"tables": document, "endpoints": document}
    if not isinstance(document, dict):
        raise _NotUnderstood("they are neither an object nor a list")
    unknown = sorted(document.keys() - _KEYS)
    if unknown:
        raise _NotUnderstood(f"`{unknown[0][:64]}` is not a key that they have")
    endpoints = _texts(document, "endpoints")
    return Permissions(
        tables=_names(_texts(document, "tables")),
        columns=_columns(document),
        statements=_of(_names(_texts(document, "statements")), STATEMENTS, "statements"),
        max_rows=_rows(document),
        endpoints=None if endpoints is None else tuple(_pattern(endpoint) for endpoint in endpoints),
        methods=_of(_upper(_texts(document, "methods")), _METHODS, "methods"),
    )


def _texts(document: Mapping[str, Any], key: str) -> list[str] | None:
    if key not in document:
        return None
    value = document[key]
    if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
        raise _NotUnderstood(f"`{key}` is not a list of texts")
    return [item.strip() for item in value]


def _names(texts: list[str] | None) -> frozenset[str] | None:
    return None if texts is None else frozenset(map(folded, texts))


def _upper(texts: list[str] | None) -> frozenset[str] | None:
    return None if texts is None else frozenset(text.upper() for text in texts)


def _of(values: frozenset[str] | None, known: frozenset[str], key: str) -> frozenset[str] | None:
    if values is not None and not values <= known:
        raise _NotUnderstood(f"`{key}` holds `{min(values - known)[:64]}`, which is none of them")
    return values


def _columns(document: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    columns = document.get("columns", {})
    if not isinstance(columns, dict):
        raise _NotUnderstood("`columns` is not an object of tables")
    found: dict[str, frozenset[str]] = {}
    for table in columns:
        names = _names(_texts(columns, table))
        if names is None or not table.strip() or folded(table.strip()) in found:
            raise _NotUnderstood("`columns` names a table twice, or an empty one")
        found[folded(table.strip())] = names
    return found


def _rows(document: Mapping[str, Any]) -> int | None:
    rows = document.get("max_rows")
    if "max_rows" in document and (type(rows) is not int or rows < 1):
        raise _NotUnderstood("`max_rows` is not a whole number above 0")
    return rows


def _path(text: str) -> str:
    return "/" + text.strip("/")


def _pattern(endpoint: str) -> str:
    return "/" + endpoint.lstrip("/") if endpoint.endswith("*") else _path(endpoint)
