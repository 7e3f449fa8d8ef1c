"""What may be typed: each word of a command line, judged before Hydra sees any of them.

One function a rule, `Word -> Finding | None`. Prompts are not judged here: they are quoted literally
(config/overrides.py) and looked at as text once the config is composed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from pokora_anime.findings import Finding, Severity
from pokora_anime.rules import named_refusals, text_rules
from pokora_anime.schema.config_groups import of_map, prompt_lists

LAUNCHERS = ("basic", "joblib", "submitit_local", "submitit_slurm", "ray")
# How jobs are spread over machines; nothing here can name a file, a command or a class.
HYDRA_KEYS = (
    "hydra.launcher.n_jobs",
    "hydra.launcher.timeout_min",
    "hydra.launcher.cpus_per_task",
    "hydra.launcher.gpus_per_node",
    "hydra.launcher.gpus_per_task",
    "hydra.launcher.tasks_per_node",
    "hydra.launcher.nodes",
    "hydra.launcher.mem_gb",
    "hydra.launcher.partition",
    "hydra.launcher.qos",
    "hydra.launcher.account",
    "hydra.launcher.constraint",
    "hydra.launcher.array_parallelism",
    "hydra.launcher.ray.init.num_cpus",
    "hydra.launcher.ray.init.num_gpus",
    "hydra.launcher.ray.remote.num_cpus",
    "hydra.launcher.ray.remote.num_gpus",
    "hydra.sweeper.max_batch_size",
    "hydra.sweeper.n_trials",
    "hydra.sweeper.n_jobs",
    "hydra.sweeper.direction",
)
_HYDRA_GROUPS = {"hydra/launcher": LAUNCHERS, "hydra/sweeper": ("basic", "optuna")}
_HYDRA_VALUE = re.compile(r"[\w.:|-]{1,64}", re.ASCII)
_FOREIGN_OPTIONS = re.compile(
    r"(--config-dir|-cd|--config-path|-cp|--config-name|-cn|--experimental-rerun|--package|-p)(=.*)?",
    re.DOTALL,
)
_INSTANTIATION = re.compile(r"_(?:target|partial|args|convert|recursive|mode)_")
_INTERPOLATION = re.compile(r"(?<!\\)(?:\\\\)*\$\{")  # behind an odd number of backslashes it is text
_MAP = re.compile(r"\{([^{}]*)\}")
# Names of what diffusers' pipelines take besides text and numbers: (code, names, what it is).
_INPUTS = (
    ("GATE-CALLBACK", r"callback", "code that runs between steps"),
    (
        "GATE-CODE",
        r"custom_pipeline|custom_revision|trust_remote_code|processor|safety_checker",
        "foreign code",
    ),
    ("GATE-KWARGS", r"kwargs", "arguments for inside the networks"),
    ("GATE-EMBEDDING", r"embed|textual_inversion|ip_adapter_weight", "an embedding"),
    ("GATE-LATENT", r"latent|noise|sigmas|timesteps", "latents or noise"),
    ("GATE-IMAGE", r"image|img|mask|sketch|picture|photo|conditioning|ip_adapter|video|_map\b", "an image"),
    ("GATE-FILE", r"path|file|folder|_dir\b|^dir$|url|checkpoint|ckpt|pretrained|repo", "a file or place"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Word:
    """One typed word, taken apart: `sign` is what precedes the key (+, ++, ~), `known` a key that exists.

    `value` has '' in place of each quoted prompt in a list: prose is judged as text once it is composed.
    """

    typed: str
    sign: str
    key: str
    value: str
    known: bool


Rule = Callable[[Word], Finding | None]


def read(typed: str, known: Collection[str] = ()) -> Word:
    """Take a word apart; `known` are the keys and groups that the command has."""
    key, _, value = typed.partition("=")
    plain = key.lstrip("+~ ").rstrip()
    return Word(
        typed=typed,
        sign=key.strip()[: len(key.strip()) - len(plain)],
        key=plain,
        value=_without_prose(plain, value),
        known=plain in known or of_map(plain),
    )


def _without_prose(key: str, value: str) -> str:
    """A value without the quoted prompts of its entries. Quotes end where Hydra's grammar ends them."""
    name = prompt_lists().get(key)
    if name is None:
        return value
    text = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
    return re.sub(rf"([{{,]\s*{name}\s*:\s*)(?:{text})(?=\s*[,}}])", r"\1''", value)


def judge(word: Word) -> list[Finding]:
    """All that is wrong with one word."""
    return [found for rule in RULES if (found := rule(word))]


def foreign_options(arguments: Iterable[str]) -> list[Finding]:
    """Hydra's options that would compose another folder's files."""
    return [
        _finding(
            "GATE-CONFIG",
            "configuration from elsewhere",
            typed,
            expected="key=value and group=option: what can be chosen lies in conf/",
            fix="put a preset into conf/experiment/ of your checkout",
        )
        for typed in arguments
        if _FOREIGN_OPTIONS.fullmatch(typed)
    ]


def characters(word: Word) -> Finding | None:
    """Control, direction and invisible characters."""
    found = text_rules.judge(text_rules.CHARACTERS, word.typed, word.key) if "=" in word.typed else []
    return found[0] if found else None


def callbacks(word: Word) -> Finding | None:
    """Hydra runs the classes that hydra.callbacks names."""
    if not re.match(r"hydra[./]callbacks\b", word.key):
        return None
    return _refused(word, "GATE-CALLBACK", "a Hydra callback runs code", "no callbacks")


