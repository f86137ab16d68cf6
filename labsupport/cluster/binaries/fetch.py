"""Downloads over HTTP: resumed where they stopped, bounded in time, verified against a digest.

`requests` honours HTTPS_PROXY, NO_PROXY and REQUESTS_CA_BUNDLE; SSL_CERT_FILE, which other tools read, is added here.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError, ProtocolError

CHUNK = 1 << 20
TEXT_LIMIT = 1 << 20  # bytes of a checksum file


@dataclass(frozen=True)
class Limits:
    """When to give up. `connect`: seconds for a connection. `stall`: seconds in which at least `rate` bytes/s come.
    `attempts`: how often a broken transfer is taken up again."""

    connect: float = 4.0
    stall: float = 30.0
    rate: float = 4096.0
    attempts: int = 4


class FetchError(Exception):
    """A download that did not work, and why."""


class Unreachable(FetchError):
    """The server could not be reached at all: other addresses on it need not be tried."""


class WrongDigest(FetchError):
    """What came is not what the checksum says."""


def session(environ: Mapping[str, str] | None = None) -> requests.Session:
    """A session with the user's proxy and certificate settings."""
    environment = os.environ if environ is None else environ
    made = requests.Session()
    made.headers["Accept-Encoding"] = "identity"  # a resumed transfer counts bytes of the file itself
    bundle = next(
        (
            environment[n]
            for n in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
            if environment.get(n)
        ),
        None,
    )
    if bundle is not None:
        made.verify = bundle
    return made


def text(client: requests.Session, url: str, limits: Limits = Limits(), *, largest: int = TEXT_LIMIT) -> str:
    """A text file of at most `largest` bytes, such as a list of checksums. FetchError or Unreachable."""
    with _open(client, url, {}, limits) as response:
        _refuse_errors(response)
        body = b""
        try:
            for chunk in response.iter_content(65536):
                body += chunk
                if len(body) > largest:
                    raise FetchError(f"{url}: larger than {largest >> 10} kB, which it should not be")
        except requests.RequestException as error:
            raise FetchError(f"{url}: {_cause(error)}") from None
    return body.decode(errors="replace")


def checksum_in(listing: str, file_name: str) -> str:
    """The SHA-256 digest of `file_name` in a list as sha256sum(1) writes it, or in a file with a digest alone."""
    for line in listing.splitlines():
        words = line.split()
        if (
            words
            and re.fullmatch(r"[0-9a-f]{64}", words[0])
            and (len(words) == 1 or words[1].lstrip("*").rsplit("/", 1)[-1] == file_name)
        ):
            return words[0]
    raise FetchError(f"no SHA-256 digest of {file_name} in its list of checksums")


def download(
    client: requests.Session,
    url: str,
    target: Path,
    *,
    sha256: str,
    on_bytes: Callable[[int, int | None], None] = lambda done, total: None,
    limits: Limits = Limits(),
) -> None:
    """Download `url` to `target`, which appears only when complete and right.

    What has come stays in `target`.part and is resumed by the next attempt or the next call. `on_bytes` gets the
    bytes that are there and the bytes there will be (None: the server does not say).
    """
    part = target.with_name(target.name + ".part")
    resumed = part.exists()
    for attempt in range(1, limits.attempts + 1):
        try:
            _transfer(client, url, part, on_bytes, limits)
        except _Broken as broken:
            if attempt == limits.attempts:
                raise FetchError(
                    f"{url}: {broken} (tried {attempt} times; {_size(part)} bytes are kept)"
                ) from None
            continue
        with part.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found == sha256:
            part.replace(target)
            return
        part.unlink()
        if not resumed:
            raise WrongDigest(f"{url}: SHA-256 is {found}, the list of checksums says {sha256}")
        resumed = False  # the kept beginning may have been of another file: once more from the start
    raise WrongDigest(f"{url}: SHA-256 stays wrong after {limits.attempts} attempts")


class _Broken(Exception):
    """A transfer that ended early; taking it up again may help."""


