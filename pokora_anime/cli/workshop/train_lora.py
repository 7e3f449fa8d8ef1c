"""`pokora train lora`: a style or a character of one's own, from a data set to a registered LoRA. Torch-free
until it is trained."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pokora_anime.catalogue.licences import open_ids
from pokora_anime.cli.parser import OneLineParser, between, whole
from pokora_anime.cli.workshop import training_estimate, training_track
from pokora_anime.errors import ConfigError, PokoraError
from pokora_anime.schema.settings import Family
from pokora_anime.system.processor_cores import usable_cores
from pokora_anime.workshop import lora_workshop
from pokora_anime.workshop.data import data_store, picture_sources
from pokora_anime.workshop.data.data_set import DataSet
from pokora_anime.workshop.data.data_store import Stored
from pokora_anime.workshop.judging.style_record import Author
from pokora_anime.workshop.lora_workshop import Assignment, Made
from pokora_anime.workshop.training.lora_settings import (
    LOOKS_WITHOUT_GAIN,
    Layers,
    LoraSettings,
    Role,
    defaults,
)

DESCRIPTION = """Trains a LoRA on a data set, judges it, and registers it with licence and data card. A killed
training goes on where it was when the same command is typed again. Its page, index.html in its folder, shows
the loss and samples while it runs."""
EXAMPLES = """Try
  pokora train lora --data mychar --base nano --role character
  pokora train lora --data mystyle --base sdxl --role style --steps 2000 --rank 16
  pokora train lora --data ink,wash --base nano --role style    # one after the other"""
OUTPUTS = Path("outputs")
PAGE = OUTPUTS / "train" / "lora" / "index.html"  # of several trainings
HELD_OUT = 12  # one picture of so many is not trained on


def main(arguments: Sequence[str]) -> int:
    """Parse, train, judge and register; returns the exit status."""
    typed = _parser().parse_args(list(arguments))
    _refuse_unused(typed)
    tracker = training_track.asked(typed.keys)
    named = _named(typed)
    if typed.estimate or typed.gpu:
        for data, identifier in named:
            settings = _settings(typed, data.data, identifier)
            _tell(training_estimate.page(settings, typed.gpu, typed.device, typed.threads or usable_cores()))
        return 0
    assignments = [_assignment(typed, data, identifier) for data, identifier in named]
    if len(assignments) == 1:
        made = lora_workshop.make(assignments[0], _tell)
        _tell_made(assignments[0], made)
        _track(tracker, assignments[0], made)
        return 0
    page = (typed.work or PAGE.parent) / PAGE.name
    _tell(f"page: {page}")
    several = lora_workshop.make_all(assignments, _tell, page)
    for assignment, one in zip(assignments, several, strict=True):
        if not isinstance(one, PokoraError):
            _tell_made(assignment, one)
            _track(tracker, assignment, one)
    failed = [one for one in several if isinstance(one, PokoraError)]
    return max((one.exit_code for one in failed), default=0)


def _track(tracker: str, assignment: Assignment, made: Made) -> None:
    """Tells the tracker of a training; where that fails, says so."""
    if tracker:
        try:
            training_track.log_training(assignment.settings, made, assignment.work, OUTPUTS)
        except PokoraError as error:
            _tell(error.line())


def _refuse_unused(typed: argparse.Namespace) -> None:
    """What was typed in vain: about encoders that stay as they are, or about pictures and for clips.

    Raises ConfigError CFG-SYNTAX.
    """
    if (typed.text_rank or typed.text_rate) and not typed.train_text_encoder:
        raise ConfigError(
            "CFG-SYNTAX",
            "--text-rank or --text-rate without --train-text-encoder",
            expected="text encoders that are trained",
            fix="--train-text-encoder",
        )
    if Role(typed.role) is not Role.motion:
        return
    words = {
        "--prior": typed.prior,
        "--flip": typed.flip,
        "--no-flip": typed.no_flip,
        "--views": typed.views,
        "--train-text-encoder": typed.train_text_encoder,
    }
    typed_in_vain = [word for word, value in words.items() if value]
    if typed_in_vain:
        raise ConfigError(
            "CFG-SYNTAX",
            f"{', '.join(typed_in_vain)} with --role motion",
            expected="words that mean something for clips: a mirrored pan is the other pan",
            fix=f"leave {', '.join(typed_in_vain)} out",
        )


