"""An endpoint stays below the connection's base URL, however it is spelt."""

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intertie_chassis.errors import InvalidArgument
from intertie_ingest.apis import path_of
from intertie_ingest.apis.target import BASE, BaseUrl, Endpoint, LeavesBase, endpoint_of
from intertie_ingest.errors import ConnectionUnusable
from intertie_ingest.external import ExternalConnection

BASE_URL = BaseUrl.of("https://api.example.com:8443/v2/")
REST = ExternalConnection(1, 1, "crm", "rest", api_base_url="https://api.example.com/v2")

GOOD = {
    "": "/",
    "/": "/",
    "incidents": "/incidents",
    "/incidents/7/": "/incidents/7/",
    "users/@me": "/users/@me",
    "things:search": "/things:search",
    "a b": "/a%20b",
    "grüße": "/gr%C3%BC%C3%9Fe",
    "%69ncidents": "/incidents",
    "projects/group%2fproject": "/projects/group%2Fproject",
    "..a/b..": "/..a/b..",
    "x?next=//evil/../..": "/x",
}
BAD = """
    .. ../x a/.. a/../b /../x %2e%2e/x .%2e/x %2E./x %252e%252e/x %25252e%25252e/x ..%2fx a%2f..%2fb a%2f%2e%2e
    a%5c..%5cb ..;/x ..;a=b/x .;/x ..%3bx/y \\x a\\..\\b //evil.example ///evil /a//b http://evil.example/
    https:evil//x .%00 a%00b
    a%0ab a#b %zz % a% a%2 a%ff %c0%ae%c0%ae/x ．．/x %EF%BC%8E%EF%BC%8E/x ./x a/. a/./b %2e a/%20../b a%2f%2fb ..%20/x
"""


@pytest.mark.parametrize(("endpoint", "path"), GOOD.items())
def test_plain_paths(endpoint: str, path: str) -> None:
    """What is plain comes out in one spelling, without its query."""
    assert path_of(REST, endpoint) == path


@pytest.mark.parametrize("endpoint", [*BAD.split(), "a\nb", "a\x00", "a\u202e/\u2028", "x" * 5000])
def test_what_could_leave(endpoint: str) -> None:
    """Whatever some server would read as a step up, as another host, or as two paths."""
    with pytest.raises(InvalidArgument) as raised:
        path_of(REST, endpoint)
    assert raised.value.violations[0][0] == "endpoint"


PIECES = st.sampled_from(
    ["..", ".", "/", "//", "\\", "%2e", "%2f", "%5c", "%25", ";", "@", "?", "#", "a", ":", "\t", "．"]
)


@given(st.one_of(st.text(), st.lists(PIECES).map("".join)))
def test_never_leaves_the_base(text: str) -> None:
    """What is not refused is below the base URL, also for a server that decodes again and again."""
    try:
        endpoint = endpoint_of(text)
    except LeavesBase:
        return
    url = BASE_URL.join(endpoint)
    parts = urlsplit(url)
    assert url.isascii()
    assert (parts.scheme, parts.netloc, parts.fragment) == ("https", "api.example.com:8443", "")
    assert parts.path == "/v2" or parts.path.startswith("/v2/")
    path = parts.path
    for _ in range(10):
        assert not {"..", "."} & {part.partition(";")[0] for part in path.replace("\\", "/").split("/")}
        path = unquote(path)
    assert endpoint_of(endpoint.text) == endpoint


@pytest.mark.parametrize(
    ("link", "endpoint"),
    [
        ("https://api.example.com:8443/v2/items?page=2", Endpoint("/items", "page=2")),
        ("/v2/items", Endpoint("/items")),
        ("?page=3", Endpoint("/items", "page=3")),
        ("other", Endpoint("/other")),
        ("/v2", BASE),
        ("//api.example.com:8443/v2/x", Endpoint("/x")),
    ],
)
def test_links_below_the_base(link: str, endpoint: Endpoint) -> None:
    """Absolute or relative to where they stood."""
    assert BASE_URL.follow(Endpoint("/items", "page=1"), link) == endpoint


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/v2/items",
        "//evil.example/v2/x",
        "https://api.example.com/v2/items",  # another port
        "http://api.example.com:8443/v2/items",
        "https://user@api.example.com:8443/v2/items",
        "https://api.example.com:8443/v1/items",
        "https://api.example.com:8443/v22",
        "/admin",
        "../admin",
        "/v2/%2e%2e/admin",
        "/v2/..%2fadmin",
        "file:///etc/passwd",
        "http://169.254.169.254/v2/",
        "https://[::1",
        "\\\\evil\\x",
        "/v2/a\nb",
    ],
)
def test_links_that_leave(link: str) -> None:
    """Another host, port, scheme or path."""
    with pytest.raises(LeavesBase):
        BASE_URL.follow(Endpoint("/items"), link)


def test_a_link_of_the_other_scheme() -> None:
    """Behind a proxy a server may take itself for http; the call goes by the base URL's scheme all the same."""
    base = BaseUrl.of("https://api.example.com/v2")
    endpoint = base.follow(BASE, "http://api.example.com/v2/items")
    assert base.join(endpoint) == "https://api.example.com/v2/items"


def test_a_base_with_a_query() -> None:
    """It goes along with every call, and is not doubled by links that have it too."""
    base = BaseUrl.of("https://api.example.com?key=1")
    assert base.join(BASE) == "https://api.example.com/?key=1"
    endpoint = base.follow(BASE, "/items?page=2&key=1")
    assert base.join(endpoint) == "https://api.example.com/items?page=2&key=1"


@pytest.mark.parametrize(
    "url",
    ["", "api.example.com", "ftp://h/", "https://", "https://u:p@h/", "https://h/a/../b", "https://h:99999/", "http://[::1",
     "https://h\\@evil/", "https://h/a b/\n", "file:///etc/passwd", "javascript:alert(1)"],
)  # fmt: skip
def test_bases_that_are_none(url: str) -> None:
    """What is no plain HTTP address makes the connection unusable."""
    with pytest.raises(ConnectionUnusable, match="api_base_url"):
        BaseUrl.of(url)


def test_soap_has_actions_for_paths() -> None:
    """A grant's endpoints are about the action, because all calls go to one address."""
    soap = ExternalConnection(1, 1, "erp", "soap", api_base_url="https://erp.example.com/service")
    assert path_of(soap, "GetItems") == "/GetItems"
    assert path_of(soap, "http://tempuri.org/GetItems") == "/http://tempuri.org/GetItems"
    with pytest.raises(InvalidArgument):
        path_of(soap, 'Get"\r\nX-Evil: 1')
