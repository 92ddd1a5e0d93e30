"""Files of a configuration: what is read of them, and everything that is wrong with them, told with its place."""

import io
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from canaries import canary
from intertie_cli.declared import loaded, loader
from intertie_cli.declared.files import MOST_BYTES
from intertie_cli.declared.model import Declared

SYSTEM = "version: 1\nsystems:\n  - system_name: a\n"
MAPPING = "version: 1\nmappings:\n  - system: a\n    mapping_name: m\n    target_table: t\n    mapping_config:\n"


def told(tmp_path: Path, text: str | bytes, environment: dict[str, str] | None = None) -> list[str]:
    """What is wrong with a file, without the directory's name."""
    file = tmp_path / "f.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    _, problems, _ = loaded.read([str(file)], environment or {})
    return sorted(str(problem).removeprefix(f"{tmp_path}/") for problem in problems)


def declared(tmp_path: Path, text: str, environment: dict[str, str] | None = None) -> list[Declared]:
    """What a file declares that nothing is wrong with."""
    file = tmp_path / "f.yaml"
    file.write_text(text)
    parts, problems, _ = loaded.read([str(file)], environment or {})
    assert problems == []
    return parts


def described(text: str) -> str:
    return f"{SYSTEM}    description: {text}\n"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("2026-01-01", "2026-01-01"),
        ("2026-01-01T12:00:00Z", "2026-01-01T12:00:00Z"),
        ("12:30", "12:30"),
        ("1.2.3", "1.2.3"),
        ("'no'", "no"),
        ('"0777"', "0777"),
        ("=", "="),
        ("north", "north"),
        ("|\n      two\n      lines", "two\nlines\n"),
        (r'"\ud83d\ude42"', "🙂"),
        ("'a: b'", "a: b"),
    ],
)
def test_texts_stay_what_they_look_like(tmp_path: Path, text: str, value: str) -> None:
    """What old readers of YAML take for a date or a time of day is a text."""
    [part] = declared(tmp_path, described(text))
    assert part.values["description"] == value


@pytest.mark.parametrize(
    "text", ["no", "Yes", "on", "OFF", "y", "0777", "007", "0o17", "1_000", "1e3", "1.", ".5", "0x1F", ".inf", ".NaN"]
)
def test_what_readers_of_yaml_disagree_on_is_refused(tmp_path: Path, text: str) -> None:
    """With its place and a hint, as a value and as a key; in quotes it is a text."""
    [problem] = told(tmp_path, described(text))
    assert problem.startswith("f.yaml:4:18: ")
    assert "quote it" in problem
    mapping = f"{MAPPING}      constants: {{c: {text}}}\n"
    assert any("f.yaml:7:" in each for each in told(tmp_path, mapping))


def test_numbers_and_flags_are_json(tmp_path: Path) -> None:
    """Whole numbers, fractions, true, false and null; a number whose digits would be lost is refused."""
    text = f"{MAPPING}      constants: {{a: 12345678901234567890, b: -0.25, c: true, d: null, e: ~, f: [1, x]}}\n"
    [part] = declared(tmp_path, text)
    constants = part.values["mapping_config"]["constants"]
    assert constants == {"a": 12345678901234567890, "b": -0.25, "c": True, "d": None, "e": None, "f": [1, "x"]}
    [problem] = told(tmp_path, text.replace("-0.25", "0.12345678901234567890"))
    assert "quote it, so that none is lost" in problem


