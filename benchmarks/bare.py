"""The ceiling of HTTP: uvicorn with uvloop and httptools and nothing behind it, `python benchmarks/bare.py PORT`.

Takes each request's body as a gateway must, and answers 202 with nothing.
"""

import sys

import uvicorn
from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope


async def answer(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """The ASGI application."""
    while (await receive()).get("more_body"):
        pass
    await send(
        {"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"0")], "trailers": False}
    )
    await send({"type": "http.response.body", "body": b"", "more_body": False})


if __name__ == "__main__":
    uvicorn.run(
        answer, port=int(sys.argv[1]), loop="uvloop", http="httptools", lifespan="off", log_level="warning",
        access_log=False,
    )  # fmt: skip
