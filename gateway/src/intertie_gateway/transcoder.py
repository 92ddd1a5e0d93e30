"""HTTP in, unary gRPC out, for every method that the contracts annotate; made from their descriptors at start."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from intertie_chassis.calls import REQUEST_ID_KEY
from intertie_chassis.errors import InvalidArgument, Unauthenticated
from intertie_chassis.traces import TRACEPARENT
from intertie_gateway import contracts, templates
from intertie_gateway.asgi import Answer, Receive
from intertie_gateway.backends import Backends, error_of
from intertie_gateway.fields import message_of
from intertie_gateway.head import Head, MediaTypes
from intertie_gateway.json_text import JsonText
from intertie_gateway.limits import Held, read_body
from intertie_gateway.path_segments import decode_segment
from intertie_gateway.problems import MethodNotAllowed
from intertie_gateway.queries import Parameter, parameters, read_query
from intertie_gateway.request_json import BodyReader, readers
from intertie_gateway.response_json import write

_MASK = "update_mask"
_BEARER = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +[\x21-\x7e]{1,4096}")


class NoToken(Unauthenticated):
    """This call needs a bearer token, and has none."""


@dataclass(frozen=True, slots=True)
class Binding:
    """A route, ready to serve."""

    route: contracts.Route
    template: templates.Template
    method: str
    """The method's path."""
    request: type[Message]
    call: Any
    """The channel's multi-callable."""
    deadline: float
    """Seconds that a call may take."""
    in_path: tuple[tuple[templates.Variable, Parameter], ...]
    in_query: dict[str, Parameter]


@dataclass(frozen=True, slots=True)
class Match:
    """The binding that a request asks for, with the path's raw segments."""

    binding: Binding
    segments: tuple[bytes, ...]


class Transcoder:
    """Answers requests of annotated methods."""

    def __init__(
        self,
        backends: Backends,
        *,
        deadline: float,
        most_bytes: int,
        held: Held,
        routes: Iterable[contracts.Route] | None = None,
    ) -> None:
        """Args:
        deadline: seconds that a call may take, unless its contract asks for more.
        most_bytes: the largest body.
        routes: default: those of all contracts.
        """
        self._most_bytes = most_bytes
        self._held = held
        self._types = MediaTypes(form=False)
        self._tree = templates.RouteTree()
        self.bindings = [
            _bind(route, backends, deadline) for route in (contracts.routes() if routes is None else routes)
        ]
        for number, binding in enumerate(self.bindings):
            self._tree.add(binding.route.verb, binding.template, number)

    def find(self, method: str, path: bytes) -> Match | None:
        """What answers this method and raw path; None when there is no such path.

        Raises MethodNotAllowed when the path takes other methods only.
        """
        found = self._tree.find("GET" if method == "HEAD" else method, path)
        if isinstance(found, templates.Found):
            return Match(self.bindings[found.number], found.segments)
        if found:
            raise MethodNotAllowed(found | {"HEAD"} if "GET" in found else found)
        return None

    async def answer(self, match: Match, query: bytes, head: Head, receive: Receive) -> Answer:
        """Calls the method as the caller and gives its answer.

        Raises IntertieError for everything else.
        """
        token = _token(head)
        binding = match.binding
        request = binding.request()
        read_query(query, binding.in_query, request)
        await self._read_body(binding, request, head, receive)
        _read_path(binding, match.segments, request)
        metadata: tuple[tuple[str, str], ...] = (("authorization", token), (REQUEST_ID_KEY, head.request_id))
        if head.trace is not None:
            metadata += ((TRACEPARENT, head.trace.traceparent),)
        try:
            response = await binding.call(request, metadata=metadata, timeout=binding.deadline)
        except grpc.aio.AioRpcError as failed:
            raise error_of(failed) from None
        return Answer(200, write(response))

    async def _read_body(self, binding: Binding, request: Message, head: Head, receive: Receive) -> None:
        head.check_length(self._most_bytes)
        field = binding.route.body
        if not field:
            if await read_body(receive, self._most_bytes, self._held):
                raise InvalidArgument("this route takes no body; parameters stand in the query")
            return
        self._types.check(head)
        body = await read_body(receive, self._most_bytes, self._held)
        target = request if field == "*" else getattr(request, field)
        target.SetInParent()
        given = BodyReader(JsonText(body)).read_into(target)
        if binding.route.verb == "PATCH" and _MASK in request.DESCRIPTOR.fields_by_name and field != "*":
            mask: Any = getattr(request, _MASK)
            if not request.HasField(_MASK):
                # Only the names of the body tell "set it to zero" from "leave it".
                named = {parameter.name.removeprefix(f"{field}.") for _, parameter in binding.in_path}
                mask.paths.extend(name for name in given.names if name not in named)
                if not mask.paths:
                    raise InvalidArgument("the body names no field to change")


def _bind(route: contracts.Route, backends: Backends, deadline: float) -> Binding:
    template = templates.parse(route.template)
    request_type = route.method.input_type
    in_path = tuple(
        (variable, Parameter(tuple(variable.field_path.split(".")), _field(request_type, variable.field_path)))
        for variable in template.variables
    )
    taken = {parameter.name for _, parameter in in_path}
    in_query: dict[str, Parameter] = {}
    if route.body != "*":
        in_query = parameters(request_type, taken | ({route.body} if route.body else set()))
    if route.body:
        # Made now, not at the first request: what cannot be served must stop the start.
        readers(request_type if route.body == "*" else message_of(request_type.fields_by_name[route.body]))
    service = route.method.containing_service.full_name
    response: Any = GetMessageClass(route.method.output_type)
    request: type[Message] = GetMessageClass(request_type)
    method = f"/{service}/{route.method.name}"
    call = backends.channels[route.backend].unary_unary(
        method,
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )
    return Binding(route, template, method, request, call, max(deadline, route.longest_seconds), in_path, in_query)


def _field(message_type: Descriptor, path: str) -> Any:
    *steps, last = path.split(".")
    for step in steps:
        message_type = message_of(message_type.fields_by_name[step])
    return message_type.fields_by_name[last]


def _token(head: Head) -> str:
    """The caller's own credentials, handed on as they are: the service decides.

    Raises NoToken, in the services' own words, when there is no bearer token. No service is asked then: with TLS it
    would take the gateway's certificate for the caller's word.
    """
    if head.authorization is None or not _BEARER.fullmatch(head.authorization):
        raise NoToken("this call needs one authorization header: Bearer and a token")
    return head.authorization.decode("ascii")


def _read_path(binding: Binding, segments: tuple[bytes, ...], request: Message) -> None:
    """Sets the fields that the path gives. After the body, which may repeat them but not gainsay them.

    Raises InvalidArgument for a segment that does not fit its field, or a body that says something else.
    """
    for variable, parameter in binding.in_path:
        end = len(segments) if variable.count < 0 else variable.start + variable.count
        text = "/".join(decode_segment(raw, parameter.name) for raw in segments[variable.start : end])
        in_body = _get(request, parameter.path)
        fault = parameter.set(request, [text])
        if fault is None and in_body and in_body != _get(request, parameter.path):
            fault = "is not the same in the path and in the body"
        if fault is not None:
            raise InvalidArgument(f"{parameter.name} {fault}", violations=[(parameter.name, fault)])


def _get(message: Message, path: tuple[str, ...]) -> Any:
    value: Any = message
    for step in path:
        value = getattr(value, step)
    return value
