"""What the official SDK's classes say about an object, compared with one that was sent.

Stripe generates the classes from its description of the API. A field without `Optional` has to be
there and not null, a `Literal` lists all values, and a key that no class knows is a mistake.
"""

import functools
import importlib
import inspect
import typing
from typing import Any

import stripe
import typing_extensions
from stripe._object_classes import OBJECT_CLASSES

Json = dict[str, Any]
LITERALS = (typing.Literal, typing_extensions.Literal)
CLASSES = {
    kind: getattr(importlib.import_module(module), name)
    for kind, (module, name) in OBJECT_CLASSES.items()
}
# Recorded, though the classes do not have it.
RECORDED = {"card": {"email", "phone", "wallet"}, "ephemeral_key": {"associated_objects"}}


def _name_in_others(cls: type) -> str:
    """Beside a class of its own with that name a module says `CardResource` or
    `IssuingDisputeResource`.
    """
    folders = cls.__module__.split(".")[1:-1]
    return "".join(folder.title() for folder in folders) + f"{cls.__name__}Resource"


# Two classes may share a name: an annotation means the one that `stripe` itself exports.
BY_DEPTH = sorted(CLASSES.values(), key=lambda cls: -cls.__module__.count("."))
NAMED = {cls.__name__: cls for cls in BY_DEPTH}
NAMED |= {_name_in_others(cls): cls for cls in BY_DEPTH}


def problems_of(sent: Json) -> list[str]:
    """One line for each field that is not as the SDK's class of the object's name has it."""
    kind = sent["object"]
    if kind in ("list", "search_result"):
        return [*_list_problems(sent), *(line for one in sent["data"] for line in problems_of(one))]
    if sent.get("deleted"):
        return [] if set(sent) == {"id", "object", "deleted"} else [f"{kind}: {sorted(sent)}"]
    return _object_problems(CLASSES[kind], sent, kind)


def _list_problems(sent: Json) -> list[str]:
    needed = {"object", "data", "has_more", "url"}
    known = needed | {"count", "total_count", "next_page"}
    return [f"list.{name}" for name in (needed - set(sent)) | (set(sent) - known)]


@functools.cache
def _fields(cls: type) -> Json:
    """The annotations of a class, with those of the classes inside it resolved."""
    inner = {name: value for base in cls.__mro__ for name, value in vars(base).items()
             if inspect.isclass(value)}  # fmt: skip
    hints = typing.get_type_hints(cls, localns=NAMED | inner)
    return {
        name: hint
        for name, hint in hints.items()
        if not name.startswith("_") and typing.get_origin(hint) is not typing.ClassVar
    }


def _object_problems(cls: type, sent: Any, path: str) -> list[str]:
    if not isinstance(sent, dict):
        return [f"{path}: {type(sent).__name__} instead of an object"]
    fields = _fields(cls)
    known = set(fields) | RECORDED.get(vars(cls).get("OBJECT_NAME", ""), set())
    found = [f"{path}.{name}: unknown" for name in sent if fields and name not in known]
    for name, hint in fields.items():
        if name in sent:
            found += _problems(hint, sent[name], f"{path}.{name}")
        elif not _may_be_missing(hint):
            found.append(f"{path}.{name}: missing")
    return found


def _may_be_missing(hint: Any) -> bool:
    return hint is Any or type(None) in typing.get_args(hint)


def _problems(hint: Any, value: Any, path: str) -> list[str]:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or isinstance(hint, typing.TypeVar):
        return []
    if origin is typing.Union:
        if any(typing.get_origin(one) in LITERALS for one in args):
            args = tuple(one for one in args if one is not str)  # open for values to come
        return min((_problems(one, value, path) for one in args), key=len)
    if origin in LITERALS:
        return [] if value in args else [f"{path}: {value!r} is none of its values"]
    if origin is list:
        if not isinstance(value, list):
            return [f"{path}: {value!r} instead of a list"]
        return [line for i, one in enumerate(value)
                for line in _problems(args[0], one, f"{path}[{i}]")]  # fmt: skip
    cls = origin or hint
    if issubclass(cls, stripe.ListObject):
        return problems_of(value) if isinstance(value, dict) else [f"{path}: {value!r}"]
    if issubclass(cls, stripe.StripeObject):
        return _object_problems(cls, value, path)
    wanted = (int, float) if cls is float else cls
    is_right = isinstance(value, wanted) and (cls is bool or not isinstance(value, bool))
    return [] if is_right else [f"{path}: {value!r} instead of {cls.__name__}"]
