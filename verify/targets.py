"""From the text `file.py:name`, `package.module:name` or a catalogue name to the object it names.

Every failure is a ValueError of one sentence that names the target: it is shown to the person who
typed it.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from ..numeric import AbstractDomain, parse_domain
from .candidates import (
    KINDS,
    Candidate,
    InContextMap,
    MeasureMap,
    is_torch_module,
    on_domain,
)

FORMS = "file.py:name, package.module:name or a name in the catalogue"


def resolve(target: str) -> Any:
    """The object that `target` names; a row of the catalogue is built.

    The file or module is imported, with its folder (or the current one) first on the path, as
    `python file.py` does.

    Raises:
        ValueError: there is no such file, module, name or row, or the import fails; one sentence.

    >>> resolve("softmax-attention").name
    'softmax-attention'
    """
    place, colon, name = target.rpartition(":")
    if target and not colon:
        return _from_catalogue(target)
    if not place.strip(".") or not name:
        raise ValueError(f"expected {FORMS}. Got {target!r}.")
    module = _from_file(Path(place)) if _is_path(place) else _from_module(place)
    return _attribute(module, place, name)


def candidate(target: str, domain: AbstractDomain | None = None) -> Candidate:
    """The candidate that `target` names, on `domain` or on its own; ValueError if it is none.

    A candidate without a name gets that of the target.
    """
    found = as_candidate(resolve(target), target, domain)
    return found if found.name else replace(found, name=target.rpartition(":")[2])


def as_candidate(found: Any, target: str, domain: AbstractDomain | None = None) -> Candidate:
    """`found`, which `target` names, as a candidate; ValueError says how to make it one."""
    if isinstance(found, KINDS):
        return on_domain(found, domain)
    if hasattr(found, "bind"):
        raise ValueError(
            f"{target} is a {type(found).__name__} with unbound parameters; bind them in the file, "
            "as in `bound = pf.Symbolic(G.bind(A=a), pf.Ball(2))`, and verify `bound`."
        )
    if is_torch_module(found):
        raise ValueError(
            f"{target} is a torch module; wrap it in the file, as in "
            "`candidate = pf.torch_module(module, pf.Ball(2))`, and verify `candidate`."
        )
    if callable(found) and hasattr(found, "parameters"):
        kind = getattr(found, "kind", "map")
        if kind != "map":
            raise ValueError(
                f"{target} is a bound {kind.replace('_', ' ')}, no map of measures; a field "
                "is verified through its flow, as in `pf.Flow(fn, pf.Ball(2), field)`."
            )
        if domain is None:
            raise ValueError(f"{target} has no domain; pass one, as in --domain ball:2:1.0.")
        return on_domain(found, domain)
    what = f"the class {found.__name__}" if isinstance(found, type) else type(found).__name__
    wrap = "; wrap it in the file, as in `pf.InContextMap(f, pf.Ball(2))`" * callable(found)
    raise ValueError(f"{target} is no candidate map but {_article(what)}{wrap}.")


def of_origin(origin: Mapping[str, Any]) -> Candidate:
    """The candidate of a stored finding: its target again, or a map around its function.

    Raises:
        ValueError: no file names it, it is gone, or it is now of another kind.
    """
    kind, domain = origin["kind"], parse_domain(origin["domain"])
    place = origin.get("target") or origin.get("function")
    if not place:
        raise ValueError(
            "the candidate is a function that no file names, such as a lambda; "
            "give it a name in a file and verify that."
        )
    found = resolve(place)
    if not origin.get("target"):
        found = _around(found, place, kind, domain)
    found = as_candidate(found, place, domain)
    if type(found).__name__ != kind:
        raise ValueError(
            f"{place} was of kind {kind} when the finding was made and is now "
            f"{type(found).__name__}; verify it again."
        )
    return found


def _around(function: Any, place: str, kind: str, domain: AbstractDomain) -> Any:
    """The candidate in the function's module that holds it, or a new one of that kind."""
    module = sys.modules.get(getattr(function, "__module__", ""))
    for value in vars(module).values() if module else ():
        if type(value).__name__ == kind and getattr(value, "fn", None) is function:
            return value
    for simple in (InContextMap, MeasureMap):
        if simple.__name__ == kind:
            return simple(function, domain)
    raise ValueError(f"{place} is the function of a {kind} that its file does not name; name it.")


