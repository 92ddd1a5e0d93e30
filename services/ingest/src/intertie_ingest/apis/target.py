"""Where an API's calls go: below the connection's base URL, however the endpoint is spelt.

An endpoint is judged as the least careful server might read it: percent-decoded as often as that changes anything, with
backslashes, path parameters and compatible characters in mind. It is sent as it was written, in one canonical spelling.
"""

import re
import unicodedata
from dataclasses import dataclass, field
from urllib.parse import quote, unquote_to_bytes, urljoin, urlsplit

from intertie_chassis.errors import InvalidArgument
from intertie_ingest.errors import ConnectionUnusable

MOST_CHARACTERS = 4000
_DECODINGS = 5
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ufeff\u200b-\u200f\u2028\u2029]")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_SEGMENT_SAFE = "%:@!$&'()*+,;="
_QUERY_SAFE = _SEGMENT_SAFE + "/?[]"
_DEFAULT_PORTS = {"http": 80, "https": 443}


class LeavesBase(ValueError):
    """The endpoint or link does not stay below the base URL; the text says why."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A place below a base URL, in its canonical spelling."""

    #: begins with a slash; just that for the base URL itself
    path: str
    #: without the question mark
    query: str = ""

    @property
    def text(self) -> str:
        """The endpoint as `endpoint_of` reads it."""
        return f"{self.path}?{self.query}" if self.query else self.path

    def with_query(self, query: str) -> "Endpoint":
        """The endpoint with a further part of a query."""
        return Endpoint(self.path, "&".join(filter(None, (self.query, query))))


BASE = Endpoint("/")
"""The base URL itself."""


