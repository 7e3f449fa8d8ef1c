"""The jobs of a sweep before any of them runs: what is typed for each, and its config."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pokora_anime.config.compose import refuse_sweeps, translate, typed
from pokora_anime.config.groups import conf_dir, register_schemas
from pokora_anime.config.identity import to_yaml
from pokora_anime.config.overrides import prepare
from pokora_anime.errors import ConfigError

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override
    from omegaconf import DictConfig

PARTS = ("job", "hydra", "all")  # of a config: a run's own, Hydra's, both


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
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            jobs = list(_each(command, ready)) if multirun else [ready]
            for number, job in enumerate(jobs):
                one = compose(command, overrides=job, return_hydra_config=True)
                apart = " ".join(word for word in job if any(word not in other for other in jobs))
                head = f"---\n# job {number}{': ' if apart else ''}{apart}\n" if multirun else ""
                shown.append(head + _text(command, one, part))
    except (HydraException, OmegaConfBaseException) as error:
        raise translate(error) from error
    return "".join(shown)


def constant(ready: Sequence[str]) -> list[str]:
    """The keys of a run that have one value for all jobs. Raises HydraException."""
    keys = [one.key_or_group for one in _parsed(ready) if not one.is_sweep_override()]
    return [key for key in keys if not key.startswith(("hydra.", "hydra/"))]


def one_at_a_time(ready: Sequence[str]) -> list[str]:
    """What makes joblib, alone in having n_jobs, render one job after the other unless more are typed.

    Two would share the same cores and double the memory.
    """
    launcher = [word.partition("=")[2] for word in ready if word.startswith("hydra/launcher=")]
    return ["hydra.launcher.n_jobs=1"] if launcher in ([], ["joblib"]) else []


def _each(command: str, ready: Sequence[str]) -> Iterator[list[str]]:
    """What is typed for each job, by Hydra's own sweeper and in its order."""
    from hydra import compose
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    fixed = [one.input_line or "" for one in _parsed(ready) if not one.is_sweep_override()]
    sweeper = compose(command, overrides=fixed, return_hydra_config=True).hydra.sweeper
    if not str(sweeper["_target_"]).endswith(".BasicSweeper"):
        raise ConfigError(
            "CFG-SYNTAX",
            "--cfg with a sweeper that chooses its next job by the last one's result",
            expected="jobs that are known before they run",
            fix="leave out hydra/sweeper=",
        )
    listed = [f"{key}={value}" for key, value in (sweeper.params or {}).items()]
    parsed = _parsed([*listed, *ready])
    ours = [one for one in parsed if not one.key_or_group.startswith(("hydra.", "hydra/"))]
    theirs = [word for word in fixed if word.lstrip("+").startswith(("hydra.", "hydra/"))]
    for batch in BasicSweeper.split_arguments(ours, None):
        for job in batch:
            yield [*job, *theirs]


def _parsed(words: Sequence[str]) -> list[Override]:
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser

    hydra = GlobalHydra.instance()
    loader = hydra.config_loader() if hydra.is_initialized() else None  # it finds the options of glob(...)
    return OverridesParser.create(config_loader=loader).parse_overrides(list(words))


def _text(command: str, composed: DictConfig, part: str) -> str:
    from omegaconf import OmegaConf, open_dict

    with open_dict(composed):
        hydra = composed.pop("hydra")
    job = to_yaml(typed(command, composed)) if part != "hydra" else ""
    return job + (OmegaConf.to_yaml({"hydra": hydra}) if part != "job" else "")
