"""The HTTP API of a member: for clients, and (with another token) for the operator. JSON, over TLS.

Whoever is not the leader sends clients on with 307 (RFC 9110, section 15.4.8) and says who is. A write whose outcome is
not known gets 503: with the same X-Client and X-Sequence it can be sent again and is done once.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from labsupport.quorum import admin, commands, leading, status
from labsupport.quorum.answers import Answer, bad_request, json_body, respond
from labsupport.quorum.consensus import Unknown
from labsupport.quorum.leading import ANSWER
from labsupport.quorum.member import Member
from labsupport.quorum.raft.records import Busy, NotLeader, Refused
from labsupport.quorum.signing import NotEnough

LIMIT = 24 << 20  # bytes of a request: a back-up of a full store, in base64
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Tokens:
    """The two bearer tokens (RFC 6750) that a Quorum has."""

    client: str
    admin: str

    def __repr__(self) -> str:
        return "Tokens()"


class Api:
    """Serves one member."""

    def __init__(self, member: Member, tokens: Callable[[], Tokens]) -> None:
        self.member = member
        self._tokens = tokens
        self.app = web.Application(client_max_size=LIMIT, middlewares=[self._guard])
        self.app.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/v1/status", self._status),
                web.get("/v1/kv/{key}", self._get),
                web.put("/v1/kv/{key}", self._put),
                web.post("/v1/kv/{key}/cas", self._cas),
                web.delete("/v1/kv/{key}", self._delete),
                web.post("/v1/sign", self._sign),
                *admin.routes(member),
            ]
        )
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int, context: ssl.SSLContext | None) -> int:
        """Listen; the port that was taken."""
        self._runner = web.AppRunner(self.app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, ssl_context=context)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """End; requests under way have a moment."""
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            if not request.path.endswith("z"):  # what the kubelet asks has no token
                self._authorize(request)
            return await handler(request)
        except NotLeader as error:
            return self._elsewhere(request, error.leader)
        except Unknown as error:
            return web.json_response(
                {
                    "error": f"the outcome is not known: {error}",
                    "fix": "send it again with the same X-Sequence",
                },
                status=503,
                headers={"Retry-After": "1"},
            )
        except NotEnough as error:
            fix = "bring more members that hold a share back, or have the key handed on"
            return web.json_response({"error": str(error), "fix": fix}, status=503)
        except Busy as error:
            body = {"error": str(error), "fix": "ask again in a moment"}
            return web.json_response(body, status=503, headers={"Retry-After": "1"})
        except Refused as error:
            return web.json_response({"error": str(error), "fix": "see the status of the member"}, status=409)
        except Answer as answer:
            return web.json_response({"error": answer.what, "fix": answer.fix}, status=answer.status)
        except web.HTTPException as error:
            return web.json_response(
                {"error": error.reason, "fix": "see the routes in quorum/README.md"}, status=error.status
            )

    def _authorize(self, request: web.Request) -> None:
        tokens = self._tokens()
        given = request.headers.get("Authorization", "").removeprefix("Bearer ").encode()
        is_admin = hmac.compare_digest(given, tokens.admin.encode())
        if request.path.startswith("/v1/admin/"):
            if not is_admin:
                raise Answer(
                    403, "this needs the admin token", "the operator has it, in the Secret of the Quorum"
                )
        elif not (is_admin or hmac.compare_digest(given, tokens.client.encode())):
            raise Answer(
                401,
                "no token, or a wrong one",
                "send Authorization: Bearer with the client token of the Quorum's Secret",
            )

    def _elsewhere(self, request: web.Request, leader: int | None) -> web.Response:
        name = self.member.name_of(leader)
        if name is None or leader == self.member.volume.id:
            body = {"error": "there is no leader now", "fix": "ask again in a moment"}
            return web.json_response(body, status=503, headers={"Retry-After": "1"})
        url = f"{self.member.config.api(name)}{request.path_qs}"
        return web.json_response({"leader": name}, status=307, headers={"Location": url})

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    async def _readyz(self, _: web.Request) -> web.Response:
        reason = status.unready(self.member)
        return web.json_response({"ready": not reason, "reason": reason}, status=503 if reason else 200)

    async def _status(self, _: web.Request) -> web.Response:
        return web.json_response(status.status(self.member))

    async def _get(self, request: web.Request) -> web.Response:
        if request.query.get("stale") == "true":
            state = self.member.state
        else:
            state = (await self.member.require().read(ANSWER)).state
        value = state.values.get(request.match_info["key"])
        if value is None:
            raise Answer(404, f"there is no key {request.match_info['key']!r}", "write it first")
        return web.json_response(
            {"value": base64.b64encode(value.value).decode(), "revision": value.revision}
        )

    async def _put(self, request: web.Request) -> web.Response:
        body = await json_body(request)
        return await self._write(
            commands.Put(request.match_info["key"], _bytes(body, "value"), None, _session(request))
        )

    async def _cas(self, request: web.Request) -> web.Response:
        body = await json_body(request)
        expected = body.get("expected_revision") or 0
        if not isinstance(expected, int):
            raise bad_request("expected_revision is a number, or null for a key that does not exist")
        return await self._write(
            commands.Put(request.match_info["key"], _bytes(body, "value"), expected, _session(request))
        )

    async def _delete(self, request: web.Request) -> web.Response:
        return await self._write(commands.Delete(request.match_info["key"], _session(request)))

    async def _write(self, command: commands.Put | commands.Delete) -> web.Response:
        result = await self.member.require().propose(command, ANSWER)
        return respond(result)

    async def _sign(self, request: web.Request) -> web.Response:
        body = await json_body(request)
        message = _bytes(body, "message")
        name = str(body.get("request") or request.headers.get("X-Client", "")) or commands.digest_name(
            message
        )
        result = await leading.sign(self.member, name, message)
        if not isinstance(result, commands.Done):
            return respond(result)
        state = self.member.state
        signature = state.signatures[name]
        names = {record.number: record.name for record in state.members.values()}
        told = status.key(self.member, state)
        return web.json_response(
            {
                "request": name,
                "signature": base64.b64encode(signature.signature).decode(),
                "public_key": told["public"],
                "signers": [names.get(number, f"#{number}") for number in signature.signers],
                "blamed": told["blamed"],
            }
        )


def _bytes(body: dict[str, Any], name: str) -> bytes:
    try:
        return base64.b64decode(str(body[name]), validate=True)
    except KeyError:
        raise bad_request(f"{name} is missing; it is base64") from None
    except binascii.Error as error:
        raise bad_request(f"{name} is no base64: {error}") from error


def _session(request: web.Request) -> commands.Session | None:
    client, sequence = request.headers.get("X-Client"), request.headers.get("X-Sequence")
    if client is None or sequence is None:
        return None
    if not sequence.isdecimal() or not 0 < len(client) <= 64:
        raise bad_request("X-Sequence is a number that grows, X-Client a name of at most 64 characters")
    return commands.Session(client, int(sequence))
