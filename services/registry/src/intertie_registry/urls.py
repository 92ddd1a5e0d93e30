"""URLs that a connection may lead to."""

from urllib.parse import urlsplit


def is_http(url: str) -> bool:
    """Whether it is an http or https URL with a host, and without user, password and fragment.

    Raises ValueError for what no URL can be.
    """
    parts = urlsplit(url)
    # Reading the port raises ValueError when it is none.
    return (
        parts.scheme in ("http", "https")
        and bool(parts.hostname)
        and "@" not in parts.netloc
        and "#" not in url
        and "\\" not in url
        and (parts.port is None or parts.port > 0)
        and url.isprintable()
        and " " not in url
    )


def is_base(url: str) -> bool:
    """Whether endpoints can be joined to it: also without a query. Raises ValueError."""
    return "?" not in url and is_http(url)
