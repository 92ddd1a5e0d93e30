"""Migration scripts say nothing that takes away: the first look at one, before any database has run it.

What they do is compared on both databases in tests/stores; here also what only some databases would run is looked at.
"""

import ast
import re

import pytest

from source_tree import SourceFile, distributed_files

ADDING = {"get_bind", "get_context", "create_table", "create_index", "add_column", "execute"}
#: where a column is made to hold more; what it is made of is compared in tests/stores
WIDENING = {"services/registry/src/intertie_registry/migrations/versions/0003_sealed_credentials.py"}
#: what may be said of a column that is widened: its new type, and what stays
TYPE_ALONE = {"type_", "existing_type", "existing_nullable", "existing_comment", "existing_server_default"}
TAKING = re.compile(r"\b(DROP|RENAME|TRUNCATE|DELETE\s+FROM|MODIFY|CHANGE\s+COLUMN)\b", re.IGNORECASE)
FILES = [file for file in distributed_files() if "migrations" in file.nouns and file.package != "intertie_chassis"]


def taken_away(tree: ast.AST, *, may_widen: bool = False) -> list[str]:
    """Name what a script does, or says in SQL, that may take something away from older code."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _is_op(node.func.value):
            allowed = ADDING | ({"alter_column"} if may_widen else set())
            keywords = {keyword.arg for keyword in node.keywords}
            changes_more = node.func.attr == "alter_column" and bool(keywords - TYPE_ALONE)
            if node.func.attr not in allowed or changes_more:
                found.append(f"op.{node.func.attr}")
        elif isinstance(node, ast.Attribute) and node.attr in ("drop", "drop_all"):
            found.append(f".{node.attr}")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in _docstrings(tree):
            found += [each.upper() for each in TAKING.findall(node.value)]
    return found


def _is_op(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "op"


def _docstrings(tree: ast.AST) -> list[ast.AST]:
    holders = (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [
        child.value
        for node in ast.walk(tree)
        if isinstance(node, holders)
        for child in node.body
        if isinstance(child, ast.Expr)
    ]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_takes_nothing_away(file: SourceFile) -> None:
    assert taken_away(file.tree, may_widen=file.name in WIDENING) == []


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("op.drop_column('t', 'c')", ["op.drop_column"]),
        ("op.rename_table('t', 'u')", ["op.rename_table"]),
        ("op.alter_column('t', 'c', type_=x)", ["op.alter_column"]),
        ("with op.batch_alter_table('t') as b:\n    b.add_column(c)", ["op.batch_alter_table"]),
        ("op.execute(f'ALTER TABLE {t} DROP COLUMN c')", ["DROP"]),
        ("connection.exec_driver_sql('delete from t')", ["DELETE FROM"]),
        ("tables.metadata.drop_all(connection)", [".drop_all"]),
    ],
)
def test_what_takes_away_is_found(script: str, found: list[str]) -> None:
    assert taken_away(ast.parse(script)) == found


def test_a_widening_changes_the_type_alone() -> None:
    assert taken_away(ast.parse("op.alter_column('t', 'c', type_=x, existing_nullable=True)"), may_widen=True) == []
    for more in ("nullable=False", "new_column_name='d'", "server_default=None"):
        script = ast.parse(f"op.alter_column('t', 'c', type_=x, {more})")
        assert taken_away(script, may_widen=True) == ["op.alter_column"]
