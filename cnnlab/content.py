"""What stands for a thing by its content: 16 hex digits, the same for equal things anywhere.

Numbers, texts, arrays and containers are their values; an object is its class and what it holds; a
function is its code and what that reads (`cnnlab.code`). What can't be told by its content, such as
an open file or an object of compiled code, is refused rather than guessed.
"""

import collections
import datetime
import decimal
import enum
import fractions
import functools
import hashlib
import logging
import pathlib
import random
import re
import struct
import types
import typing
import uuid
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from cnnlab import code
from cnnlab.code import Parts, Unknowable, top_level
from cnnlab.libraries import is_library

__all__ = ["Unknowable", "digest"]

_EXACT = (  # what they are written as is all that they are
    *(datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo, decimal.Decimal),
    *(fractions.Fraction, uuid.UUID, range, types.GenericAlias, types.UnionType),
    *(typing.TypeVar, type(Ellipsis), type(NotImplemented), type(None), bool, int, str),
)
_DESCRIPTORS = (
    *(types.MethodDescriptorType, types.WrapperDescriptorType, types.GetSetDescriptorType),
    *(types.MemberDescriptorType, types.ClassMethodDescriptorType),
)
_NUMBERED = {("flax", "_id")}  # what a package numbers its objects by, anew in each process
_HELD = {  # what a wrapper of the language's holds
    functools.partial: ("func", "args", "keywords"),
    functools.partialmethod: ("func", "args", "keywords"),
    functools.cached_property: ("func",),
    types.MethodType: ("__func__", "__self__"),
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    property: ("fget", "fset", "fdel"),
    type(jax.jit(repr)): ("__wrapped__",),  # what it computes
    type(functools.cache(repr)): ("__wrapped__",),
    slice: ("start", "stop", "step"),
}


def digest(thing: object) -> str:
    """16 hex digits that stand for a thing by its content.

    **Raises:** `Unknowable`, one line: what of it has none that can be read, and why.
    """
    return _Walk().of(thing).hex()


class _Walk:
    """One walk through a thing; what occurs twice is looked at once."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[object, bytes]] = {}  # with the thing, whose id stays its own
        self._open: list[int] = []

    def of(self, thing: object) -> bytes:
        """The digest of a thing; within itself, how far up it is."""
        key = id(thing)
        if key in self._known:
            return self._known[key][1]
        if key in self._open:
            return _hash(b"above", str(len(self._open) - self._open.index(key)).encode())
        self._open.append(key)
        try:
            found = _hash(*self._content(thing))
        finally:
            self._open.pop()
        self._known[key] = thing, found
        return found

    def _content(self, thing: object) -> Iterator[bytes]:
        yield _class_name(type(thing)).encode()
        if (exact := _exact(thing)) is not None:
            yield exact
            return
        if isinstance(thing, set | frozenset):
            yield from sorted(self.of(item) for item in thing)
            return
        for name, part in _parts(thing):
            try:
                yield name.encode()
                yield self.of(part)
            except Unknowable as error:
                raise Unknowable(f"{name}: {error}" if name else str(error)) from None


def _hash(*pieces: bytes) -> bytes:
    found = hashlib.blake2b(digest_size=8)
    for piece in pieces:
        found.update(len(piece).to_bytes(8, "little"))
        found.update(piece)
    return found.digest()


def _class_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _exact(thing: object) -> bytes | None:
    """The bytes that a plain value or an array is."""
    of_language = type(thing).__module__ == "typing" or isinstance(thing, np.dtype)
    if type(thing) in _EXACT or of_language:
        return repr(thing).encode()
    if type(thing) is float:
        return struct.pack("d", thing)
    if type(thing) is complex:
        return struct.pack("dd", thing.real, thing.imag)
    if type(thing) is bytes:
        return thing
    if type(thing) is bytearray:
        return bytes(thing)
    if isinstance(thing, jax.core.Tracer):
        raise Unknowable("an array within a compiled function has no values yet")
    if isinstance(thing, jax.Array):
        if jax.dtypes.issubdtype(thing.dtype, jax.dtypes.prng_key):
            return str(thing.dtype).encode() + np.asarray(jax.random.key_data(thing)).tobytes()
        thing = np.asarray(thing)
    if type(thing) in (np.ndarray, np.memmap) or isinstance(thing, np.generic):
        array = np.asarray(thing)
        if array.dtype.kind != "O":
            return f"{array.dtype}{array.shape}".encode() + array.tobytes()
    return None


def _parts(thing: Any) -> Parts:
    """What a thing is made of, where that is more than bytes."""
    if isinstance(thing, np.ndarray):
        yield "", (thing.shape, str(thing.dtype), list(np.asarray(thing).flat))
        yield "", getattr(thing, "__dict__", None)  # of a subclass: a mask, say
    elif isinstance(thing, type):
        yield from code.class_parts(thing)
    elif isinstance(thing, types.FunctionType):
        yield from code.function_parts(thing)
    elif isinstance(thing, types.CodeType):
        yield from code.code_parts(thing)
    elif code.is_module(thing):
        yield from code.module_parts(thing)
    elif (kind := next((k for k in _HELD if isinstance(thing, k)), None)) is not None:
        for name in _HELD[kind]:
            yield "", getattr(thing, name)
    elif isinstance(thing, types.BuiltinFunctionType | types.MethodWrapperType):
        yield from _compiled(thing)
    elif isinstance(thing, _DESCRIPTORS):
        yield "", f"{_class_name(thing.__objclass__)}.{thing.__name__}"
    elif isinstance(thing, np.ufunc):
        if getattr(np, thing.__name__, None) is not thing:
            raise Unknowable(f"{thing} is compiled code that has no name of NumPy's")
        yield "", thing.__name__
    else:
        yield from _object_parts(thing)


def _compiled(function: Any) -> Parts:
    """A function of compiled code, of a library or of an object."""
    owner = getattr(function, "__self__", None)
    if owner is not None and not isinstance(owner, types.ModuleType):
        yield "", (function.__name__, owner)
    elif is_library(top_level(function.__module__)):
        yield "", f"{function.__module__}.{function.__qualname__}"
    else:
        raise Unknowable(f"{function.__module__}.{function.__qualname__} is compiled code")


def _object_parts(thing: Any) -> Parts:
    """The class of an object, and all that it holds."""
    cls = type(thing)
    if isinstance(thing, enum.Enum):
        yield "", (cls, thing.name, thing.value)
    elif isinstance(thing, logging.Logger):
        yield "", thing.name
    elif isinstance(thing, re.Pattern):
        yield "", (thing.pattern, thing.flags)
    elif isinstance(thing, random.Random):
        yield "", (cls, thing.getstate())
    elif isinstance(thing, np.random.Generator):
        yield "", thing.bit_generator.state
    elif isinstance(thing, np.random.RandomState):
        yield "", thing.get_state(legacy=False)
    elif isinstance(thing, pathlib.PurePath):
        yield from _path(thing)
    elif isinstance(thing, weakref.ref):
        yield "", thing()
    elif isinstance(thing, jax.tree_util.PyTreeDef):
        yield "", (thing.node_data(), thing.children())
    elif isinstance(thing, jax.ShapeDtypeStruct):
        yield "", (thing.shape, str(thing.dtype))
    elif cls is not object:
        yield "", cls
        yield from _items(thing)
        yield from _state(thing)


def _items(thing: Any) -> Parts:
    """What a container of the language's holds."""
    if isinstance(thing, dict | types.MappingProxyType | collections.OrderedDict):
        yield "", getattr(thing, "default_factory", None)
        for name, value in thing.items():
            yield "", name
            yield str(name) if isinstance(name, str) else "", value
    elif isinstance(thing, list | tuple | collections.deque):
        yield "", len(thing)
        for item in thing:
            yield "", item


