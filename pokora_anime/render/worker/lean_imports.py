"""diffusers imported without what a run never uses: two thirds of the time until the first step.

diffusers looks for libraries that extend it (transformers, peft, a compiler) and imports them where they are
installed, and a package of it imports each of its networks. Rendering needs a handful of these networks and
none of the extensions. So while `lean` lasts

- extensions are not there, and diffusers does without, as where they are not installed;
- a package runs its `__init__` only when something is asked of the package itself;
- a module of which only functions are used hands out stand-ins, which import it when they are called.

What is asked for later is imported then, whole. But a compiler would not know what diffusers has to tell it:
a process that compiles or converts networks imports diffusers as it is.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import TypeVar

from pokora_anime.schema.settings import Compile, RunConfig, Runtime

# By the name of diffusers' own switch: peft and transformers extend networks with adapters and pipelines.
_EXTENSIONS = ("_peft_available", "_transformers_available")
_COMPILER = "torch._dynamo"  # asked for a decorator that changes what a compiler sees, and nothing else
_PACKAGES = frozenset(
    f"diffusers.{name}"
    for name in ("hooks", "models.autoencoders", "models.controlnets", "models.transformers", "models.unets")
)
_FUNCTIONS = frozenset({"diffusers.loaders.single_file_utils", "scipy.stats"})

Kind = TypeVar("Kind")


def suits(config: RunConfig) -> bool:
    """Whether a process with lean imports can render this: nothing is compiled or converted in it."""
    return config.device.compile is Compile.off and config.device.runtime is Runtime.torch


@contextmanager
def lean() -> Generator[None, None, None]:
    """Within the block diffusers is imported without extensions, unless it has been imported already."""
    if "diffusers" in sys.modules:
        yield
        return
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        with _without_extensions(), _undecorated():
            yield
    finally:
        sys.meta_path.remove(finder)


@contextmanager
def _without_extensions() -> Generator[None, None, None]:
    from diffusers import utils
    from diffusers.utils import import_utils

    # Every call of a UNet would look for layers of peft: LoRAs are merged here, and there are none.
    utils.USE_PEFT_BACKEND = False
    found = {name: vars(import_utils)[name] for name in _EXTENSIONS if name in vars(import_utils)}
    vars(import_utils).update(dict.fromkeys(found, False))
    try:
        yield
    finally:
        vars(import_utils).update(found)


@contextmanager
def _undecorated() -> Generator[None, None, None]:
    """A function that no compiler may look into is itself: telling a compiler would import it."""
    import torch

    def disable(function: Kind | None = None, recursive: bool = True, *, reason: str | None = None) -> object:
        del recursive, reason
        return function if function is not None else lambda other: other

    kept, torch.compiler.disable = torch.compiler.disable, disable
    try:
        yield
    finally:
        torch.compiler.disable = kept


class _Finder(MetaPathFinder):
    """Finds what is imported in another way than ever."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == _COMPILER and _importer() == "diffusers.utils.torch_utils":
            raise ModuleNotFoundError(f"{fullname} is not imported here", name=fullname)
        if fullname not in _PACKAGES | _FUNCTIONS:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return spec
        spec.loader = _Package(spec.loader) if fullname in _PACKAGES else _Functions()
        return spec


def _importer() -> str:
    """The module whose import statement is being carried out."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return str(frame.f_globals.get("__name__", ""))


class _Package(Loader):
    """Makes a package whose modules can be imported before its own `__init__` has run."""

    def __init__(self, real: Loader) -> None:
        self.real: Loader | None = real

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Unrun(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["_run_later"] = self

    def run(self, module: ModuleType) -> None:
        """Run `__init__`, once."""
        real, self.real = self.real, None
        if real is not None:
            real.exec_module(module)


class _Unrun(ModuleType):
    """A package before its `__init__`, which runs when a name is missed."""

    def __getattr__(self, name: str) -> object:
        if not (name.startswith("__") and name.endswith("__")):
            self.__dict__["_run_later"].run(self)
            if name in self.__dict__:
                return self.__dict__[name]
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")


class _Functions(Loader):
    """Makes a module that hands out stand-ins."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _StandIns(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to run."""


class _StandIns(ModuleType):
    """A module that is imported when something of it is used."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if any(isinstance(finder, _Finder) for finder in sys.meta_path):
            return _StandIn(self, name)
        return getattr(_real(self), name)


class _StandIn:
    """A function, or an object with functions, of a module that is imported when it is used."""

    def __init__(self, module: _StandIns, name: str) -> None:
        self._module, self._name = module, name

    def __call__(self, *given: object, **named: object) -> object:
        return getattr(_real(self._module), self._name)(*given, **named)

    def __getattr__(self, name: str) -> object:
        return getattr(getattr(_real(self._module), self._name), name)


def _real(stand_ins: _StandIns) -> ModuleType:
    """The module itself, in the place of its stand-ins from now on."""
    name = stand_ins.__name__
    if sys.modules.get(name) is stand_ins:
        del sys.modules[name]
    return importlib.import_module(name)