BAD: dict[str, tuple[str | bytes, list[str]]] = {
    "a key twice": (
        f"{SYSTEM}    is_active: true\n    is_active: false\n",
        ["f.yaml:5:5: 'is_active' stands twice, first in line 4"],
    ),
    "an unknown key": (f"{SYSTEM}    colour: red\n", ["f.yaml:4:5: 'colour' is not known here; there are "]),
    "an unknown section": ("version: 1\nsystem: []\n", ["f.yaml:2:1: 'system' is not known here; there are version, "]),
    "no version": ("systems: []\n", ["f.yaml:1:1: says no version"]),
    "another version": ("version: 2\n", ["f.yaml:1:10: version must be 1"]),
    "a tag": (described("!!python/object:os.system x"), ["f.yaml:4:18: has a tag"]),
    "a tag of YAML's own": (described("!!str 1"), ["f.yaml:4:18: has a tag"]),
    "a merge key": (f"{SYSTEM}    <<: {{description: x}}\n", ["f.yaml:4:5: '<<' is no key"]),
    "a key that is a list": (f"{SYSTEM}    ? [a]\n    : b\n", ["f.yaml:4:7: must be a text"]),
    "an alias of nothing": (described("*x"), ["f.yaml:4:18: *x repeats nothing"]),
    "an alias of itself": ("version: 1\nsystems: &a [*a]\n", ["f.yaml:2:14: *a repeats what it stands in"]),
    "no YAML": (f"{SYSTEM}    description: [1\n", ["f.yaml:5:1: is not YAML: "]),
    "a tab": (f"{SYSTEM}\tdescription: x\n", ["f.yaml:4:1: is not YAML: "]),
    "a control character": (described("a\x07b"), ["f.yaml:4:19: has a character that a text must not hold"]),
    "no UTF-8": (b"version: 1\n# \xe9\n", ["f.yaml:2:3: is not UTF-8"]),
    "half a character": (described(r'"\ud800"'), ["f.yaml:4:18: holds half of a character"]),
    "a list at the top": ("- version: 1\n", ["f.yaml:1:1: must be an object with version and "]),
    "a section that is no list": ("version: 1\nsystems: {a: b}\n", ["f.yaml:2:10: systems must be a list"]),
    "a part that is no object": ("version: 1\nsystems: [a]\n", ["f.yaml:2:11: must be an object: a system"]),
    "what is needed": (
        "version: 1\nconnections:\n  - system: a\n",
        ["f.yaml:3:5: connection_type is missing", "f.yaml:3:5: name is missing"],
    ),
    "a number for a text": (described("5"), ["f.yaml:4:18: description must be a text, and is no text; quote it"]),
    "a word": (f"{SYSTEM}    system_type: ftp\n", ["f.yaml:4:18: system_type must be one of database, api, hybrid"]),
    "a flag": (f"{SYSTEM}    is_active: 1\n", ["f.yaml:4:16: is_active must be true or false"]),
    "a name": ("version: 1\nsystems: [{system_name: a/b}]\n", ["f.yaml:2:25: system_name must not be . or .."]),
    "a part twice": (f"{SYSTEM}  - system_name: a\n", ["f.yaml:4:5: system a stands twice, first at "]),
    "a name in config_json": (
        "version: 1\nconnections:\n  - {system: a, name: b, connection_type: api, config_json: {name: c}}\n",
        ["f.yaml:3:68: name stands beside config_json, not in it"],
    ),
    "a time without a zone": (
        "version: 1\ngrants:\n  - {module_name: m, system: a, expires_at: 2027-01-31T12:00:00}\n",
        ["f.yaml:3:45: expires_at must be a time with its zone"],
    ),
    "the mapping language": (
        f"{MAPPING}      field_mappings: {{title: event_title}}\n      transformations:\n"
        "        event_title: [trim, shout]\n"
        "      filter: severity >\n      colour: red\n",
        [
            "f.yaml:10:15: mapping_config.filter: ",
            "f.yaml:11:15: mapping_config.colour: unknown",
            "f.yaml:9:29: mapping_config.transformations.event_title[1]: there is no transformation 'shout'",
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, case: str) -> None:
    """Each fault alone, and nothing else."""
    text, expected = BAD[case]
    problems = told(tmp_path, text)
    assert len(problems) == len(expected), problems
    for problem, beginning in zip(problems, sorted(expected), strict=True):
        assert problem.startswith(beginning)


def test_all_faults_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    """Of a file that is no YAML, of one whose parts are wrong, and of one with variables that are not set."""
    for name, text in {
        "a.yaml": "version: [",
        "b.yml": f"{SYSTEM}    system_type: ftp\n    colour: red\n",
        "c.json": '{\n\t"version": 1, "systems": [{"system_name": "${NAME}"}]}',
        "ignored.txt": "no",
        "x.schema.json": "{}",
    }.items():
        (tmp_path / name).write_text(text)
    _, problems, _ = loaded.read([str(tmp_path)], {})
    files = sorted(problem.place.file.removeprefix(f"{tmp_path}/") for problem in problems)
    assert files == ["a.yaml", "b.yml", "b.yml", "c.json"]


@pytest.mark.parametrize(
    "bomb",
    [
        "a: &a [x, x, x]\n" + "".join(f"{new}: &{new} [{f'*{old}, ' * 10}]\n" for old, new in pairwise("abcdefg")),
        "[" * 5000,
        "{a: " * 5000,
        "- " * 3000 + "x",
    ],
    ids=["aliases", "lists", "objects", "dashes"],
)  # fmt: skip
def test_small_files_stay_small(bomb: str) -> None:
    """Neither aliases of aliases nor nesting make more of a file than it may hold."""
    _, problems = loader.load(bomb, "f.yaml")
    assert any("more than" in problem.text for problem in problems)


def test_a_file_may_be_so_large(tmp_path: Path) -> None:
    """One byte more is refused unread."""
    [problem] = told(tmp_path, b"#" * (MOST_BYTES + 1))
    assert problem == "f.yaml: has more than 1024 KiB"
    assert told(tmp_path, b"#" * MOST_BYTES) == []


def test_what_cannot_be_read(tmp_path: Path) -> None:
    """A file that is not there, and a directory that holds none."""
    _, problems, _ = loaded.read([str(tmp_path / "none.yaml"), str(tmp_path)], {})
    assert [problem.text.partition(" (")[0] for problem in problems] == [
        "cannot be read",
        "holds no file that ends in .yaml, .yml, .json",
    ]


def test_several_documents_and_files_are_one_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file named twice counts once; `-` is standard input; an empty document says nothing."""
    (tmp_path / "one.yaml").write_text("version: 1\nsystems: [{system_name: a}]\n---\n---\nversion: 1\ngrants:\n")
    stdin = io.TextIOWrapper(
        io.BytesIO(b'\xef\xbb\xbf{"version": 1, "systems": [{"system_name": "b", "description": "1e3"}]}')
    )
    monkeypatch.setattr(sys, "stdin", stdin)
    names = [str(tmp_path / "one.yaml"), str(tmp_path), "-"]
    parts, problems, _ = loaded.read(names, {})
    assert (problems, [part.key for part in parts]) == ([], [("a",), ("b",)])


def test_json_is_read_as_json(tmp_path: Path) -> None:
    """Numbers as JSON writes them, tabs between values, and characters as two halves."""
    text = (
        '{\t"version": 1, "mappings": [{"system": "a", "mapping_name": "m", "target_table": "t",\n'
        '\t"mapping_config": {"constants": {"c": 1e3, "d": "\\ud83d\\ude42", "e": "\\/"}}}]}'
    )
    [part] = declared(tmp_path, text)
    assert part.values["mapping_config"]["constants"] == {"c": 1000.0, "d": "🙂", "e": "/"}


CONNECTION = """version: 1
connections:
  - system: a
    name: api
    connection_type: rest
    api_timeout: ${TIMEOUT:-20}
    is_active: ${ACTIVE}
    api_base_url: https://${HOST}/v1
    api_auth_token: ${TOKEN}
    config_json:
      webhook_secret: ${SECRET}
      oauth2_scope: a$${b} ${EMPTY:-}c
"""
ENVIRONMENT = {"ACTIVE": "false", "HOST": "h.example", "TOKEN": "a: [b]\nno", "SECRET": "${NOT}"}


def test_variables_are_expanded_once_and_stay_texts(tmp_path: Path) -> None:
    """Also inside a text; what they hold is neither YAML nor expanded again; a number may be wanted of them."""
    [part] = declared(tmp_path, CONNECTION, ENVIRONMENT)
    assert part.values["api_timeout"] == 20
    assert part.values["is_active"] is False
    assert part.values["api_base_url"] == "https://h.example/v1"
    assert part.secrets == {"api_auth_token": "a: [b]\nno", "config_json.webhook_secret": "${NOT}"}
    assert part.values["config_json"] == {"oauth2_scope": "a${b} c"}
    assert "a: [b]" not in repr(part)


def test_variables_that_are_not_set_are_all_told(tmp_path: Path) -> None:
    """With their places; an empty one, which is what a CI gives for a missing secret, counts as not set."""
    assert told(tmp_path, CONNECTION, {"SECRET": "", "ACTIVE": "true"}) == [
        "f.yaml:11:23: the variable SECRET is empty",
        "f.yaml:8:19: the variable HOST is not set",
        "f.yaml:9:21: the variable TOKEN is not set",
    ]


@pytest.mark.parametrize("text", ["${", "${}", "${1A}", "${A B}", "${A", "x${A:b}"])
def test_what_names_no_variable_is_refused(tmp_path: Path, text: str) -> None:
    """Rather than be taken as it stands."""
    [problem] = told(tmp_path, described(f'"{text}"'), {"A": "a"})
    assert problem.startswith("f.yaml:4:18: has a ${ that names no variable")


def test_credentials_can_be_left_alone(tmp_path: Path) -> None:
    """With keep_secrets none is declared, and no variable for one is asked for."""
    file = tmp_path / "f.yaml"
    file.write_text(CONNECTION)
    [part], problems, _ = loaded.read([str(file)], {"HOST": "h", "ACTIVE": "true"}, keep_secrets=True)
    assert (problems, part.secrets) == ([], {})


def test_no_problem_holds_a_credential(tmp_path: Path) -> None:
    """Whatever is wrong with one; one that stands in the file itself is worth a remark."""
    secret = canary("in a file")
    connection = f"""version: 1
connections:
  - system: a
    name: api
    connection_type: rest
    api_auth_token: ["{secret}"]
    db_password: "{secret * 20}"
    config_json: {{webhook_secret: "{secret}", password: ""}}
"""
    file = tmp_path / "f.yaml"
    file.write_text(connection)
    _, problems, remarks = loaded.read([str(file)], {})
    assert len(problems) == 3
    assert [remark.place.line for remark in remarks] == [7, 8]
    assert secret not in "".join(map(str, [*problems, *remarks]))


@pytest.mark.parametrize("value", [None, "", {}, []])
def test_what_is_left_empty_has_its_default(tmp_path: Path, value: Any) -> None:
    """`display_name:` with nothing behind it is as good as left out; an empty list is not for permissions."""
    [part] = declared(tmp_path, f"{SYSTEM}    display_name:\n    system_type: null\n")
    assert (part.values["display_name"], part.values["system_type"]) == ("", "api")
    written = "null" if value is None else repr(value)
    grant = f"version: 1\ngrants:\n  - {{module_name: m, system: a, query_permissions: {written}}}\n"
    if value == "":
        assert told(tmp_path, grant)
    else:
        assert declared(tmp_path, grant)[0].values["query_permissions"] == (value if value == [] else None)
