"""Trace the forward of a PyTorch module, and give the module another one instead."""

from __future__ import annotations

import copy
import importlib
import operator
from collections import OrderedDict
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import fx, nn
from torch.fx.proxy import TraceError

from maddjit.integrations.torch.places import HOOKS

_NOT_TRACED = (
    *(TraceError, TypeError, ValueError, AttributeError, RuntimeError, NotImplementedError),
    *(LookupError, AssertionError, ArithmeticError, NameError),
)
"""What the forward of a module raises if it cannot be run on symbols."""

IN_PLACE = (
    *(operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ifloordiv),
    *(operator.imod, operator.ipow, operator.imatmul, operator.iand, operator.ior, operator.ixor),
)
"""Operators that write to their first argument."""


def has_hooks(module: Any) -> bool:
    """Tell whether a call of a module runs hooks."""
    return any(len(getattr(module, name)) for name in HOOKS)


def traced(module: Any, is_leaf: Callable[[Any], bool]) -> Any:
    """Return the torch.fx.Graph of a module's forward, or None where that would not be faithful.

    None is returned for modules of PyTorch, those with hooks or a forward of their own, those whose
    forward decides by values, creates tensors, draws random numbers, sets attributes, or has
    arguments with defaults, and those whose class pickles its objects by itself.

    Parameters
    ----------
    module : nn.Module
        In evaluation mode.
    is_leaf : callable
        Tells of a module inside whether its calls are not looked into. Calls of PyTorch's own
        modules and of those with hooks are not, either.
    """
    tracer = Tracer(is_leaf)
    if tracer.is_leaf_module(module, "") or "forward" in vars(module):
        return None
    kind: Any = type(module)
    if kind.__reduce_ex__ is not object.__reduce_ex__ and "_rewritten" not in vars(kind):
        return None
    random = torch.get_rng_state()
    held = [_Held(part) for part in module.modules() if not is_leaf(part)]
    try:
        graph = tracer.trace(module)
    except _NOT_TRACED:
        return None
    finally:
        drawn = not torch.equal(random, torch.get_rng_state())
        torch.set_rng_state(random)
        changed = [part for part in held if part.changed()]
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    is_open = any(node.args or node.target.startswith("*") for node in inputs)
    return None if drawn or changed or is_open else graph


class _Held:
    """What a module held before its forward was traced: attributes, their contents, and buffers."""

    def __init__(self, part: Any) -> None:
        self.part, self.own = part, dict(vars(part))
        self.contents = {
            name: copy.copy(value)
            for name, value in self.own.items()
            if type(value) in (list, dict, set)
        }
        self.buffers = {
            name: (value, value._version, value.clone())
            for name, value in part._buffers.items()
            if value is not None
        }

    def changed(self) -> bool:
        """Tell whether the trace changed anything, and undo it."""
        found, own = vars(self.part), self.own
        is_changed = found.keys() != own.keys() or any(found[name] is not own[name] for name in own)
        found.clear()
        found.update(own)
        for name, before in self.contents.items():
            value = own[name]
            if not _same(value, before):
                is_changed = True
                value.clear()
                (value.extend if type(value) is list else value.update)(before)
        for value, version, before in self.buffers.values():
            if value._version != version:
                is_changed = True
                value.data.copy_(before)
        return is_changed


def _same(one: Any, other: Any) -> bool:
    """Tell whether two lists, dictionaries or sets hold the same objects."""
    pairs = [(tuple(x), tuple(x.values()) if type(x) is dict else ()) for x in (one, other)]
    ids = [[[id(each) for each in part] for part in pair] for pair in pairs]
    return ids[0] == ids[1]


class Tracer(fx.Tracer):
    """Traces a module, and keeps apart ``x += y`` and ``x = x + y``."""

    def __init__(self, is_leaf: Callable[[Any], bool]) -> None:
        super().__init__()
        self.is_leaf = is_leaf

    def is_leaf_module(self, m: Any, module_qualified_name: str) -> bool:
        """Tell whether the calls of a module are not looked into."""
        if self.is_leaf(m) or has_hooks(m):
            return True
        return bool(super().is_leaf_module(m, module_qualified_name))

    def proxy(self, node: Any) -> Any:
        """Return the symbol of a node."""
        return _Symbol(node, self)


class _Symbol(fx.Proxy):
    """A symbol of a tensor that knows operators which write to it."""


def _written(function: Callable[..., Any]) -> Any:
    def write(self: Any, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", function, (self, other), {})

    return write


for _function in IN_PLACE:
    setattr(_Symbol, f"__{_function.__name__}__", _written(_function))


def rewrite(module: Any, graph: Any) -> None:
    """Let a module compute what a graph says. It gets a subclass of its class, of the same name."""
    code = graph.python_code("self")
    names = {
        name: f"{_MODULE}{value.__name__}" if isinstance(value, ModuleType) else value
        for name, value in code.globals.items()
    }
    base = vars(type(module)).get("_rewritten", (type(module),))[0]
    module.__class__ = _subclass(base, code.src, names)


_MODULE = "module "
"""What stands before the names of Python modules, which cannot be pickled."""


def _subclass(base: type, source: str, names: dict[str, Any]) -> type:
    """Return a subclass with a forward of its own; its objects can be pickled if base's can."""
    space = {
        name: importlib.import_module(value.removeprefix(_MODULE))
        if isinstance(value, str) and value.startswith(_MODULE)
        else value
        for name, value in names.items()
    }
    exec(compile(source, f"<{base.__name__}.forward, rewritten>", "exec"), space)
    own = {
        "forward": space["forward"],
        "__reduce_ex__": _reduced,
        "__module__": base.__module__,
        "__qualname__": base.__qualname__,
        "__doc__": base.__doc__,
        "_rewritten": (base, source, names),
    }
    if issubclass(base, nn.Sequential):
        own["__getitem__"] = _parts
        own |= {name: _plain_first(name) for name in _CHANGES if hasattr(base, name)}
    return type(base.__name__, (base,), own)


def _parts(self: Any, at: Any) -> Any:
    """Return modules of a sequence; a slice is a plain sequence again, with nothing fused."""
    base = type(self)._rewritten[0]
    if isinstance(at, slice):
        return base(OrderedDict(list(self._modules.items())[at]))
    return base.__getitem__(self, at)


_CHANGES = [
    "append",
    "extend",
    "insert",
    "pop",
    "__setitem__",
    "__delitem__",
    "__iadd__",
    "__imul__",
]
"""Methods of a sequence that change which modules it has."""


def _plain_first(name: str) -> Callable[..., Any]:
    """Return a method that calls the one of the class before, whose object the sequence becomes."""

    def change(self: Any, *args: Any) -> Any:
        self.__class__ = type(self)._rewritten[0]
        return getattr(self, name)(*args)

    return change


def _reduced(self: Any, protocol: Any) -> tuple[Any, ...]:
    return _restored, type(self)._rewritten, self.__getstate__()


def _restored(base: Any, source: str, names: dict[str, Any]) -> Any:
    made: Any = _subclass(base, source, names)
    return made.__new__(made)
