"""Who may call whom: requests made in the lab's Pods, by way of their proxies, and what came back.

A Pod is named by its label `app`. Each request is words as one says them, "POST http://orders/orders"; it is made by
curl in the Pod's own container, so that it has the Pod's identity (or none).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from labsupport import kube
from labsupport.course.views import Table
from labsupport.errors import LabsError
from labsupport.kube.execute import execute
from labsupport.patience import patient

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

ANSWER = 4.0  # seconds that a request may take
LIMIT = patient(20.0)  # seconds for all requests of one Pod
BODY = json.dumps({"item": "tea", "order": "by-hand", "amount": 3})  # what the shop's services take
REFUSED, NO_ANSWER = 403, 0
_MARK = "\x1f"  # between answers; in no text of theirs


class Call(NamedTuple):
    """A request that a Pod makes; `header` is one more header, "Name: value"."""

    caller: str
    method: str
    url: str
    header: str = ""

    def __str__(self) -> str:
        said = f"{self.caller}: {self.method} {self.url.removeprefix('http://')}"
        return f"{said} with {self.header.partition(':')[0]}" if self.header else said


@dataclass(frozen=True)
class Answer:
    """What came of a call: the status (0: no answer), and the text."""

    call: Call
    status: int
    text: str

    @property
    def through(self) -> bool:
        """Whether the application had the request: neither a proxy refused it, nor was its connection cut."""
        return self.status != NO_ANSWER and not (self.status == REFUSED and self.text.startswith("RBAC"))

    def __str__(self) -> str:
        if self.status == NO_ANSWER:
            return "no answer"
        return str(self.status) if self.through else "refused (403)"


def call(caller: str, request: str, header: str = "") -> Call:
    """A call from words. Errors: LabsError if they are none."""
    method, _, url = request.strip().partition(" ")
    if not url.startswith("http://") or not method.isupper():
        raise LabsError(
            f'"{request}" is no request.',
            fix='write a method and a URL, as in "GET http://inventory/stock/tea"',
        )
    return Call(caller, method, url, header)


def make(api: ApiClient, namespace: str, calls: Iterable[Call]) -> list[Answer]:
    """Make all calls, those of different Pods at the same time; the answers in the order of the calls.

    Errors: LabsError where there is no Pod of that name that runs.
    """
    by_caller: dict[str, list[Call]] = {}
    for each in (wanted := list(calls)):
        by_caller.setdefault(each.caller, []).append(each)

    def of(caller: str) -> list[Answer]:
        pod = _pod(api, namespace, caller)
        script = f"; printf '{_MARK}'; ".join(_curl(each) for each in by_caller[caller])
        said = execute(api, namespace, pod, ["sh", "-c", script], timeout=LIMIT).split(_MARK)
        return [_answer(each, text) for each, text in zip(by_caller[caller], said, strict=True)]

    with ThreadPoolExecutor(max_workers=max(1, len(by_caller))) as pool:
        answers = dict(zip(by_caller, pool.map(of, by_caller), strict=True))
    left = {caller: iter(each) for caller, each in answers.items()}
    return [next(left[each.caller]) for each in wanted]


def _curl(call_: Call) -> str:
    words = ["curl", "-s", "-m", f"{ANSWER:g}", "-X", call_.method, "-w", "\\n%{http_code}", "--path-as-is"]
    if call_.header:
        words += ["-H", call_.header]
    if call_.method in ("POST", "PUT"):
        words += ["-H", "Content-Type: application/json", "-d", BODY]
    # Without an answer curl says so by its status, which ends no script here, and writes 000.
    return shlex.join([*words, call_.url]) + " || true"


def _answer(call_: Call, text: str) -> Answer:
    body, _, code = text.rpartition("\n")
    return Answer(call_, int(code) if code.isdigit() else NO_ANSWER, body)


def _pod(api: ApiClient, namespace: str, app: str) -> str:
    found = kube.ready_pods(api, namespace, f"app={app}")
    if not found:
        raise LabsError(f"No Pod of {app} is ready in {namespace}.", fix="look at `labs kubectl get pods`")
    return str(found[-1]["metadata"]["name"])


def table(answers: Iterable[Answer]) -> Table:
    """A row for each call; what refused it is told in words, where anything did."""
    made = list(answers)
    columns = ["Caller", "Request", "Answer", "In words"]
    rows = [
        [
            each.call.caller,
            f"{each.call.method} {each.call.url.removeprefix('http://')}",
            str(each),
            "" if each.through else each.text[:60],
        ]
        for each in made
    ]
    if all(each.through for each in made):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    return Table("Who called, and what came back", columns, rows)


def matrix(
    api: ApiClient, namespace: str, callers: Iterable[str], requests: Mapping[str, str], title: str = ""
) -> Table:
    """Everybody asks everybody: `requests` says for each service what it is asked."""
    services, who = list(requests), list(callers)
    answers = make(api, namespace, [call(caller, requests[name]) for caller in who for name in services])
    found = {(each.call.caller, each.call.url): str(each) for each in answers}
    rows = [
        (caller, *(found[caller, call(caller, requests[name]).url] for name in services)) for caller in who
    ]
    return Table(title or "Who gets an answer of whom", ("Caller", *services), rows)
