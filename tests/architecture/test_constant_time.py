"""Secrets, keys and signatures are never compared with ==, != or in: how long that takes tells how much was right."""

import ast

import pytest

from source_tree import SourceFile, distributed_files

#: words of names that hold what must not be compared so
SECRET_WORDS = {"secret", "secrets", "key", "mac", "digest", "signature", "presented", "expected", "token", "framed"}
#: words that make of it something else: its kind, its name, how much of it there is
HARMLESS_WORDS = {"name", "header", "rule", "rules", "bytes", "len", "type", "until", "is", "has"}
FILES = ("signatures.py", "signature_schemes.py", "signature_options.py", "signature_gate.py", "signature_ed25519.py")
COMPARING = (ast.Eq, ast.NotEq, ast.In, ast.NotIn)


def verifying_files() -> list[SourceFile]:
    return [file for file in distributed_files() if file.package == "intertie_ingest" and file.path.name in FILES]


def is_secret(node: ast.expr) -> bool:
    """Whether the value is one by its name; of a call that measures it, it is not."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Attribute) and is_secret(node.func.value)
    if isinstance(node, ast.Subscript):
        return is_secret(node.value)
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    words = set(name.lower().strip("_").split("_"))
    return bool(words & SECRET_WORDS) and not words & HARMLESS_WORDS


def careless(tree: ast.AST) -> list[int]:
    """The lines where a secret is compared carelessly."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare)
        and any(isinstance(operator, COMPARING) for operator in node.ops)
        and any(is_secret(side) for side in (node.left, *node.comparators))
    ]


def test_no_secret_is_compared_carelessly() -> None:
    """In none of the files that verify; all of which are looked at."""
    assert {file.path.name for file in verifying_files()} == set(FILES)
    assert {file.name: lines for file in verifying_files() if (lines := careless(file.tree))} == {}


@pytest.mark.parametrize(
    "text", ["presented == expected", "a != self.secret", "secret.key in keys", "mac[3:] == x", "digest.hex() == y"]
)
def test_a_careless_comparison_is_seen(text: str) -> None:
    """The rule would find one."""
    assert careless(ast.parse(text)) == [1]


def test_what_compares_is_made_for_it() -> None:
    """There is a comparison, of bytes, in constant time."""
    calls = {
        ast.unparse(node.func)
        for file in verifying_files()
        for node in ast.walk(file.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert "hmac.compare_digest" in calls
