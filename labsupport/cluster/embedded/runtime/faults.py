"""How a CRI call fails: an exception with the gRPC status that the kubelet acts upon."""

from __future__ import annotations

import grpc


class Fault(Exception):
    """Ends the current call with `code` and a message for people: the kubelet puts it into an event."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        """Remember the status."""
        super().__init__(message)
        self.code = code


def not_found(what: str) -> Fault:
    """The kubelet takes NOT_FOUND for "already gone"."""
    return Fault(grpc.StatusCode.NOT_FOUND, f"{what} not found")


def failed(message: str) -> Fault:
    """Something went wrong; the kubelet tries again."""
    return Fault(grpc.StatusCode.UNKNOWN, message)


def refused(message: str) -> Fault:
    """The request cannot be carried out here, now or later."""
    return Fault(grpc.StatusCode.INVALID_ARGUMENT, message)
