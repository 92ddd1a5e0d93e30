"""The W3C trace context of whoever calls, where OpenTelemetry is installed; without it nothing."""

from collections.abc import Callable
from functools import cache
from importlib import import_module


@cache
def _inject() -> Callable[[dict[str, str]], None] | None:
    # Looked for at the first call: it is no dependency, and costs a moment to load.
    try:
        inject: Callable[[dict[str, str]], None] = import_module("opentelemetry.propagate").inject
    except ImportError:
        return None
    return inject


def trace_headers() -> list[tuple[str, str]]:
    """`traceparent` and what belongs to it; nothing outside of a span."""
    inject = _inject()
    if inject is None:
        return []
    carrier: dict[str, str] = {}
    inject(carrier)
    return [(name.lower(), text) for name, text in carrier.items()]