def _named(typed: argparse.Namespace) -> list[tuple[Stored, str]]:
    """Each data set with the id that its LoRA gets. Raises ConfigError CFG-SYNTAX, DataError DAT-*."""
    names = str(typed.data).split(",")
    ids: list[str] = str(typed.id).split(",") if typed.id else []
    found = [data_store.find(name.strip()) for name in names]
    chosen = [one.strip() for one in ids] or [data.data.id for data in found]
    if len(chosen) != len(found) or len(set(chosen)) < len(chosen):
        raise ConfigError(
            "CFG-SYNTAX",
            f"--data {typed.data}{f' --id {typed.id}' if typed.id else ''}",
            expected="an id of its own for each data set",
            fix=f"--id {','.join(f'{data.data.id}-{number}' for number, data in enumerate(found, 1))}",
        )
    if len(found) > 1 and Role(typed.role) is Role.character and not typed.no_register:
        raise ConfigError(
            "CFG-OWN",
            f"--role character for {len(found)} data sets",
            expected="one: a registered character takes the only slot",
            fix="--no-register, or one command each",
        )
    return list(zip(found, chosen, strict=True))


def _assignment(typed: argparse.Namespace, data: Stored, identifier: str) -> Assignment:
    settings = _settings(typed, data.data, identifier)
    several = "," in typed.data
    root = typed.work or PAGE.parent
    return Assignment(
        settings=settings,
        data=data,
        author=Author(name=typed.author, title=typed.title, licence=_licence(typed.licence, data.data)),
        work=root / settings.id if several or not typed.work else root,
        register=not typed.no_register,
        replace=typed.replace,
        fresh=typed.fresh,
        words=(f"device.threads={typed.threads or usable_cores()}", f"device.kind={typed.device}"),
    )


def _tell_made(assignment: Assignment, made: Made) -> None:
    """What came of it, and what to type next."""
    settings = assignment.settings
    _tell(f"{made.file}: look at {made.page}")
    if not made.registered:
        _tell(f"not registered: pokora models add {made.file} --help")
        return
    if settings.role is Role.motion:
        _tell(f"registered: motion.lora=own:{settings.id} motion.lora_weight=1")
        _tell(f"try it: pokora video base={settings.base.value} motion.lora=own:{settings.id}")
        return
    _tell(
        f"registered: <lora:{settings.id}:0.8> in a prompt, or style.loras=[{{id:{settings.id},weight:0.8}}]"
    )
    base = "" if settings.base is Family.nano else f" base={settings.base.value}"
    _tell(f"try it: pokora video{base} shot.prompt='1girl, waving, beach, <lora:{settings.id}:0.8>'")


def _tell(line: str) -> None:
    print(line, flush=True)


def _licence(typed: str, data: DataSet) -> str:
    """The LoRA's licence: as typed, else the data's where they have one. Raises ConfigError, DataError."""
    if typed:
        picture_sources.check_licence(typed, "--licence")
        return typed
    if len(data.licences) > 1:
        raise ConfigError(
            "CFG-OWN",
            f"{data.name} holds pictures under {' and '.join(data.licences)}",
            expected="the licence that the LoRA is to have",
            fix=f"--licence {data.licences[0]}",
        )
    return data.licences[0]