def anchored(target: str) -> str:
    """The target with an absolute path, so that it can be found from another folder."""
    place, colon, name = target.rpartition(":")
    return f"{Path(place).resolve()}:{name}" if colon and _is_path(place) else target


def _article(what: str) -> str:
    return what if what.startswith("the ") else f"{'an' if what[0] in 'aeiouAEIOU' else 'a'} {what}"


def _is_path(place: str) -> bool:
    return place.endswith(".py") or os.sep in place


def _from_catalogue(name: str) -> Any:
    from .catalogue import CATALOGUE

    if name in CATALOGUE:
        return CATALOGUE[name].build()
    if _is_path(name):
        raise ValueError(f"expected the name of a map in the file, as in {name}:attention.")
    hint = _nearest(name, CATALOGUE) or f"; expected {FORMS}"
    raise ValueError(f"no map {name!r} in the catalogue{hint}.")


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise ValueError(f"{path} {what}; expected {FORMS}.")
    path = path.resolve()
    _search_first(str(path.parent))
    spec = importlib.util.spec_from_file_location(_module_name(path), path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is no Python file; expected {FORMS}.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # the user's code runs here, and may do anything
        del sys.modules[spec.name]
        raise ValueError(_failed(path.name, error)) from error
    return module


def _module_name(path: Path) -> str:
    """The name that `import` gives the file, or one of its own where that means another module."""
    name = path.stem
    if name.isidentifier():
        here = sys.modules.get(name)
        spec = importlib.util.find_spec(name) if here is None else None
        if str(path) in (getattr(here, "__file__", None), spec and spec.origin):
            return name
    return f"_target_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"


def _from_module(name: str) -> ModuleType:
    _search_first(os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            raise ValueError(f"no module named {error.name!r}; expected {FORMS}.") from error
        raise ValueError(_failed(name, error)) from error
    except (Exception, SystemExit) as error:  # the user's code runs here too
        raise ValueError(_failed(name, error)) from error


def _search_first(folder: str) -> None:
    if folder not in sys.path:
        sys.path.insert(0, folder)


def _failed(place: str, error: BaseException) -> str:
    message = " ".join(str(error).split())
    message = message if len(message) <= 160 else message[:157] + "..."
    if isinstance(error, SyntaxError) and os.path.basename(error.filename or "") == place:
        return f"{place} does not parse: {error.msg} (line {error.lineno})."
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if os.path.basename(frame.filename) == place]
    where = f" (line {lines[0]})" if lines else ""
    kind = type(error).__name__
    said = f": {message.rstrip('.')}" if message else ""
    return f"{place} raised {kind} at import{where}{said}."


def _attribute(module: ModuleType, place: str, name: str) -> Any:
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            names = [key for key, value in vars(module).items() if _may_be_meant(key, value)]
            hint = _nearest(name, names) or _maps_among(module)
            raise ValueError(f"{place} defines no {name!r}{hint}.")
        found = getattr(found, part)
    return found


def _may_be_meant(key: str, value: Any) -> bool:
    return not key.startswith("_") and not isinstance(value, ModuleType)


def _maps_among(module: ModuleType) -> str:
    maps = [key for key, value in vars(module).items() if isinstance(value, KINDS)][:6]
    return f"; its candidates are {', '.join(maps)}" if maps else ""


def _nearest(name: str, names) -> str:
    close = get_close_matches(name, list(names), n=1)
    return f"; did you mean {close[0]!r}" if close else ""
