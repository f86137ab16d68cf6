"""What the operator asks of a member: to begin a Quorum, to change who is in it, its key, its protocol; back-ups."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec
from aiohttp import web

from labsupport.quorum import commands, leading
from labsupport.quorum.answers import bad_request, json_body, respond
from labsupport.quorum.leading import ANSWER
from labsupport.quorum.member import Founder, Member, founders


class Backup(msgspec.Struct, frozen=True, tag="quorum-backup-1"):
    """Keys and values at one moment. Neither shares nor anything else of the key."""

    index: int
    revision: int
    public_key: bytes  # keys.frost.PublicKeyPackage of the Quorum that it is of
    entries: dict[str, tuple[bytes, int]]


def routes(member: Member) -> Iterable[web.RouteDef]:
    """The routes under /v1/admin/."""

    async def bootstrap(request: web.Request) -> web.Response:
        body = await json_body(request)
        if body.get("cluster") != member.config.cluster:
            raise bad_request(
                f"cluster is {body.get('cluster')!r}, this member is of {member.config.cluster!r}"
            )
        await member.found(_founders(body.get("members")))
        return web.json_response({"phase": member.phase})

    async def members(request: web.Request) -> web.Response:
        body = await json_body(request)
        if "add" in body:
            (founder,) = _founders([body["add"]])
            return web.json_response({"state": await leading.admit(member, founder)})
        if "remove" in body:
            return web.json_response({"state": await leading.dismiss(member, _id(body["remove"]))})
        raise bad_request('the body has {"add": {"id", "name", "identity"}} or {"remove": ID}')

    async def transfer(request: web.Request) -> web.Response:
        body = await json_body(request)
        consensus = member.require()
        to = body.get("to")
        if to is None:
            others = {each: peer.match for each, peer in consensus.raft.peers().items()}
            voters = {each: at for each, at in others.items() if each in consensus.configuration.voters}
            if not voters:
                raise bad_request("there is no other voter")
            consensus.transfer(max(voters, key=lambda each: voters[each]))
        else:
            consensus.transfer(_id(to))
        return web.json_response({"leader": member.pod, "state": "handing over"})

    async def key(request: web.Request) -> web.Response:
        body = await json_body(request)
        try:
            ceremony, threshold = str(body["ceremony"]), int(body["threshold"])
            holders = tuple(sorted(_id(each) for each in body["holders"]))
        except (KeyError, TypeError, ValueError) as error:
            raise bad_request(f"ceremony, threshold and holders (ids) are needed: {error}") from error
        return respond(await leading.hold_ceremony(member, ceremony, threshold, holders))

    async def protocol(request: web.Request) -> web.Response:
        version = (await json_body(request)).get("version")
        if not isinstance(version, int):
            raise bad_request("version is a number")
        cannot = [
            member.name_of(each) or f"{each:x}"
            for each in member.require().configuration.members - {member.volume.id}
            if not _speaks(member, each, version)
        ]
        if cannot or version > member.release.newest:
            who = ", ".join(cannot) or member.pod
            return web.json_response(
                {"error": f"not all speak protocol {version}: {who}", "fix": "upgrade them first"}, status=409
            )
        return respond(await member.require().propose(commands.SetProtocol(version), ANSWER))

    async def snapshot(_: web.Request) -> web.Response:
        state = (await member.require().read(ANSWER)).state
        entries = {name: (value.value, value.revision) for name, value in state.values.items()}
        data = msgspec.msgpack.encode(Backup(state.index, state.revision, state.key.public, entries))
        headers = {"X-Index": str(state.index), "X-Sha256": hashlib.sha256(data).hexdigest()}
        return web.Response(body=data, headers=headers, content_type="application/octet-stream")

    async def restore(request: web.Request) -> web.Response:
        body = await json_body(request)
        try:
            name = str(body["backup"])
            backup = read_backup(base64.b64decode(str(body["snapshot"]), validate=True))
        except (KeyError, binascii.Error, ValueError) as error:
            raise bad_request(f"backup (its name) and snapshot (base64) are needed: {error}") from error
        return respond(
            await member.require().propose(commands.Restore(name, backup.entries, backup.revision), ANSWER)
        )

    yield web.post("/v1/admin/bootstrap", bootstrap)
    yield web.post("/v1/admin/members", members)
    yield web.post("/v1/admin/transfer", transfer)
    yield web.post("/v1/admin/key", key)
    yield web.post("/v1/admin/protocol", protocol)
    yield web.get("/v1/admin/snapshot", snapshot)
    yield web.post("/v1/admin/restore", restore)


def read_backup(data: bytes) -> Backup:
    """A back-up. Raises ValueError if it is none."""
    try:
        return msgspec.msgpack.decode(data, type=Backup)
    except msgspec.MsgspecError as error:
        raise ValueError(f"this is no back-up of a Quorum: {error}") from error


def _speaks(member: Member, other: int, version: int) -> bool:
    connection = member.transport.connections().get(other)
    return bool(connection and connection.connected and connection.protocols[1] >= version)


def _founders(listed: Any) -> tuple[Founder, ...]:
    try:
        return founders(listed)
    except (TypeError, KeyError, ValueError) as error:
        raise bad_request(f"members are a list of id, name and identity (hexadecimal): {error}") from error


def _id(text: Any) -> int:
    try:
        return int(str(text), 16)
    except ValueError:
        raise bad_request(f"{text!r} is no member's id (hexadecimal)") from None