def search_path(word: Word) -> Finding | None:
    """hydra.searchpath brings in folders of configs."""
    if "searchpath" not in word.key:
        return None
    return _refused(word, "GATE-CONFIG", "configuration from elsewhere", "the groups of conf/ alone")


def hydra_settings(word: Word) -> Finding | None:
    """Hydra's own settings, but for launching jobs."""
    if not _of_hydra(word) or callbacks(word) or search_path(word):
        return None
    fits = word.sign != "~" and _HYDRA_VALUE.fullmatch(word.value)
    if word.key in HYDRA_KEYS and fits:
        return None
    if fits and word.value in _HYDRA_GROUPS.get(word.key, ()):
        return None
    return _refused(
        word,
        "GATE-HYDRA",
        "a setting of Hydra's that is not open",
        f"hydra/launcher={'|'.join(LAUNCHERS)} or one of {', '.join(HYDRA_KEYS)} with a plain value",
    )


def instantiation(word: Word) -> Finding | None:
    """`_target_` and its kin choose what code runs."""
    if not _INSTANTIATION.search(word.typed):
        return None
    return _refused(word, "GATE-TARGET", "a config cannot choose what code runs", "no _target_")


def interpolation(word: Word) -> Finding | None:
    """`${...}` would read other keys or the environment."""
    if not _INTERPOLATION.search(word.typed):
        return None
    return _refused(word, "GATE-INTERPOLATION", "interpolation in a typed value", "the value itself")


def contest_numbers(word: Word) -> Finding | None:
    """A contest's limits come from its file."""
    if not re.match(r"contest[.@/]", word.key):
        return None
    return _refused(word, "GATE-CONTEST", "the limits of a contest cannot be typed", "contest=NAME")


def inputs(word: Word) -> Finding | None:
    """A key that does not exist and asks for an image, latents, embeddings, callbacks or code."""
    if word.known or _of_hydra(word) or not re.fullmatch(r"[\w./@:-]+", word.key):
        return None
    key = word.key.lower()
    if asked := named_refusals.camera(word.key, word.value):
        return _named(word, asked)
    if asked := named_refusals.portrait(word.key):
        return _named(word, asked)
    for code, names, what in _INPUTS:
        if any(re.search(names, part) for part in re.split(r"[./@:]", key) if not part.startswith("num_")):
            if code == "GATE-IMAGE" and (asked := named_refusals.key(word.key)):
                return _named(word, asked)
            return _finding(
                code,
                f"a run takes text, seeds and registered weights, and never {what}",
                word.typed,
                expected="a key of `--help`",
                fix="say it in words: shot.prompt='...'",
            )
    return None


def _named(word: Word, asked: named_refusals.Refusal) -> Finding:
    """The answer to what people ask for by name."""
    return _finding("GATE-IMAGE", asked.why, word.typed, expected="text, numbers and names", fix=asked.way)


def duplicate_keys(word: Word) -> Finding | None:
    """`{id:a,id:b}`: of two equal keys the last would win without a word."""
    for inner in _MAP.findall(word.value):
        names = [entry.partition(":")[0].strip().strip("'\"") for entry in inner.split(",") if entry.strip()]
        if len(set(names)) < len(names):
            return _refused(word, "GATE-DUPLICATE", "a key that occurs twice", "each key once")
    return None


def data(word: Word) -> Finding | None:
    """Encoded bytes in a value."""
    if not re.search(r"[A-Za-z]", word.value):
        return None  # a sweep over many seeds
    return text_rules.data_uri(word.value, word.key) or text_rules.encoded(word.value, word.key)


def url(word: Word) -> Finding | None:
    """A link in a value."""
    return text_rules.url(word.value, word.key)


def path(word: Word) -> Finding | None:
    """A file name or place in a value; keys and options are plain names."""
    if url(word) or data(word) or _of_hydra(word):
        return None
    if not (
        re.search(r"[/\\]|\.\.|(?:^|[=,\[({:'\"])~", word.value) or text_rules.path(word.value, word.key)
    ):
        return None
    expected = "a number, a name of `--help` or a registry id"
    told = word.known and not word.key.startswith("keyframe.")  # which takes words, whatever they name
    asked = None if told else named_refusals.key(word.key)
    if asked is not None:
        return _finding("GATE-PATH", asked.why, word.typed, expected=expected, fix=asked.way)
    return _refused(word, "GATE-PATH", "a file name or path", expected)


def look_alike(word: Word) -> Finding | None:
    """Letters outside ASCII where names and numbers stand."""
    return text_rules.look_alike(word.value, word.key) if word.known else None


RULES: tuple[Rule, ...] = (
    characters,
    callbacks,
    search_path,
    hydra_settings,
    instantiation,
    interpolation,
    contest_numbers,
    inputs,
    duplicate_keys,
    data,
    url,
    path,
    look_alike,
)


def _of_hydra(word: Word) -> bool:
    return re.match(r"hydra(?!\w)", word.key) is not None


def _refused(word: Word, code: str, message: str, expected: str) -> Finding:
    return _finding(
        code, message, word.typed, expected=expected, fix=f"leave out {_short(word.sign + word.key)}"
    )


def _finding(code: str, message: str, got: str, *, expected: str, fix: str) -> Finding:
    return Finding(
        code=code,
        severity=Severity.block,
        message=message,
        got=_short(got),
        expected=expected,
        fix=fix,
        where="command line",
    )


def _short(typed: str) -> str:
    return typed if len(typed) <= 80 else f"{typed[:77]}..."
