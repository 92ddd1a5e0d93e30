"""Path templates of google.api.http: which are templates, and which paths they fit."""

import pytest

from intertie_gateway.templates import Found, RouteTree, Variable, parse


def test_what_a_template_says() -> None:
    """Variables with and without patterns, and the verb."""
    template = parse("/v1/{name=shelves/*/books/*}/{id}/{rest=**}:archive")
    assert template.segments == ("v1", "shelves", "*", "books", "*", "*", "**")
    assert template.verb == "archive"
    assert template.variables == (Variable("name", 1, 4), Variable("id", 5, 1), Variable("rest", 6, -1))


@pytest.mark.parametrize(
    "text", ["/a/{b}/c", "/a/{b.c}:verb", "/mappings:validate", "/modules/{module}/systems/{system}:checkAccess"]
)
def test_a_template_prints_as_it_was_written(text: str) -> None:
    """As openapi.json has it."""
    assert str(parse(text)) == text


@pytest.mark.parametrize("text", ["", "a/b", "/a//b", "/a/{b", "/a/{=b}", "/{a=**}/b", "/"])
def test_what_is_no_template(text: str) -> None:
    """A contract that says so stops the gateway."""
    with pytest.raises(ValueError, match=r".*"):
        parse(text)


def _tree(*routes: tuple[str, str]) -> RouteTree:
    tree = RouteTree()
    for number, (method, template) in enumerate(routes):
        tree.add(method, parse(template), number)
    return tree


TREE = _tree(
    ("GET", "/s"),
    ("GET", "/s/{a}"),
    ("PATCH", "/s/{a.b}"),
    ("GET", "/s/fixed"),
    ("POST", "/s:run"),
    ("GET", "/m/{m}/s/{a}:check"),
    ("GET", "/files/{path=**}"),
)


@pytest.mark.parametrize(
    ("method", "path", "number"),
    [
        ("GET", b"/s", 0),
        ("GET", b"/s/x", 1),
        ("PATCH", b"/s/x", 2),
        ("GET", b"/s/fixed", 3),
        ("GET", b"/s/a:b", 1),
        ("GET", b"/s/a%2Fb", 1),
        ("POST", b"/s:run", 4),
        ("GET", b"/m/1/s/2:check", 5),
        ("GET", b"/m/1/s/2:check:check", 5),
        ("GET", b"/files/a/b/c", 6),
        ("GET", b"/files", 6),
    ],
)
def test_paths_that_fit(method: str, path: bytes, number: int) -> None:
    """Literals before variables, verbs before the text of a variable."""
    found = TREE.find(method, path)
    assert isinstance(found, Found)
    assert found.number == number


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", b"/s", {"GET"}),
        ("DELETE", b"/s/x", {"GET", "PATCH"}),
        ("DELETE", b"/s/fixed", {"GET", "PATCH"}),
        ("GET", b"/s:run", {"POST"}),
        ("GET", b"/s/", set()),
        ("GET", b"/m/1/s/2", set()),
        ("GET", b"/nothing", set()),
        ("GET", b"", set()),
        ("GET", b"s", set()),
        ("GET", b"/", set()),
        ("GET", b"//s", set()),
    ],
)
def test_paths_that_do_not(method: str, path: bytes, allowed: set[str]) -> None:
    """The methods that the path takes are told, none when there is no such path."""
    assert TREE.find(method, path) == frozenset(allowed)


def test_two_routes_for_the_same_requests_stop_the_start() -> None:
    """Which one would answer is chance."""
    with pytest.raises(ValueError, match="two routes"):
        _tree(("GET", "/s/{a}"), ("GET", "/s/{b}"))
