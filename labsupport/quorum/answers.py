"""Requests and answers of the API: JSON both ways, and errors that say what was wrong and what to do next."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from labsupport.quorum import commands


class Answer(Exception):
    """An HTTP status with an error in words."""

    def __init__(self, status: int, what: str, fix: str) -> None:
        super().__init__(what)
        self.status, self.what, self.fix = status, what, fix


def bad_request(what: str) -> Answer:
    """400: the request cannot be understood."""
    return Answer(400, what, "see the routes in quorum/README.md")


def respond(result: commands.Result) -> web.Response:
    """The HTTP answer for the result of a command."""
    match result:
        case commands.Done(revision=revision):
            return web.json_response({"revision": revision})
        case commands.Conflict(revision=revision):
            body = {"error": f"the key has revision {revision}", "fix": "read it again", "revision": revision}
            return web.json_response(body, status=412)
        case commands.Refused(reason=reason):
            return web.json_response({"error": reason, "fix": "change the request"}, status=422)


async def json_body(request: web.Request) -> dict[str, Any]:
    """The body, which must be a JSON object. Raises Answer."""
    try:
        body = await request.json()
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise bad_request(f"the body is no JSON: {error}") from error
    if not isinstance(body, dict):
        raise bad_request("the body must be a JSON object")
    return body