def _transfer(
    client: requests.Session,
    url: str,
    part: Path,
    on_bytes: Callable[[int, int | None], None],
    limits: Limits,
) -> None:
    """One request, appended to what is in `part`."""
    have = _size(part)
    with _open(client, url, {"Range": f"bytes={have}-"} if have else {}, limits) as response:
        if response.status_code == 416:
            # Nothing after what we have: either we have all (the digest will tell) or the file is another one.
            total = re.fullmatch(r"bytes \*/(\d+)", response.headers.get("Content-Range", ""))
            if total is not None and int(total.group(1)) == have:
                return
            part.unlink()
            raise _Broken("the server has less than was kept")
        _refuse_errors(response)
        start = _start_of(response, have)
        length = response.headers.get("Content-Length", "")
        total_bytes = start + int(length) if length.isdigit() else None
        with part.open("r+b" if part.exists() else "wb") as file:
            file.truncate(start)
            file.seek(start)
            done = start
            window_start, window_bytes = time.monotonic(), 0
            while True:
                try:
                    chunk = response.raw.read1(CHUNK, decode_content=False)
                except ProtocolError as error:  # among them: fewer bytes than Content-Length said
                    raise _Broken(f"broken off after {done} of {total_bytes or '?'} bytes: {error}") from None
                except (HTTPError, OSError) as error:
                    raise _Broken(
                        f"stopped after {done} of {total_bytes or '?'} bytes: {_cause(error)}"
                    ) from None
                if not chunk:
                    break
                file.write(chunk)
                done += len(chunk)
                window_bytes += len(chunk)
                on_bytes(done, total_bytes)
                waited = time.monotonic() - window_start
                if waited >= limits.stall:
                    if window_bytes < limits.rate * waited:
                        raise _Broken(f"too slow: {window_bytes} bytes in the last {waited:.0f} s")
                    window_start, window_bytes = time.monotonic(), 0


def _start_of(response: requests.Response, have: int) -> int:
    """Where in the file the answer begins: after what we have if the server can resume, else at 0."""
    if response.status_code != 206:
        return 0
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if match is None or int(match.group(1)) > have:
        raise FetchError(
            f"{response.url}: cannot resume at {have}: {response.headers.get('Content-Range')!r}"
        )
    return int(match.group(1))


def _open(client: requests.Session, url: str, headers: dict[str, str], limits: Limits) -> requests.Response:
    """The answer's head. Unreachable when there is none."""
    try:
        return client.get(url, headers=headers, stream=True, timeout=(limits.connect, limits.stall))
    except requests.exceptions.SSLError as error:
        raise Unreachable(
            f"{_host(url)}: {_cause(error)} (for a certificate authority of your own set SSL_CERT_FILE)"
        ) from None
    except requests.exceptions.ProxyError as error:
        raise Unreachable(f"{_host(url)}: the proxy did not connect: {_cause(error)}") from None
    except requests.exceptions.ReadTimeout:
        raise Unreachable(f"{_host(url)}: no answer within {limits.stall:.0f} s") from None
    except requests.exceptions.ConnectTimeout:
        raise Unreachable(f"{_host(url)}: no connection within {limits.connect:.0f} s") from None
    except (requests.RequestException, OSError) as error:
        raise Unreachable(f"{_host(url)}: {_cause(error)}") from None


def _refuse_errors(response: requests.Response) -> None:
    if response.status_code >= 400:
        raise FetchError(f"{response.url}: {response.status_code} {response.reason}")


def _host(url: str) -> str:
    return urlsplit(url).netloc


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _cause(error: BaseException) -> str:
    """The innermost reason: outer layers repeat it with object addresses."""
    while True:
        inner = getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((a for a in error.args if isinstance(a, BaseException)), None)
        if inner is None:
            break
        error = inner
    words = re.sub(r"<[^>]*>:? ?|^\w*Connection\([^)]*\): ", "", str(error)).strip()
    return words or type(error).__name__
