"""The echo client: sends requests and says what came back, one `Name=value` in a line.

client URL [--method=M] [-H NAME:VALUE ...] [--count=N] [--timeout=SECONDS] [--new-connection-per-request] [--msg=TEXT]
[--insecure-skip-verify]

URL: http, https, grpc or tcp. Requests go out one after another over one connection that is kept, unless a new one is
asked for: it is a proxy's task to spread them. No redirect is followed. Each answer, of whatever status, is a block of
lines that an empty line ends; why there was none goes to standard error. Exit status 0 if there was any answer.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import socket
import ssl
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from labsupport.shop.echo import fields

TIMEOUT = 5.0
PORTS = {"http": 80, "https": 443, "grpc": 80, "tcp": 80}


@dataclass(frozen=True)
class Options:
    """What was asked for. `timeout`: seconds for each wait on the network. `keep`: one connection for all requests."""

    url: SplitResult
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    count: int = 1
    timeout: float = TIMEOUT
    keep: bool = True
    message: str = "hello"
    verify: bool = True

    @property
    def host(self) -> str:
        """The name or address that is connected to."""
        return self.url.hostname or ""

    @property
    def port(self) -> int:
        """The port that is connected to."""
        return self.url.port or PORTS[self.url.scheme]

    @property
    def path(self) -> str:
        """What an HTTP request asks for."""
        return (self.url.path or "/") + (f"?{self.url.query}" if self.url.query else "")


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line; ends the process with status 2 for one that is wrong."""
    flags = argparse.ArgumentParser(prog="client", allow_abbrev=False)
    flags.add_argument("url", metavar="URL")
    flags.add_argument("--method", default="GET")
    flags.add_argument("-H", "--header", action="append", default=[], metavar="NAME:VALUE")
    flags.add_argument("--count", type=int, default=1)
    flags.add_argument("--timeout", type=float, default=TIMEOUT, metavar="SECONDS")
    flags.add_argument("--new-connection-per-request", action="store_true")
    flags.add_argument("--msg", default="hello", metavar="TEXT", help="what a gRPC or TCP server echoes")
    flags.add_argument("--insecure-skip-verify", "-k", action="store_true")
    words = flags.parse_args(arguments)
    try:
        url = urlsplit(words.url)
        port = url.port  # ValueError for one that is no number
    except ValueError as error:
        flags.error(f"{words.url}: {error}")
    if url.scheme not in PORTS or not url.hostname or port == 0:
        flags.error(f"{words.url} is no URL of {', '.join(PORTS)}")
    pairs = [header.partition(":") for header in words.header]
    return Options(
        url=url,
        method=words.method,
        headers=tuple((name.strip(), value.strip()) for name, _, value in pairs),
        count=max(1, words.count),
        timeout=words.timeout,
        keep=not words.new_connection_per_request,
        message=words.msg,
        verify=not words.insecure_skip_verify,
    )


Answer = tuple[int, fields.Headers, str]  # status, headers, body


class Http:
    """HTTP/1.1, the connection kept between requests as `options` say."""

    def __init__(self, options: Options) -> None:
        self._options = options
        if options.url.scheme == "https":
            context = ssl.create_default_context()
            if not options.verify:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self._connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                options.host, options.port, timeout=options.timeout, context=context
            )
        else:
            self._connection = http.client.HTTPConnection(options.host, options.port, timeout=options.timeout)

    def send(self) -> Answer:
        """One request and its answer. OSError or HTTPException when there is none."""
        options = self._options
        try:
            self._connection.putrequest(
                options.method, options.path, skip_host=True, skip_accept_encoding=True
            )
            names = {name.lower() for name, _ in options.headers}
            if "host" not in names:
                self._connection.putheader("Host", options.url.netloc)
            for name, value in options.headers:
                self._connection.putheader(name, value)
            if options.method in ("POST", "PUT", "PATCH") and not names & {
                "content-length",
                "transfer-encoding",
            }:
                self._connection.putheader("Content-Length", "0")
            self._connection.endheaders()
            response = self._connection.getresponse()
            body = response.read().decode(errors="replace")
        except BaseException:
            self.close()  # the next request begins anew
            raise
        if not options.keep:
            self.close()
        return response.status, response.getheaders(), body

    def close(self) -> None:
        """Close the connection; the next request opens one."""
        self._connection.close()


class Grpc:
    """Calls of the echo service over gRPC."""

    def __init__(self, options: Options) -> None:
        from labsupport.shop.echo.rpc import Caller  # takes four times as long to import as all the rest

        self._options = options
        self._make: Callable[[], Caller] = lambda: Caller(f"{options.host}:{options.port}", options.timeout)
        self._caller = self._make()

    def send(self) -> Answer:
        """One call and its answer; gRPC's OK is told as 200, as an HTTP client would. OSError when it failed."""
        if not self._options.keep:
            self._caller.close()
            self._caller = self._make()
        headers, body = self._caller.echo(self._options.message, self._options.headers)
        return 200, headers, body

    def close(self) -> None:
        """Close the connection."""
        self._caller.close()


class Tcp:
    """A line of text over a new connection."""

    def __init__(self, options: Options) -> None:
        self._options = options

    def send(self) -> Answer:
        """Send the message and its line's end, and read until the server has no more. OSError when it says nothing."""
        where = (self._options.host, self._options.port)
        said = b""
        with socket.create_connection(where, timeout=self._options.timeout) as connection:
            connection.sendall(self._options.message.encode() + b"\n")
            connection.shutdown(socket.SHUT_WR)
            while block := connection.recv(1 << 16):
                said += block
        if not said:
            raise OSError("the server closed the connection without a word")
        return 200, (), said.decode(errors="replace")

    def close(self) -> None:
        """There is nothing to close."""


SENDERS: dict[str, Callable[[Options], Http | Grpc | Tcp]] = {
    "http": Http,
    "https": Http,
    "grpc": Grpc,
    "tcp": Tcp,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Send what was asked for; returns the exit status."""
    options = parse(arguments)
    answers = 0
    with contextlib.closing(SENDERS[options.url.scheme](options)) as sender:
        for number in range(options.count):
            try:
                status, headers, body = sender.send()
            except (OSError, ValueError, http.client.HTTPException) as error:
                print(f"[{number} error] {type(error).__name__}: {error}", file=sys.stderr, flush=True)
                continue
            answers += 1
            sys.stdout.write(fields.answered(number, options.url.geturl(), status, headers, body))
    return 0 if answers else 1


if __name__ == "__main__":
    sys.exit(main())