@dataclass(frozen=True, slots=True)
class BaseUrl:
    """A connection's base URL, taken apart."""

    scheme: str
    #: in ASCII; IPv6 without brackets
    host: str
    port: int
    #: without a slash at the end
    path: str
    #: sent with every call; it may hold a key
    query: str = field(default="", repr=False)

    @classmethod
    def of(cls, url: str) -> "BaseUrl":
        """Raises ConnectionUnusable for what is no HTTP address, or holds a name and password."""
        if not url.strip():
            raise ConnectionUnusable("the connection has no api_base_url")
        if _CONTROL.search(url) or "\\" in url or " " in url.strip() or len(url) > MOST_CHARACTERS:
            raise ConnectionUnusable("api_base_url holds characters that no address has")
        try:
            parts = urlsplit(url.strip())
            port = parts.port
            host = parts.hostname or ""
            host = host if ":" in host else host.encode("idna").decode()
        except ValueError:
            raise ConnectionUnusable("api_base_url is no HTTP address") from None
        if parts.scheme not in _DEFAULT_PORTS or not host:
            raise ConnectionUnusable("api_base_url must begin with http:// or https:// and name a host")
        if "@" in parts.netloc:
            raise ConnectionUnusable("api_base_url must not hold a name and password; api_auth_type basic has them")
        try:
            path = endpoint_of(parts.path).path.rstrip("/")
        except LeavesBase:
            raise ConnectionUnusable("api_base_url has a path that is not plain") from None
        query = quote(parts.query, safe=_QUERY_SAFE)
        return cls(parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme], path, query)

    @property
    def origin(self) -> str:
        """Scheme, host and, where it is not the scheme's own, port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}")

    def join(self, endpoint: Endpoint) -> str:
        """The address of an endpoint; of "/" the base URL, without a slash at its end."""
        path = self.path + ("" if endpoint.path == "/" else endpoint.path)
        query = endpoint.with_query(self.query).query
        return f"{self.origin}{path or '/'}" + (f"?{query}" if query else "")

    def follow(self, current: Endpoint, link: str) -> Endpoint:
        """The endpoint that a link or redirect in the answer of another one leads to. Raises LeavesBase.

        A link of the other scheme to the same host, at the standard ports, is taken as one of the base URL's scheme:
        servers behind a proxy do not know which it is.
        """
        if len(link) > MOST_CHARACTERS or _CONTROL.search(link) or "\\" in link:
            raise LeavesBase("it holds characters that no address has")
        try:
            parts = urlsplit(urljoin(self.join(current), link.strip()))
            port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
            host = (parts.hostname or "") if ":" in (parts.hostname or "") else _ascii(parts.hostname or "")
        except ValueError:
            raise LeavesBase("it is no address") from None
        standard = self.port == _DEFAULT_PORTS[self.scheme] and port == _DEFAULT_PORTS.get(parts.scheme)
        same = standard or (parts.scheme, port) == (self.scheme, self.port)
        if "@" in parts.netloc or host != self.host or not same:
            raise LeavesBase("it leads to another host")
        whole = endpoint_of(parts.path)
        if whole.path != (self.path or "/") and not whole.path.startswith(f"{self.path}/"):
            raise LeavesBase("it leads out of the base URL's path")
        endpoint = Endpoint(whole.path[len(self.path) :] or "/", quote(parts.query, safe=_QUERY_SAFE))
        return _without(endpoint, self.query)


def endpoint_of(text: str) -> Endpoint:
    """The endpoint that a caller writes: a path, with or without a slash before it, and perhaps a query.

    Raises LeavesBase, in words for people.
    """
    if len(text) > MOST_CHARACTERS:
        raise LeavesBase(f"it is longer than {MOST_CHARACTERS:,} characters")
    if _CONTROL.search(text):
        raise LeavesBase("it holds control characters")
    if "#" in text or "\\" in text:
        raise LeavesBase("it holds a # or a backslash")
    path, _, query = text.partition("?")
    if _BROKEN_ESCAPE.search(text):
        raise LeavesBase("a % in it is not followed by two hexadecimal digits")
    path = _ESCAPE.sub(_canonical, path).removeprefix("/")
    segments = path.split("/")
    for segment in segments[:-1] if path.endswith("/") else segments:
        if path:
            _check_segment(segment)
    quoted = "/".join(quote(segment, safe=_SEGMENT_SAFE) for segment in segments)
    return Endpoint(f"/{quoted}", quote(query, safe=_QUERY_SAFE))


def path_below(text: str) -> Endpoint:
    """As `endpoint_of`, for an endpoint that is in a request. Raises InvalidArgument."""
    try:
        return endpoint_of(text)
    except LeavesBase as error:
        message = f"the endpoint must be a plain path below the connection's base URL: {error}"
        raise InvalidArgument(message, violations=[("endpoint", str(error))]) from None


def _check_segment(segment: str) -> None:
    """Raise LeavesBase if a server could take the segment for a step up, or for none."""
    raw = segment.encode(errors="surrogatepass")
    for _ in range(_DECODINGS):
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            raise LeavesBase("its escapes are no UTF-8") from None
        for read in {text, unicodedata.normalize("NFKC", text)}:
            if _CONTROL.search(read):
                raise LeavesBase("it holds control characters")
            for part in re.split(r"[/\\]", read):
                if part.partition(";")[0].strip(" ") in ("", ".", ".."):
                    raise LeavesBase("it has an empty segment, or one of dots")
        decoded = unquote_to_bytes(raw)
        if decoded == raw:
            return
        raw = decoded
    raise LeavesBase("it is escaped too often")


def _canonical(escape: re.Match[str]) -> str:
    value = int(escape[1], 16)
    return chr(value) if value in _UNRESERVED else f"%{value:02X}"


def _ascii(host: str) -> str:
    return host.encode("idna").decode()


def _without(endpoint: Endpoint, query: str) -> Endpoint:
    """The endpoint without the base URL's own query, which `join` adds."""
    own = set(filter(None, query.split("&")))
    return Endpoint(endpoint.path, "&".join(part for part in endpoint.query.split("&") if part not in own))
