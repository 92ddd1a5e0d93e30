"""Lists longer than a page, fetched page by page."""

from collections.abc import Awaitable, Callable
from typing import Any

_MOST_A_PAGE = 1000


async def collect(
    call: Callable[[Any], Awaitable[Any]], request: Any, items: str, limit: int, *, size: str = "page_size"
) -> list[Any]:
    """At most `limit` items of a list.

    Args:
        items: the answer's field that holds them.
        size: the request's field that says how many a page has.
    """
    found: list[Any] = []
    while len(found) < limit:
        setattr(request, size, min(limit - len(found), _MOST_A_PAGE))
        answer = await call(request)
        found += getattr(answer, items)
        if not answer.next_page_token:
            break
        request.page_token = answer.next_page_token
    return found[:limit]
