"""AuditService: appends to the log and shows it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

import grpc

from intertie.audit.v1 import audit_pb2, audit_pb2_grpc
from intertie_audit import chain_convert, convert, export_convert
from intertie_audit.append_spans import appending
from intertie_audit.appender import Appender
from intertie_audit.assembly import Chain
from intertie_audit.clients import Systems
from intertie_audit.export import Export
from intertie_audit.model import SystemFilter
from intertie_audit.store import Store
from intertie_audit.tail import Tail

DESCRIPTOR = audit_pb2.DESCRIPTOR.services_by_name["AuditService"]
_VERIFICATIONS = 2
"""At once; each takes a core. Others wait."""
Context = grpc.aio.ServicerContext[Any, Any]


class AuditService(audit_pb2_grpc.AuditServiceServicer):
    """The methods of the contract."""

    def __init__(self, store: Store, tail: Tail, systems: Systems, export: Export, chain: Chain) -> None:
        self._store = store
        self._appender = Appender(store, tail.wake)
        self._tail = tail
        self._systems = systems
        self._export = export
        self._chain = chain
        self._verifying = asyncio.Semaphore(_VERIFICATIONS)

    async def AppendEntries(
        self, request: audit_pb2.AppendEntriesRequest, context: Context
    ) -> audit_pb2.AppendEntriesResponse:
        """Stores a batch whole or not at all; entries that are there already are left as they are."""
        entries = convert.new_entries(request)
        with appending(len(entries), convert.traced(request)):
            return audit_pb2.AppendEntriesResponse(appended=await self._appender.append(entries))

    async def ListEntries(
        self, request: audit_pb2.ListEntriesRequest, context: Context
    ) -> audit_pb2.ListEntriesResponse:
        """A page of entries, the newest first."""
        limit = convert.list_limit(request)
        offset, before_id = convert.list_position(request)
        chosen = convert.list_filter(request, await self._system(request.system))
        page = await self._store.page(chosen, limit=limit, offset=offset, before_id=before_id)
        names = await self._systems.names() if convert.are_unnamed(page.entries) else {}
        answer = convert.list_response(request, page.entries, page.has_more, names)
        await self._place(answer.logs)
        return answer

    async def GetEntry(self, request: audit_pb2.GetEntryRequest, context: Context) -> audit_pb2.Entry:
        """One entry."""
        entry = await self._store.get(convert.entry_number(request))
        names = await self._systems.names() if convert.are_unnamed([entry]) else {}
        answer = convert.entry_message(entry, names)
        await self._place([answer])
        return answer

    async def TailEntries(
        self, request: audit_pb2.TailEntriesRequest, context: Context
    ) -> AsyncIterator[audit_pb2.TailEntriesResponse]:
        """Entries as they come, until the caller has enough."""
        last, after_id = convert.tail_start(request)
        system = await self._system(request.system)
        async with aclosing(self._tail.follow(system, last=last, after_id=after_id)) as followed:
            async for entries in followed:
                names = await self._systems.names() if convert.are_unnamed(entries) else {}
                for response in convert.tail_responses(entries, names):
                    yield response

    async def ExportEntries(
        self, request: audit_pb2.ExportEntriesRequest, context: Context
    ) -> AsyncIterator[audit_pb2.ExportEntriesResponse]:
        """Entries in the order of the chain, with what proves that they belong to it."""
        wanted = export_convert.wanted(request, await self._system(request.system))
        outline = await self._export.outline(wanted)
        names = await self._systems.names()
        answer = audit_pb2.ExportEntriesResponse(anchor=export_convert.anchor(outline))
        size = 0
        async with aclosing(self._export.parts(wanted, outline)) as parts:
            async for part in parts:
                link = export_convert.link(part, names)
                if size and size + link.ByteSize() > export_convert.MOST_BYTES:
                    yield answer
                    answer, size = audit_pb2.ExportEntriesResponse(), 0
                answer.links.append(link)
                size += link.ByteSize()
        if outline.checkpoint is not None:
            answer.checkpoint.CopyFrom(chain_convert.checkpoint_message(outline.checkpoint))
        yield answer

    async def VerifyChain(
        self, request: audit_pb2.VerifyChainRequest, context: Context
    ) -> AsyncIterator[audit_pb2.VerifyChainResponse]:
        """Tells how far it is about every 2000 links, and last the verdict."""
        scope = chain_convert.scope(request)
        async with self._verifying, aclosing(self._chain.verification.run(scope)) as parts:
            async for progress in parts:
                yield chain_convert.progress_message(progress)

    async def ListChainCheckpoints(
        self, request: audit_pb2.ListChainCheckpointsRequest, context: Context
    ) -> audit_pb2.ListChainCheckpointsResponse:
        """A page of checkpoints, the newest first, with the keys that verify them."""
        limit, before = chain_convert.checkpoints_page(request)
        found = await self._chain.links.checkpoints(limit + 1, before=before)
        return chain_convert.checkpoints_response(request, found, limit, self._chain.keys.jwks_json)

    async def _place(self, messages: Sequence[audit_pb2.Entry]) -> None:
        """Says where in the chain the entries are, and which of them lack a payload that was sealed."""
        places = await self._chain.links.places([message.id for message in messages])
        lacking: dict[int, int] = {}
        for message in messages:
            message.sequence = places.get(message.id, 0)
            if message.sequence and not (message.request_payload and message.response_payload):
                lacking[message.id] = message.sequence
        sealed = await self._chain.links.sealed_payloads(lacking) if lacking else {}
        for message in messages:
            request, response = sealed.get(message.id, (False, False))
            message.is_payload_expired = (request and not message.request_payload) or (
                response and not message.response_payload
            )

    async def _system(self, name: str) -> SystemFilter | None:
        return await self._systems.filter(name) if name else None
