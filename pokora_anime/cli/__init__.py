"""`pokora`: the command line. Torch-free until something is rendered, trained or measured."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from pokora_anime.errors import ConfigError, PokoraError
from pokora_anime.sandbox.child_environment import WAITING
from pokora_anime.system.terminal import resume_hint


def _video(arguments: list[str]) -> int:
    from pokora_anime.cli.render import render

    return render.main("video", arguments)


def _stills(arguments: list[str]) -> int:
    from pokora_anime.cli.render import render

    return render.main("stills", arguments)


def _sweep(arguments: list[str]) -> int:
    from pokora_anime.cli.render import render

    return render.sweep_main(arguments)


def _list(arguments: list[str]) -> int:
    from pokora_anime.cli.history import list_runs

    return list_runs.main(arguments)


def _show(arguments: list[str]) -> int:
    from pokora_anime.cli.history import show

    return show.main(arguments)


def _open(arguments: list[str]) -> int:
    from pokora_anime.cli.history import open_run

    return open_run.main(arguments)


def _gallery(arguments: list[str]) -> int:
    from pokora_anime.cli.history import gallery_command

    return gallery_command.main(arguments)


def _favourite(arguments: list[str]) -> int:
    from pokora_anime.cli.history import favourite

    return favourite.main(arguments)


def _again(arguments: list[str]) -> int:
    from pokora_anime.cli.history import again

    return again.main(arguments)


def _estimate(arguments: list[str]) -> int:
    from pokora_anime.cli.render import estimate_command

    return estimate_command.main(arguments)


def _check(arguments: list[str]) -> int:
    from pokora_anime.cli.render import check

    return check.main(arguments)


def _verify(arguments: list[str]) -> int:
    from pokora_anime.cli.judge import verify

    return verify.main(arguments)


def _replay(arguments: list[str]) -> int:
    from pokora_anime.cli.judge import replay

    return replay.main(arguments)


def _score(arguments: list[str]) -> int:
    from pokora_anime.cli.judge import score

    return score.main(arguments)


def _reproduce(arguments: list[str]) -> int:
    from pokora_anime.cli.judge import reproduce

    return reproduce.main(arguments)


def _submission(arguments: list[str]) -> int:
    from pokora_anime.cli import submission

    return submission.main(arguments)


def _key(arguments: list[str]) -> int:
    from pokora_anime.cli.judge import key

    return key.main(arguments)


def _doctor(arguments: list[str]) -> int:
    from pokora_anime.cli import doctor

    return doctor.main(arguments)


def _models(arguments: list[str]) -> int:
    from pokora_anime.cli.weights import models

    return models.main(arguments)


def _data(arguments: list[str]) -> int:
    from pokora_anime.cli.workshop import data_command

    return data_command.main(arguments)


def _sound(arguments: list[str]) -> int:
    from pokora_anime.cli import sound_command

    return sound_command.main(arguments)


def _style(arguments: list[str]) -> int:
    from pokora_anime.cli.workshop import style_command

    return style_command.main(arguments)


def _negative(arguments: list[str]) -> int:
    from pokora_anime.cli.workshop import negative_command

    return negative_command.main(arguments)


def _stats(arguments: list[str]) -> int:
    from pokora_anime.cli.history import stats

    return stats.main(arguments)


def _words(arguments: list[str]) -> int:
    from pokora_anime.cli.render import words

    return words.main(arguments)


def _train(arguments: list[str]) -> int:
    from pokora_anime.cli.weights import train

    return train.main(arguments)


def _export(arguments: list[str]) -> int:
    from pokora_anime.cli.weights import export_command

    return export_command.main(arguments)


def _bench(arguments: list[str]) -> int:
    from pokora_anime.cli import bench

    return bench.main(arguments)


def _studio(arguments: list[str]) -> int:
    from pokora_anime.cli import studio_command

    return studio_command.main(arguments)


def _live(arguments: list[str]) -> int:
    from pokora_anime.cli import live_command

    return live_command.main(arguments)


BUG_STATUS = 70  # of a fault of ours: no command has a verdict or a mistake of the user's that ends so

COMMANDS: dict[str, tuple[Callable[[list[str]], int], str]] = {
    "video": (_video, "render an 8-10 s clip from a prompt"),
    "stills": (_stills, "render images, each with the next seed: to pick from"),
    "studio": (_studio, "all of it in a browser on this machine, with a queue and an API"),
    "live": (_live, "an endless clip that follows what you type, in a window of its own"),
    "sweep": (_sweep, "render a small grid (seeds x speeds) and put it on one sheet"),
    "list": (_list, "the runs that are there, newest first: prompt, seed, seconds, score"),
    "show": (_show, "what made a run, a PNG or an MP4, as a command to type"),
    "open": (_open, "open a run's clip, or its page with the score"),
    "gallery": (_gallery, "all runs on one page: play, rank, filter, compare, choose"),
    "favourite": (_favourite, "runs that you like, for the gallery and the submission"),
    "again": (_again, "render what made a run, a PNG or an MP4 once more, with changes"),
    "estimate": (
        _estimate,
        "time, memory, disk and money of a command, here or on a card; nothing is rendered",
    ),
    "check": (_check, "is a config an entry to the contest? Nothing is rendered"),
    "verify": (_verify, "check a run or a bundle against its record and the rules"),
    "replay": (_replay, "compute parts of a run again and compare them"),
    "score": (_score, "how good a clip is: joins, colour, flicker, motion, content, in numbers and plots"),
    "stats": (_stats, "how good and how fast runs were, by style and setting, and what got worse"),
    "reproduce": (_reproduce, "render a bundle's runs again and compare every frame"),
    "submission": (_submission, "from finished runs to one archive that a jury can check"),
    "key": (_key, "the key that signs finished runs"),
    "doctor": (_doctor, "what this machine can do, and what to type next"),
    "models": (_models, "list, fetch, check, cite and add weights"),
    "data": (_data, "drawings of your own as data sets, with licence and source: to train on"),
    "sound": (_sound, "sounds of your own, with licence and source, that a clip moves to"),
    "style": (
        _style,
        "style LoRAs blended into a style of your own: weights, preview, search, one small file",
    ),
    "negative": (_negative, "what to leave out: suggested for a prompt, or searched on the score"),
    "words": (_words, "everything that base=nano can be asked for, with pictures on request"),
    "train": (_train, "train a style or a character of your own, or the nano family from nothing"),
    "export": (_export, "a base's networks as ONNX, Core ML or a Swift package, compared with torch"),
    "bench": (_bench, "measure this machine"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. A user's mistake is one line on stderr."""
    typed = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _dispatch(typed)
    except PokoraError as error:
        if os.environ.get("POKORA_DEBUG"):
            traceback.print_exc()
        _say(error.line())
        return error.exit_code
    except KeyboardInterrupt:
        _say(f"stopped; what is finished stays; to go on: {resume_hint.how()}")
        return 130
    except BrokenPipeError:  # the reader of our output is gone, as in `pokora models list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if os.environ.get("POKORA_DEBUG"):
            traceback.print_exc()
        line = f"BUG-FAULT: {type(error).__name__}: {' '.join(str(error).split())}; log: {_crash_log(typed)}"
        if "--json" in typed:
            print(json.dumps({"error": line, "exit_status": BUG_STATUS}))
        _say(line)
        return BUG_STATUS


