"""Writes to a Quorum by way of one Service, one key after the other, and tells each attempt as a line of JSON.

    python3 -m labsupport.quorum.writer SERVICE [--seconds N] [--first N] [--moved N]

It ends after N seconds, or when no write was confirmed in the first N of them, or when another member than the first
one has confirmed N writes.

An attempt is a connection of its own, so that the Service decides anew each time. A write is attempted until it is
confirmed, which is counted once (`X-Sequence`). A line: `at` (seconds since the start), `key`, `status` (200: written;
307: by a member that does not lead; 503: by one that cannot; 0: nobody answered) and `by`, the member that answered.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import secrets
import socket
import ssl
import sys
import time
from pathlib import Path

from labsupport.quorum import configuration
from labsupport.quorum.wire import tls

CONFIG, TOKENS = Path("/etc/quorum"), Path("/etc/quorum-tokens")
PAUSE = 0.05  # seconds after an attempt
CONNECT, ANSWER = 0.5, 2.0  # seconds


class Writer:
    """One client, which knows a single address."""

    def __init__(self, config: configuration.Config, service: str, token: str, authority: str) -> None:
        self._config, self._service, self._token = config, service, token
        self._client = secrets.token_hex(8)
        self._context = ssl.create_default_context(cafile=authority)

    def attempt(self, sequence: int) -> tuple[int, str]:
        """One attempt at the write `sequence`: the status and who answered; (0, "") where nobody did."""
        config = self._config
        try:
            plain = socket.create_connection((self._service, config.api_port), CONNECT)
            plain.settimeout(ANSWER)
            # Members' certificates are for the operator's own Service, and for each member.
            name = f"{config.name}-leader.{config.namespace}.{config.domain}"
            with plain, self._context.wrap_socket(plain, server_hostname=name) as secured:
                member = tls.peer_name(secured.getpeercert(), config.namespace, config.name) or ""
                connection = http.client.HTTPConnection(self._service)
                connection.sock = secured
                body = json.dumps({"value": base64.b64encode(str(sequence).encode()).decode()})
                headers = {
                    "Authorization": f"Bearer {self._token}",
                    "Content-Type": "application/json",
                    "X-Client": self._client,
                    "X-Sequence": str(sequence),
                }
                connection.request("PUT", f"/v1/kv/w-{self._client}-{sequence}", body, headers)
                return connection.getresponse().status, member
        except (OSError, http.client.HTTPException):
            return 0, ""


def main(words: list[str]) -> int:
    """Write until the time is over, or nobody reads what is told."""
    parser = argparse.ArgumentParser(prog="writer", description=__doc__)
    parser.add_argument("service")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--first", type=float, default=5.0)
    parser.add_argument("--moved", type=int, default=8)
    arguments = parser.parse_args(words)
    config, token = configuration.read(CONFIG / "config.json"), (TOKENS / "client").read_text().strip()
    writer = Writer(config, arguments.service, token, str(CONFIG / "ca.crt"))
    began, sequence = time.monotonic(), 1
    confirmed: list[str] = []  # by whom
    try:
        while (now := time.monotonic() - began) < (arguments.seconds if confirmed else arguments.first):
            status, member = writer.attempt(sequence)
            line = {"at": round(now, 3), "key": sequence, "status": status, "by": member}
            print(json.dumps(line), flush=True)
            if status == http.HTTPStatus.OK:
                sequence, confirmed = sequence + 1, [*confirmed, member]
            if sum(each != confirmed[0] for each in confirmed) >= arguments.moved:
                break
            time.sleep(PAUSE)
    except BrokenPipeError:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
