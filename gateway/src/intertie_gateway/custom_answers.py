"""Answers that a connection asks for: what ingest says of status and content type is held to what is safe to send."""

import re

from intertie.ingest.v1 import ingest_pb2
from intertie_chassis.errors import Internal
from intertie_gateway.asgi import Answer
from intertie_gateway.problems import answer_of

_CONTENT_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,64}/[A-Za-z0-9!#$&^_.+-]{1,64}(?:; ?charset=[A-Za-z0-9-]{1,32})?")
_NO_SNIFFING = (b"x-content-type-options", b"nosniff")
_WITHOUT_BODY = (204, 205)


def custom_answer(response: ingest_pb2.CustomResponse) -> Answer:
    """The answer; an Internal error for what is no success, or no content type, whoever said so."""
    if not 200 <= response.status <= 299 or not _CONTENT_TYPE.fullmatch(response.content_type):
        return answer_of(Internal("the answer that the connection asks for cannot be sent"))
    if response.status in _WITHOUT_BODY:
        return Answer(response.status, b"", (_NO_SNIFFING,))
    return Answer(
        response.status, response.body, ((b"content-type", response.content_type.encode("ascii")), _NO_SNIFFING)
    )
