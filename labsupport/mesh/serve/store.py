"""All resources of the mesh, by whom they are for; what changed; and what no proxy may get again.

Kept by part (parts.py): a part that is translated anew replaces just what it had before. A part whose translation
fails, and a resource that a proxy refused, stay as they were last good: others go on, and the objects behind it are
told.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from labsupport.mesh import held
from labsupport.mesh.api import Reference
from labsupport.mesh.model import Model
from labsupport.mesh.serve.messages import Encoded, encode
from labsupport.mesh.translate.parts import Part, translate
from labsupport.mesh.translate.resource import Key, Resource

Translate = Callable[[Model, Part], list[Resource]]


@dataclass
class Entry:
    """A resource: as it should be, and as it was when a proxy last took it."""

    wanted: Encoded
    sources: tuple[Reference, ...]
    good: Encoded | None = None  # what some proxy has acknowledged
    refusal: str = ""  # why a proxy refused `wanted`
    made_of: held.Records = field(default_factory=dict)  # its sources, as `wanted` was made of them
    good_of: held.Records = field(default_factory=dict)  # and `good`

    @property
    def served(self) -> Encoded | None:
        """What proxies get: what is wanted, or once that was refused what was good before."""
        return self.good if self.refusal else self.wanted


@dataclass
class Store:
    """The resources, in layers by type and scope."""

    translate: Translate = translate
    layers: dict[tuple[str, str], dict[str, Entry]] = field(default_factory=dict)
    failures: dict[Part, str] = field(default_factory=dict)  # parts whose translation failed, and why
    _parts: dict[Part, set[Key]] = field(default_factory=dict)
    _refused: dict[Key, Entry] = field(default_factory=dict)
    _by_source: dict[Reference, set[Key]] = field(default_factory=dict)

    def update(self, model: Model, parts: Iterable[Part]) -> set[Key]:
        """Translate parts anew; returns the keys of what is different now for some proxy."""
        changed: set[Key] = set()
        for part in parts:
            try:
                made = [(each, encode(each.key.type_url, each.body)) for each in self.translate(model, part)]
            except Exception as error:  # a fault of ours in one part must not take the others with it
                self.failures[part] = f"{type(error).__name__}: {error}"
                traceback.print_exc()
                continue
            self.failures.pop(part, None)
            changed |= self._replace(part, made)
            for resource, _ in made:
                if entry := self.entry(resource.key):
                    entry.made_of = {each: held.record(model, each) for each in resource.sources}
                    if entry.good and entry.good.version == entry.wanted.version:
                        entry.good_of = entry.made_of
        return changed

    def drop(self, part: Part) -> set[Key]:
        """Forget a part that nobody asks for any more."""
        self.failures.pop(part, None)
        return self._replace(part, [])

    def _replace(self, part: Part, made: Sequence[tuple[Resource, Encoded]]) -> set[Key]:
        changed = set()
        now = {resource.key for resource, _ in made}
        for gone in self._parts.get(part, set()) - now:
            layer = self.layers[gone.type_url, gone.scope]
            self._sources(gone, layer.pop(gone.name).sources, ())
            if not layer:
                del self.layers[gone.type_url, gone.scope]
            changed.add(gone)
        for resource, encoded in made:
            key = resource.key
            layer = self.layers.setdefault((key.type_url, key.scope), {})
            held = layer.get(key.name)
            if held is None:
                layer[key.name] = Entry(encoded, resource.sources)
                self._sources(key, (), resource.sources)
                changed.add(key)
                continue
            self._sources(key, held.sources, resource.sources)
            held.sources = resource.sources
            if held.wanted.version != encoded.version:
                before = held.served
                held.wanted, held.refusal = encoded, ""
                if before is None or before.version != encoded.version:
                    changed.add(key)
        if now:
            self._parts[part] = now
        else:
            self._parts.pop(part, None)
        return changed

    def _sources(self, key: Key, before: Sequence[Reference], now: Sequence[Reference]) -> None:
        if before == now:
            return
        for each in before:
            self._by_source[each].discard(key)
            if not self._by_source[each]:
                del self._by_source[each]
        for each in now:
            self._by_source.setdefault(each, set()).add(key)

    def made_of(self, reference: Reference) -> dict[Key, str]:
        """The resources that an object is in, each with the version that is wanted."""
        keys = self._by_source.get(reference, ())
        return {key: entry.wanted.version for key in keys if (entry := self.entry(key))}

    def find(self, type_url: str, scopes: Sequence[str], name: str) -> tuple[Key, Entry] | None:
        """What a proxy of these scopes, the narrowest last, gets under a name."""
        for scope in reversed(scopes):
            entry = self.layers.get((type_url, scope), {}).get(name)
            if entry is not None:
                return Key(type_url, scope, name), entry
        return None

    def names(self, type_url: str, scopes: Sequence[str]) -> set[str]:
        """The names of all that a proxy of these scopes can get of a type."""
        return {name for scope in scopes for name in self.layers.get((type_url, scope), {})}

    def accepted(self, key: Key, version: str) -> None:
        """A proxy took this version."""
        entry = self.entry(key)
        if entry and entry.wanted.version == version:
            entry.good, entry.good_of = entry.wanted, entry.made_of

    def refused(self, key: Key, version: str, message: str) -> bool:
        """A proxy refused this version; returns whether that changes what others get."""
        entry = self.entry(key)
        if entry is None or entry.wanted.version != version or entry.refusal:
            return False
        if entry.good is not None and entry.good.version == version:
            return False  # others run it: this proxy has a trouble of its own
        entry.refusal = message
        self._refused[key] = entry
        return True

    def is_good(self, key: Key) -> bool:
        """Whether a proxy took a resource as it should be now, or there is none of this key any more."""
        entry = self.entry(key)
        return entry is None or (entry.good is not None and entry.good.version == entry.wanted.version)

    def refused_entries(self) -> list[Entry]:
        """What is not served as it should be."""
        self._refused = {
            key: entry for key, entry in self._refused.items() if entry.refusal and self.entry(key)
        }
        return list(self._refused.values())

    def entry(self, key: Key) -> Entry | None:
        """A resource; None if there is none of this key."""
        return self.layers.get((key.type_url, key.scope), {}).get(key.name)
