"""What an answer's status means to the caller."""

from intertie_chassis.errors import IntertieError
from intertie_ingest.apis.exchange import Answer
from intertie_ingest.apis.redaction import Redaction
from intertie_ingest.errors import ExternalNotFound, ExternalRefused, ExternalUnavailable

_GONE = (404, 410)


def is_outage(status: int) -> bool:
    """Whether the system, or what stands before it, is not able to answer at all."""
    return status in (502, 503, 504)


def error_of(answer: Answer, redaction: Redaction, retry_after: float | None, message: str = "") -> IntertieError:
    """The error for an answer that is none of 2xx, with `upstream_status` and the beginning of the body.

    Args:
        message: what the system itself says, when it is known (a SOAP fault, the first error of GraphQL).
    """
    status = answer.status
    metadata = {"upstream_status": str(status)}
    excerpt = redaction.excerpt(answer.body.decode(errors="replace"))
    if excerpt:
        metadata["upstream_body"] = excerpt
    if message:
        said = f"the external system answered with an error: {redaction.excerpt(message, 500)}"
        return ExternalRefused(said, metadata=metadata)
    if status in _GONE:
        return ExternalNotFound(f"the external system has no such thing: it answered {status}", metadata=metadata)
    if status == 429 or status >= 500:
        said = f"the external system answered {status}; try again"
        return ExternalUnavailable(said, metadata=metadata, retry_after=retry_after)
    return ExternalRefused(f"the external system answered {status}", metadata=metadata)
