"""Take out of a text what is nobody else's business: keys, tokens, passwords, names of users and machines."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

SHORTEST_NAME = 3  # a shorter name is part of too many words; as a home directory it is found all the same
ORDINARY_NAMES = frozenset(
    {"root", "user", "admin", "debian", "ubuntu", "localhost", "labs", "node", "kubernetes"}
)

PEM_KEY = re.compile(r"-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----.*?(-----END \1-----|\Z)", re.DOTALL)
JWT = re.compile(
    r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(\.[A-Za-z0-9_-]*)?"
)  # RFC 7519, three parts of base64url
AUTHORIZATION = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}")
USER_INFORMATION = re.compile(r"(?<=://)[^/\s@\"']+(?=@)")  # RFC 3986, 3.2.1
BOOTSTRAP_TOKEN = re.compile(r"\b[a-z0-9]{6}\.[a-z0-9]{16}\b")
# key: value, key=value, "key": "value", key\": \"value (JSON within a log line). Words that end in the name count too.
NAMED = re.compile(
    r"""(?ix)
    ( [\w.-]*(?: token | passw(?:or)?d | passphrase | secret | api[_-]?key | client-key-data | private[_-]?key )
      (?: [_-]?(?:data|value|id) )? \\?["']? \s*[:=]\s* \\?["']? )
    ( [^\s"'\\&,;})\]]{4,} )
    """
)
HARMLESS_VALUE = re.compile(r"(?i)(true|false|null|none|/[\w./-]+|\[.*|\{.*|\d{1,6}|<.*|redacted.*)$")
# A line of nothing but base64: what is left of a key whose BEGIN line a log's limit cut off.
BASE64_LINE = re.compile(r"(?m)^[A-Za-z0-9+/]{60,}={0,2}$")


@dataclass
class Redactor:
    """Replaces in texts, and counts how often."""

    home: str = ""
    names: Iterable[str] = ()  # of users and machines
    secrets: Iterable[str] = ()  # values that are known to be secret
    count: int = field(default=0, init=False)

    def __call__(self, text: str) -> str:
        """The text without what should not be seen."""
        for secret in sorted({secret for secret in self.secrets if len(secret) >= 6}, key=len, reverse=True):
            text = self._literal(text, secret, "[secret]")
        text = self._pattern(text, PEM_KEY, "[private key]")
        text = self._pattern(text, JWT, "[token]")
        text = self._pattern(text, AUTHORIZATION, r"\1 [token]")
        text = self._pattern(text, USER_INFORMATION, "[user]")
        text = self._pattern(text, BOOTSTRAP_TOKEN, "[token]")
        text = NAMED.sub(self._named, text)
        text = self._pattern(text, BASE64_LINE, "[base64]")
        if self.home and self.home != "/":
            text = self._literal(text, self.home, "~")
            text = self._pattern(text, re.compile(rf"/home/{re.escape(Path(self.home).name)}\b"), "~")
        names = {
            name for name in self.names if len(name) >= SHORTEST_NAME and name.lower() not in ORDINARY_NAMES
        }
        for name in sorted(names, key=len, reverse=True):
            whole = re.compile(rf"(?i)(?<![a-z0-9]){re.escape(name)}(?![a-z0-9])")
            text = self._pattern(text, whole, "[name]")
        return text

    def _named(self, match: re.Match[str]) -> str:
        if HARMLESS_VALUE.match(match[2]):
            return match[0]
        self.count += 1
        return f"{match[1]}[secret]"

    def _literal(self, text: str, what: str, by: str) -> str:
        self.count += text.count(what)
        return text.replace(what, by)

    def _pattern(self, text: str, pattern: re.Pattern[str], by: str) -> str:
        text, count = pattern.subn(by, text)
        self.count += count
        return text
