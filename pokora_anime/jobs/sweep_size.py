"""How many jobs a sweep has, counted before any of them is listed; many of them have to be asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pokora_anime.config.compose import translate, typed
from pokora_anime.errors import ConfigError
from pokora_anime.jobs import sweep_jobs
from pokora_anime.schema.config_groups import COMPOSING, conf_dir, register_schemas

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override, RangeSweep

UNASKED = 200  # jobs that are rendered without --yes
MOST = 10_000  # with it


def count(command: str, ready: Sequence[str], *, yes: bool, out: Path) -> int | None:
    """The number of jobs; None where a sweeper chooses them as it goes.

    Raises ConfigError CFG-SWEEP for none, for more than `UNASKED` without `yes`, and for more than `MOST`.
    """
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    register_schemas()
    try:
        with COMPOSING, initialize_config_dir(str(conf_dir()), version_base="1.3"):
            hydra = sweep_jobs.hydra_part(command, ready)
            if not str(hydra.sweeper["_target_"]).endswith(".BasicSweeper"):
                return None
            params = cast(Mapping[str, object], hydra.sweeper["params"] or {})
            listed = [f"{key}={value}" for key, value in params.items()]
            parsed = {one.key_or_group: one for one in sweep_jobs.parsed([*listed, *ready])}
            sizes = {key: _size(one) for key, one in parsed.items()}
            total = _total(sizes)
            if total > UNASKED:
                _ask(command, list(parsed.values()), sizes, total, yes=yes, out=out)
    except (HydraException, OmegaConfBaseException, RecursionError) as error:
        raise translate(error) from error
    return total


def _size(one: Override) -> int:
    """How many values a word has; counting ends beyond `MOST`. A range is not written out for it."""
    from hydra.core.override_parser.types import RangeSweep

    value = one.value() if one.is_sweep_override() else None
    if isinstance(value, RangeSweep):
        return _length(one.key_or_group, value)
    return sum(1 for _ in islice(one.sweep_iterator(), MOST + 1)) if one.is_sweep_override() else 1


def _length(key: str, of: RangeSweep) -> int:
    """How many numbers a range holds, as Hydra counts them. Raises ConfigError CFG-SWEEP for none."""
    start, stop, step = (0.0 if part is None else float(part) for part in (of.start, of.stop, of.step))
    count = (stop - start) / step if step and all(map(math.isfinite, (start, stop, step))) else 0.0
    if not count > 0:
        raise _empty(key)
    return min(math.ceil(count), MOST + 1)


def _empty(key: str) -> ConfigError:
    return ConfigError(
        "CFG-SWEEP", f"{key} has no value: no job", expected="at least one value", fix=f"{key}=VALUE"
    )


def _total(sizes: Mapping[str, int]) -> int:
    total = 1
    for key, size in sizes.items():
        if size == 0:
            raise _empty(key)
        total *= size
    return total


def _ask(
    command: str, words: Sequence[Override], sizes: Mapping[str, int], total: int, *, yes: bool, out: Path
) -> None:
    if total > MOST:
        raise ConfigError(
            "CFG-SWEEP",
            f"more than {MOST} jobs: {', '.join(key for key, size in sizes.items() if size > 1)}",
            expected=f"at most {MOST}",
            fix="fewer values of a key",
        )
    grid = " x ".join(f"{size} {key}" for key, size in sizes.items() if size > 1)
    if not yes:
        raise ConfigError(
            "CFG-SWEEP",
            f"{total} jobs ({grid}): {_estimate(command, words, total, out)}",
            expected=f"at most {UNASKED} unless they are asked for",
            fix="--yes renders them all; `pokora estimate` with the same words tells more",
        )


def _estimate(command: str, words: Sequence[Override], total: int, out: Path) -> str:
    """Time and disk of all jobs, by the first one."""
    from hydra import compose

    from pokora_anime.devices.forecast import estimate, plan_text
    from pokora_anime.system.files.user_folder import amount, free_space

    first = [_first(one) for one in words if not one.key_or_group.startswith("hydra")]
    config = typed(command, compose(command, overrides=first), first)
    found = estimate.Estimate.of([config] * total, estimate.here(config.device))
    disk = amount(estimate.written([config]) * total)
    time = plan_text.duration(found.seconds)
    return f"about {time} one after the other, {disk} of {amount(free_space(out))} disk at most"


def _first(one: Override) -> str:
    if not one.is_sweep_override():
        return one.input_line or ""
    return f"{one.get_key_element()}={next(iter(one.sweep_string_iterator()))}"
