"""The jobs of a sweep before any of them runs: what is typed for each, and its config."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

from pokora_anime.config.checks import check
from pokora_anime.config.compose import refuse_sweeps, translate, typed
from pokora_anime.config.overrides import prepare
from pokora_anime.errors import ConfigError
from pokora_anime.schema.config_groups import COMPOSING, conf_dir, register_schemas
from pokora_anime.schema.run_identity import to_yaml
from pokora_anime.schema.settings import RunConfig
from pokora_anime.system.processor_cores import usable_cores

if TYPE_CHECKING:
    from hydra.conf import HydraConf
    from hydra.core.override_parser.types import Override
    from omegaconf import DictConfig

PARTS = ("job", "hydra", "all")  # of a config: a run's own, Hydra's, both
DEFAULT_SWEEP = "sweep=grid"


def with_preset(words: Sequence[str]) -> list[str]:
    """A sweep's words, with the preset that is meant where none is named."""
    named = any(word.startswith("sweep=") for word in words)
    return [*words] if named else [DEFAULT_SWEEP, *words]


def page(command: str, overrides: Sequence[str], part: str, *, multirun: bool) -> str:
    """The configs of all jobs as one YAML document each. Raises ConfigError, PromptError; renders nothing."""
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    ready = prepare(command, overrides, multirun=multirun)
    if multirun:
        ready = [*one_at_a_time(ready), *ready]
    else:
        refuse_sweeps(ready)
    register_schemas()
    shown: list[str] = []
    try:
        with COMPOSING, initialize_config_dir(str(conf_dir()), version_base="1.3"):
            jobs = list(_each(command, ready)) if multirun else [ready]
            for number, job in enumerate(jobs):
                one = compose(command, overrides=job, return_hydra_config=True)
                apart = " ".join(word for word in job if any(word not in other for other in jobs))
                head = f"---\n# job {number}{': ' if apart else ''}{apart}\n" if multirun else ""
                shown.append(head + _text(command, one, part, job))
    except (HydraException, OmegaConfBaseException, RecursionError) as error:
        raise translate(error) from error
    return "".join(shown)


def configs(command: str, overrides: Sequence[str]) -> tuple[list[tuple[str, RunConfig]], int]:
    """What sets each job apart, with its checked config, and how many render side by side; renders nothing.

    Raises ConfigError, PromptError.
    """
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    ready = prepare(command, overrides, multirun=True)
    ready = [*one_at_a_time(ready), *ready]
    register_schemas()
    try:
        with COMPOSING, initialize_config_dir(str(conf_dir()), version_base="1.3"):
            hydra = hydra_part(command, ready)
            words = [[word for word in job if not _of_hydra(word)] for job in _split(hydra, ready)]
            found = _composed(command, words)
    except (HydraException, OmegaConfBaseException, RecursionError) as error:
        raise translate(error) from error
    labels = [" ".join(word for word in job if any(word not in other for other in words)) for job in words]
    return list(zip(labels, found, strict=True)), _at_once(hydra)


def first(command: str, overrides: Sequence[str]) -> RunConfig:
    """The checked config of the first job alone. Raises ConfigError, PromptError."""
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    ready = prepare(command, overrides, multirun=True)
    ready = [*one_at_a_time(ready), *ready]
    register_schemas()
    try:
        with COMPOSING, initialize_config_dir(str(conf_dir()), version_base="1.3"):
            job = next(iter(_split(hydra_part(command, ready), ready)))
            words = [word for word in job if not _of_hydra(word)]
            return typed(command, compose(command, overrides=words), words)
    except (HydraException, OmegaConfBaseException, RecursionError) as error:
        raise translate(error) from error


