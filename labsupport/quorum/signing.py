"""Signing by a threshold (FROST, RFC 9591): what a signer answers, and how the leader brings a signature about.

A signer signs only what stands in the log as a request, so nobody has something signed behind the others' backs. Each
attempt has nonces of its own; whoever answers wrongly is proven to have done so, left out, and the rest try again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

import msgspec

from labsupport.quorum.ceremonies import public_side
from labsupport.quorum.commands import FinishSignature
from labsupport.quorum.keys import frost
from labsupport.quorum.keys.blame import WrongPartialSignature
from labsupport.quorum.keys.frost import (
    KeyPackage,
    NoSignature,
    PublicKeyPackage,
    SignatureShare,
    SigningCommitments,
    SigningNonces,
    SigningPackage,
)
from labsupport.quorum.keys.identity import Identity, Signed
from labsupport.quorum.keys.wire import InvalidMessage
from labsupport.quorum.state import State
from labsupport.quorum.wire.transport import Declined, Unreachable

log = logging.getLogger(__name__)

PENDING = 256  # pairs of nonces that a signer keeps; the oldest are forgotten


class Commit(msgspec.Struct, frozen=True):
    """Round one: commit to nonces for this request. `index` is where it stands in the log."""

    request: str
    attempt: int
    index: int


class Committed(msgspec.Struct, frozen=True):
    """keys.frost.SigningCommitments."""

    commitments: bytes


class SignShare(msgspec.Struct, frozen=True):
    """Round two: keys.frost.SigningPackage."""

    request: str
    attempt: int
    package: bytes


class SignedShare(msgspec.Struct, frozen=True):
    """keys.identity.Signed of a keys.frost.SignatureShare: the signer stands by it."""

    signed: bytes


class Signer:
    """A member's answers in both rounds."""

    def __init__(self) -> None:
        self._nonces: OrderedDict[tuple[str, int], SigningNonces] = OrderedDict()

    def commit(self, asked: Commit, state: State, key: KeyPackage | None) -> Committed:
        """Raises Declined if this member does not sign that."""
        held = self._may_sign(asked.request, state, key)
        nonces = frost.commit(held)
        self._nonces[asked.request, asked.attempt] = nonces
        if len(self._nonces) > PENDING:
            self._nonces.popitem(last=False)
        return Committed(nonces.commitments.to_bytes())

    def sign(self, asked: SignShare, state: State, key: KeyPackage | None, identity: Identity) -> SignedShare:
        """Raises Declined if this member does not sign that, or has not committed to it."""
        held = self._may_sign(asked.request, state, key)
        nonces = self._nonces.pop((asked.request, asked.attempt), None)
        if nonces is None:
            raise Declined(
                "there are no nonces for this attempt: this member restarted, or has signed already"
            )
        try:
            package = SigningPackage.from_bytes(asked.package)
            if package.message != state.signatures[asked.request].message:
                raise Declined("the message is not the one that stands in the log")
            share = frost.sign(package, nonces, held)
        except (InvalidMessage, frost.SigningRefused) as error:
            raise Declined(str(error)) from error
        return SignedShare(identity.sign(package.digest, "sign", share.to_bytes()).to_bytes())

    @staticmethod
    def _may_sign(request: str, state: State, key: KeyPackage | None) -> KeyPackage:
        if request not in state.signatures:
            raise Declined(f"no request {request!r} stands in the log here")
        if key is None:
            raise Declined("this member holds no share of the key in force")
        return key


@dataclass(frozen=True)
class Asked:
    """A holder that can be asked, and how: `call` raises Unreachable or Declined."""

    number: int
    call: Callable[[Commit | SignShare], Awaitable[Committed | SignedShare]]


class NotEnough(Exception):
    """Fewer holders answered, and rightly, than the threshold; says who did not."""


async def bring_about(request: str, state: State, holders: Collection[Asked]) -> FinishSignature:
    """The signature of a request that stands in the log, from any threshold of `holders`, the first ones preferred.

    Raises NotEnough.
    """
    message = state.signatures[request].message
    public = PublicKeyPackage.from_bytes(state.key.public)
    left = {each.number: each for each in holders if each.number in public.shares}
    evidence: list[bytes] = []
    silent: list[str] = []
    for attempt in range(len(left) + 1):
        if len(left) < public.threshold:
            break
        chosen = list(left.values())[: public.threshold]
        asked = Commit(request, attempt, state.signatures[request].index)
        committed = await _commitments(chosen, asked, silent)
        if len(committed) < len(chosen):
            left = {
                number: each for number, each in left.items() if each not in chosen or number in committed
            }
            continue
        package = frost.package(message, committed.values(), public)
        signed = await _shares(chosen, SignShare(request, attempt, package.to_bytes()), silent)
        shares = {number: _share(each, number) for number, each in signed.items()}
        wrong = [number for number, each in shares.items() if each is None]
        if len(signed) == len(chosen) and not wrong:
            try:
                signature = frost.aggregate(package, [each for each in shares.values() if each], public)
                return FinishSignature(request, signature, tuple(sorted(signed)), tuple(evidence))
            except NoSignature as error:
                wrong = list(error.culprits)
        records = {record.number: record for record in state.members.values()}
        for number in wrong:
            accusation = WrongPartialSignature(package, signed[number])
            if number in records and accusation.proven(public_side(records[number]), public):
                evidence.append(accusation.to_bytes())
            silent.append(f"member {number} answered wrongly")
        left = {
            number: each
            for number, each in left.items()
            if each not in chosen or (number in signed and number not in wrong)
        }
    raise NotEnough(
        f"{public.threshold} of {len(public.shares)} holders are needed to sign. " + "; ".join(silent)
    )


async def _commitments(
    chosen: list[Asked], asked: Commit, silent: list[str]
) -> dict[int, SigningCommitments]:
    found = {}
    for number, answer in (await _ask(chosen, asked, silent)).items():
        try:
            commitments = SigningCommitments.from_bytes(getattr(answer, "commitments", b""))
        except InvalidMessage as error:
            silent.append(f"member {number}: {error}")
            continue
        if commitments.identifier == number:
            found[number] = commitments
        else:
            silent.append(f"member {number} speaks for {commitments.identifier}")
    return found


async def _shares(chosen: list[Asked], asked: SignShare, silent: list[str]) -> dict[int, Signed]:
    found = {}
    for number, answer in (await _ask(chosen, asked, silent)).items():
        try:
            found[number] = Signed.from_bytes(getattr(answer, "signed", b""))
        except InvalidMessage as error:
            silent.append(f"member {number}: {error}")
    return found


async def _ask(
    chosen: list[Asked], asked: Commit | SignShare, silent: list[str]
) -> dict[int, Committed | SignedShare]:
    answers = await asyncio.gather(*(each.call(asked) for each in chosen), return_exceptions=True)
    found: dict[int, Committed | SignedShare] = {}
    for each, answer in zip(chosen, answers, strict=True):
        if isinstance(answer, Unreachable | Declined):
            silent.append(f"member {each.number}: {answer}")
        elif isinstance(answer, BaseException):
            raise answer
        else:
            found[each.number] = answer
    return found


def _share(signed: Signed, number: int) -> SignatureShare | None:
    """What was signed, if it is a share of this member's."""
    try:
        share = SignatureShare.from_bytes(signed.body)
    except InvalidMessage:
        return None
    return share if share.identifier == number else None