def _state(thing: Any) -> Parts:
    """The attributes of an object, by name; refuses one that holds what these do not say."""
    cls = type(thing)
    if isinstance(thing, dict | list | tuple | collections.deque | types.MappingProxyType):
        own: Mapping[str, object] = getattr(thing, "__dict__", {})
    else:
        slots = [n for base in cls.__mro__ for n in _slots(base)]
        if not hasattr(thing, "__dict__") and not slots and _hidden(cls):
            raise Unknowable(f"{_a(cls)} is of compiled code, whose content can't be read")
        if cls.__basicsize__ > object.__basicsize__ + 8 * (len(slots) + 2):
            raise Unknowable(f"{_a(cls)} holds what can't be read")
        own = {n: getattr(thing, n) for n in slots if hasattr(thing, n)}
        own = {**own, **getattr(thing, "__dict__", {})}
    tops = {top_level(base.__module__) for base in cls.__mro__}
    for name, value in sorted(own.items(), key=lambda item: str(item[0])):
        cached = isinstance(getattr(cls, str(name), None), functools.cached_property)
        if not cached and not any((top, name) in _NUMBERED for top in tops):
            yield str(name), value


def _slots(base: type) -> list[str]:
    slots = vars(base).get("__slots__", ())
    names = [slots] if isinstance(slots, str) else list(slots)
    private = f"_{base.__name__.lstrip('_')}"
    mangled = [f"{private}{n}" if n[:2] == "__" != n[-2:] else n for n in names]
    return [n for n in mangled if n not in ("__dict__", "__weakref__")]


def _hidden(cls: type) -> bool:
    """Whether some class above is not written in Python: its objects have what nobody names."""
    return not all("__slots__" in vars(base) for base in cls.__mro__ if base is not object)


def _path(path: pathlib.PurePath) -> Parts:
    """A path, and what the file holds that it leads to."""
    yield "", str(path)
    if isinstance(path, pathlib.Path) and path.is_dir():
        raise Unknowable(f"the folder {path} may hold other files later")
    if isinstance(path, pathlib.Path) and path.is_file():
        yield "", path.read_bytes()


def _a(cls: type) -> str:
    return f"{'an' if cls.__name__[:1] in 'AEIOUaeiou' else 'a'} {cls.__name__}"