def _composed(command: str, jobs: Sequence[list[str]]) -> list[RunConfig]:
    """The config of each job. Those that differ in their seed alone are composed once."""
    from hydra import compose

    found: list[RunConfig] = []
    known: dict[tuple[str, ...], RunConfig] = {}
    for job in jobs:
        seeds = [word for word in job if re.fullmatch(r"seed=\d+", word)]
        rest = tuple(word for word in job if word not in seeds)
        alike = known.get(rest)
        if len(seeds) != 1 or alike is None or alike.shot.typed:  # what was typed leaves a choice to the seed
            known[rest] = config = typed(command, compose(command, overrides=job), job)
        else:
            config = copy.deepcopy(alike)
            config.seed = int(seeds[0].removeprefix("seed="))
            check(config)
        found.append(config)
    return found


def _at_once(hydra: HydraConf) -> int:
    """How many jobs the launcher renders side by side; one where it does not say."""
    asked = hydra.launcher.get("n_jobs")
    if not isinstance(asked, int) or asked == 0:
        return 1
    return asked if asked > 0 else max(1, usable_cores() + 1 + asked)


def constant(ready: Sequence[str]) -> list[str]:
    """The keys of a run that have one value for all jobs. Raises HydraException."""
    keys = [one.key_or_group for one in parsed(ready) if not one.is_sweep_override()]
    return [key for key in keys if not _of_hydra(key)]


def several(command: str, word: str) -> bool:
    """Whether a typed word has several values. Raises ConfigError, PromptError."""
    from hydra.errors import HydraException

    try:
        return any(one.is_sweep_override() for one in parsed(prepare(command, [word], multirun=True)))
    except HydraException as error:
        raise translate(error) from error


def one_at_a_time(ready: Sequence[str]) -> list[str]:
    """What makes joblib, alone in having n_jobs, render one job after the other unless more are typed.

    Two would share the same cores and double the memory.
    """
    launcher = [word.partition("=")[2] for word in ready if word.startswith("hydra/launcher=")]
    return ["hydra.launcher.n_jobs=1"] if launcher in ([], ["joblib"]) else []


def _each(command: str, ready: Sequence[str]) -> Iterator[list[str]]:
    """What is typed for each job."""
    return _split(hydra_part(command, ready), ready)


def hydra_part(command: str, ready: Sequence[str]) -> HydraConf:
    """Hydra's own part of the config: launcher and sweeper."""
    from hydra import compose

    fixed = [one.input_line or "" for one in parsed(ready) if not one.is_sweep_override()]
    return compose(command, overrides=fixed, return_hydra_config=True).hydra


def _split(hydra: HydraConf, ready: Sequence[str]) -> Iterator[list[str]]:
    """What is typed for each job, by Hydra's own sweeper and in its order."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    if not str(hydra.sweeper["_target_"]).endswith(".BasicSweeper"):
        raise ConfigError(
            "CFG-SYNTAX",
            "a sweeper that chooses its next job by the last one's result",
            expected="jobs that are known before they run",
            fix="leave out hydra/sweeper=",
        )
    listed = [
        f"{key}={value}" for key, value in cast(dict[str, object], hydra.sweeper["params"] or {}).items()
    ]
    words = parsed([*listed, *ready])
    ours = [one for one in words if not _of_hydra(one.key_or_group)]
    fixed = (one.input_line or "" for one in parsed(ready) if not one.is_sweep_override())
    theirs = [word for word in fixed if _of_hydra(word)]
    for batch in BasicSweeper.split_arguments(ours, None):
        for job in batch:
            yield [*job, *theirs]


def _of_hydra(word: str) -> bool:
    return word.lstrip("+").startswith(("hydra.", "hydra/"))


def parsed(words: Sequence[str]) -> list[Override]:
    """Words by Hydra's grammar. Raises HydraException."""
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser

    hydra = GlobalHydra.instance()
    loader = hydra.config_loader() if hydra.is_initialized() else None  # it finds the options of glob(...)
    return OverridesParser.create(config_loader=loader).parse_overrides(list(words))


def _text(command: str, composed: DictConfig, part: str, words: Sequence[str]) -> str:
    from omegaconf import OmegaConf, open_dict

    with open_dict(composed):
        hydra = composed.pop("hydra")
    job = to_yaml(typed(command, composed, words)) if part != "hydra" else ""
    return job + (OmegaConf.to_yaml({"hydra": hydra}) if part != "job" else "")
