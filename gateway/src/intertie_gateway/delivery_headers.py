"""Which headers of a delivery go on to ingest: what verifies and names it, nothing that belongs to the transport."""

from intertie.ingest.v1 import ingest_pb2
from intertie_chassis.errors import InvalidArgument
from intertie_gateway.asgi import Headers

_NAMES = frozenset(
    {"content-type", "user-agent", "idempotency-key", "signature", "signature-input", "digest", "content-digest"}
)
_PREFIXES = ("x-", "webhook-", "svix-")
_FORWARDING = frozenset({"forwarded", "x-real-ip", "x-client-ip", "x-cluster-client-ip"})
_FORWARDING_PREFIX = "x-forwarded-"
_REMEMBERED_MOST = 1024

_DROP, _PASS, _PUSH_ONLY, _PROXY, _REFUSE = range(5)


class DeliveryHeaders:
    """Chooses the headers of deliveries; remembers its verdict on each name, since senders repeat theirs."""

    def __init__(self) -> None:
        self._verdicts: dict[bytes, tuple[int, str]] = {}

    def choose(self, headers: Headers, *, push: bool) -> tuple[list[ingest_pb2.Header], bool]:
        """The headers that go on, each occurrence by itself with its value as it came; and whether a proxy wrote some.

        Raises InvalidArgument for a name with an underscore that stands in for one of these: half of all proxies
        take ``X_Webhook_Secret`` for ``X-Webhook-Secret``, and half drop it.
        """
        chosen = []
        proxied = False
        verdicts = self._verdicts
        for raw, value in headers:
            verdict, name = verdicts.get(raw) or self._judge(raw)
            if verdict == _PASS or (verdict == _PUSH_ONLY and push):
                chosen.append(ingest_pb2.Header(name=name, value=value))
            elif verdict == _PROXY:
                proxied = True
            elif verdict == _REFUSE:
                raise InvalidArgument(
                    f"the header {name} has underscores in its name; write {name.replace('_', '-')}",
                    metadata={"header": name},
                )
        return chosen, proxied

    def _judge(self, raw: bytes) -> tuple[int, str]:
        # httptools lets only token characters into names, so latin-1 is ASCII here.
        name = raw.decode("latin-1")
        verdict = _verdict(name)
        if verdict == _DROP and "_" in name and _verdict(name.replace("_", "-")) == _PASS:
            verdict = _REFUSE
        if len(self._verdicts) < _REMEMBERED_MOST:
            self._verdicts[raw] = (verdict, name)
        return verdict, name


def _verdict(name: str) -> int:
    if name == "authorization":
        return _PUSH_ONLY
    if name in _FORWARDING or name.startswith(_FORWARDING_PREFIX):
        return _PROXY
    if "_" in name:
        return _DROP
    if name in _NAMES or name.startswith(_PREFIXES) or name.endswith("-signature"):
        return _PASS
    return _DROP
