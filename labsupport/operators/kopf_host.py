"""A host: an operator of the framework kopf around a learner's handlers.

The learner's module registers its handlers by kopf's decorators when it is loaded; this runs what is registered, in the
Pod's namespace alone, with the Pod's rights, and without peers: nobody asks for definitions or namespaces of the
cluster, so that a Role is enough. Handlers reach the API as `client.CoreV1Api()`.

Several operators may look after the same objects, so the finalizer and the annotations in which kopf keeps what it
knows carry the name of this one: `<group>/<name>`, `<name>.<group>/...`. Each call of a handler is one JSON record on
stdout: `record` (handler), `by` (the Pod), `handler`, `name` (of the object), `reason`, `retry`, `began`, `ended`,
`error`. What it raised is told like any failure of the learner's, and so is what the API refuses to kopf itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import json
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import kopf

from labsupport.operators import learner

NAMESPACE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
LIMIT = 30.0  # seconds for one call before it is told that it takes long
EXPECTED = (kopf.TemporaryError, kopf.PermanentError)  # how a handler speaks to kopf: no failure of its code
TOLD = "_labs_told"  # the attribute of an exception that has been told of

_writing = threading.Lock()
Handler = Callable[..., Any]


def settings(group: str, name: str) -> kopf.OperatorSettings:
    """kopf's settings for the operator `name` of a lab's API group."""
    chosen = kopf.OperatorSettings()
    chosen.scanning.disabled = True
    chosen.peering.standalone = True
    chosen.persistence.finalizer = f"{group}/{name}"
    # A timer that is at work when its object is deleted is looked at again after so many seconds; kopf's own is 60.
    chosen.background.cancellation_polling = 1.0
    prefix = f"{name}.{group}"
    chosen.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=prefix, v1=False)
    chosen.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=prefix, v1=False)
    return chosen


def write(record: dict[str, Any]) -> None:
    """Write a record to stdout; several threads do."""
    with _writing:
        print(json.dumps(record, default=str), flush=True)


def registered(function: learner.Learner, by: str) -> kopf.OperatorRegistry:
    """What the learner's functions have registered, with calls recorded as `by`'s; without any, this process ends."""
    registry = kopf.get_default_registry()
    if not observe(registry, function, by):
        learner.fail(
            learner.Failure("NoHandlers", "no function that is sent registers with kopf: none is decorated")
        )
    return registry


def observe(registry: kopf.OperatorRegistry, function: learner.Learner, by: str = "") -> int:
    """Have each call of a registered handler recorded; returns how many handlers there are.

    kopf has no public hook around a call: this replaces the functions in the registry's lists, whose shape the tests
    look at.
    """
    recorded: dict[int, Handler] = {}
    count = 0
    for part in (registry._watching, registry._spawning, registry._changing):
        handlers: list[Any] = part._handlers
        for index, handler in enumerate(handlers):
            count += 1
            # The same function twice is one handler to kopf, and must stay so.
            known = recorded.setdefault(id(handler.fn), _recorded(handler.fn, function, by))
            handlers[index] = dataclasses.replace(handler, fn=known)
    return count


def _recorded(handler: Handler, function: learner.Learner, by: str) -> Handler:
    if asyncio.iscoroutinefunction(handler):

        @functools.wraps(handler)
        async def call(*arguments: Any, **named: Any) -> Any:
            with _record(handler, function, by, named):
                return await handler(*arguments, **named)

    else:

        @functools.wraps(handler)
        def call(*arguments: Any, **named: Any) -> Any:
            with _record(handler, function, by, named):
                return handler(*arguments, **named)

    return call


@contextlib.contextmanager
def _record(handler: Handler, function: learner.Learner, by: str, named: dict[str, Any]) -> Iterator[None]:
    began, error = time.time(), ""
    body = named.get("body") or {}
    about = f"{body.get('kind', 'object')} {named.get('name')}"
    try:
        yield
    except EXPECTED as raised:
        error = f"{type(raised).__name__}: {raised}"
        raise
    except Exception as raised:
        failure = function.failure(raised, about)
        error = f"{failure.kind}: {failure.message}"
        setattr(raised, TOLD, True)
        with _writing:
            learner.tell(failure)
        raise
    finally:
        told = {
            **{"record": "handler", "at": time.time(), "by": by},
            **{"handler": handler.__name__, "name": named.get("name")},
            **{"reason": str(named.get("reason") or "").lower(), "retry": named.get("retry") or 0},
            **{"began": began, "ended": time.time(), "error": error},
        }
        write(told)


class Tell(logging.Handler):
    """Tells what kopf itself fails at: refusals of the API, most often."""

    def __init__(self, function: learner.Learner) -> None:
        super().__init__(logging.WARNING)
        self._function = function

    def emit(self, record: logging.LogRecord) -> None:
        """Tell of a record about an exception that no handler raised."""
        # kopf logs a refused request without the exception, from the block that has caught it.
        error = record.exc_info[1] if record.exc_info else sys.exc_info()[1]
        if error is None or getattr(error, TOLD, False):
            return
        setattr(error, TOLD, True)
        failure = self._function.failure(error, "kopf's own work")
        with _writing:
            learner.tell(dataclasses.replace(failure, message=_said(error) or failure.message))


def _said(error: BaseException) -> str:
    """The API server's own words in an exception of kopf's, whose text is the whole answer."""
    return f"{getattr(error, 'status', '')} {getattr(error, 'message', '') or ''}".strip()


def serve(
    function: learner.Learner,
    registry: kopf.OperatorRegistry,
    chosen: kopf.OperatorSettings,
    namespace: str,
    *,
    ready: threading.Event | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Run kopf in this thread until `stop`; `ready` is set once it works. What ends it otherwise ends this process."""
    kopf.configure(debug=False)
    logging.getLogger().addHandler(Tell(function))
    try:
        kopf.run(
            registry=registry,
            settings=chosen,
            standalone=True,
            namespaces=[namespace],
            ready_flag=ready,
            stop_flag=stop,
        )
    except BaseException as error:
        learner.fail(function.failure(error, "kopf's own work"))


def main() -> int:
    """Run until the Pod ends. The lab's API group and the operator's name are the arguments."""
    from kubernetes import config

    function = learner.load()
    group, name = sys.argv[1:3]
    with open(NAMESPACE) as file:
        namespace = file.read()
    config.load_incluster_config()  # type: ignore[no-untyped-call]
    registry = registered(function, socket.gethostname())
    ready = threading.Event()

    def run() -> None:
        serve(function, registry, settings(group, name), namespace, ready=ready)
        learner.fail(learner.Failure("Ended", "kopf has ended"))

    # Not in the main thread: there kopf would take SIGTERM over, and take its time.
    threading.Thread(target=run, daemon=True).start()
    ready.wait()
    learner.ready()
    threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