def _dispatch(typed: list[str]) -> int:
    from pokora_anime.cli import help_pages

    if not typed or typed[0] in ("-h", "--help", "help"):
        print(help_pages.overview({name: text for name, (_, text) in COMMANDS.items()}))
        return 0
    if typed[0] in ("-V", "--version"):
        from importlib.metadata import version

        print(f"pokora_anime {version('pokora_anime')}")
        return 0
    name, rest = typed[0], typed[1:]
    if name not in COMMANDS:
        from difflib import get_close_matches

        best = get_close_matches(name, COMMANDS, n=1)
        fix = f"did you mean `pokora {best[0]}`?" if best else "`pokora --help`"
        raise ConfigError("CFG-COMMAND", f"unknown command {name!r}", expected="|".join(COMMANDS), fix=fix)
    resume_hint.remember(name, rest)
    return COMMANDS[name][0](rest)


def _say(line: str) -> None:
    # A prompt may hold what the terminal's encoding cannot show; a message must not fail for that.
    encoding = sys.stderr.encoding or "utf-8"
    print(
        f"pokora: {line}".encode(encoding, "backslashreplace").decode(encoding), file=sys.stderr, flush=True
    )


def _crash_log(typed: Sequence[str]) -> str:
    """Where the traceback was written, or why it was not."""
    path = Path(tempfile.gettempdir()) / f"pokora-crash-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    text = f"pokora {' '.join(typed)}\n\n{traceback.format_exc()}"
    try:
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        return f"none ({error.strerror}; POKORA_DEBUG=1 shows the traceback)"
    return str(path)


def console() -> None:
    """The installed command: `main`, and a clean end although a worker thread may be deep in torch."""
    os.environ.setdefault(WAITING, "passive")  # before torch is loaded
    status = main()
    if any(thread.daemon and thread.is_alive() for thread in threading.enumerate()):
        # The interpreter's own end would tear the thread's libraries from under it and abort.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