def _settings(typed: argparse.Namespace, data: DataSet, identifier: str) -> LoraSettings:
    base = Family(typed.base)
    role = Role(typed.role)
    usual = defaults(base, role)
    steps, count = typed.steps or usual.steps, len(data.by_clip() if data.clips else data.entries)
    held_out = typed.held_out if typed.held_out is not None else count // HELD_OUT
    every = typed.every or max(1, steps // (4 if role is Role.motion else 6))
    could_stop = held_out and every * (LOOKS_WITHOUT_GAIN + 1) <= steps
    usual_stop = LOOKS_WITHOUT_GAIN if could_stop else 0
    return LoraSettings(
        id=identifier,
        data=data.name,
        base=base,
        role=role,
        rank=typed.rank,
        steps=steps,
        batch=typed.batch or usual.batch,
        rate=typed.rate or usual.rate,
        dropout=typed.caption_dropout,
        held_out=held_out,
        prior=typed.prior,
        every=every,
        seed=typed.seed,
        layers=Layers(typed.layers) if typed.layers else usual.layers,
        dora=typed.dora,
        flip=typed.flip or (role is Role.style and not typed.no_flip),
        views=typed.views or usual.views,
        trigger=" ".join(typed.trigger.split()),
        early_stop=usual_stop if typed.early_stop is None else typed.early_stop,
        text_rank=(typed.text_rank or typed.rank) if typed.train_text_encoder else 0,
        text_rate=(typed.text_rate or (typed.rate or usual.rate) / 2) if typed.train_text_encoder else 0.0,
    )


def _parser() -> OneLineParser:
    parser = OneLineParser(
        prog="pokora train lora",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", required=True, help="mychar, or mychar@VERSION; several: a,b")
    parser.add_argument("--base", required=True, choices=[family.value for family in Family])
    parser.add_argument("--role", required=True, choices=[role.value for role in Role])
    parser.add_argument("keys", nargs="*", metavar="track=mlflow", help="tell a local MLflow store of it")
    parser.add_argument("--id", default="", help="how prompts name it (default: as the data set)")
    parser.add_argument("--rank", type=whole(1, 128), default=8, help="size of each layer")
    parser.add_argument("--steps", type=whole(1, 100_000), help="default: what fits the base")
    parser.add_argument("--batch", type=whole(1, 64), help="pictures a step (default: what fits the base)")
    parser.add_argument("--rate", type=between(1e-7, 1e9), help="learning rate (default: what fits the base)")
    parser.add_argument("--seed", type=whole(0), default=0)
    parser.add_argument("--trigger", default="", help="a word that calls it; without one it always acts")
    parser.add_argument(
        "--caption-dropout", type=between(0, 1), default=0.1, help="share of captions left out"
    )
    parser.add_argument("--held-out", type=whole(0), help="pictures that it does not see (default: 1 of 12)")
    parser.add_argument(
        "--prior", type=whole(0, 500), default=0, help="pictures of the base's own to keep to"
    )
    parser.add_argument(
        "--early-stop",
        type=whole(0, 1000),
        help="end after so many looks without a lower held-out loss, keep the best (default: 3; 0: never)",
    )
    parser.add_argument("--every", type=whole(1), help="steps between two looks (default: a sixth)")
    parser.add_argument("--layers", choices=[one.value for one in Layers], help="which are changed")
    parser.add_argument("--dora", action="store_true", help="DoRA: magnitude and direction apart")
    parser.add_argument("--train-text-encoder", action="store_true", help="layers in the text encoders too")
    parser.add_argument("--text-rank", type=whole(1, 128), help="of these (default: as --rank)")
    parser.add_argument("--text-rate", type=between(1e-9, 1e9), help="of these (default: half of --rate)")
    parser.add_argument("--flip", action="store_true", help="show mirrored pictures too (styles: always)")
    parser.add_argument("--views", type=whole(1, 32), help="croppings of each picture (nano: 6, others: 2)")
    parser.add_argument("--no-flip", action="store_true", help="never mirror a style's pictures")
    parser.add_argument("--licence", default="", help=f"of the LoRA: {', '.join(open_ids())}")
    parser.add_argument("--author", default="", help="who made it, for the citation")
    parser.add_argument("--title", default="", help="its name, for the citation")
    parser.add_argument("--work", type=Path, help="default: outputs/train/lora/ID")
    parser.add_argument("--fresh", action="store_true", help="begin anew")
    parser.add_argument("--replace", action="store_true", help="take the place of the one that is registered")
    parser.add_argument("--no-register", action="store_true", help="only train and judge")
    parser.add_argument("--threads", type=whole(1), help="default: all cores")
    parser.add_argument("--estimate", action="store_true", help="memory and time, and train nothing")
    parser.add_argument("--gpu", default="", help="with --estimate: a card of the table, or all")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda", "mps"])
    return parser
