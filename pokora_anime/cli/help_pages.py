"""Help pages that teach: what a command is for, what can be chosen, five lines to copy."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

OVERVIEW = """pokora: from a text prompt to an anime clip, on any machine.

Usage: pokora COMMAND [key=value ...]

Commands
{commands}

Try
  pokora video
  pokora video shot.prompt='1girl, blue hair, twintails, waving, cherry blossoms' seed=7
  pokora video experiment=preview shot.prompt='1girl, red kimono, sunset'
  pokora sweep
  pokora doctor

`pokora COMMAND --help` says more. A run that was stopped goes on when the same command is typed again."""

VIDEO = """pokora video: render an 8-10 s clip from a prompt.

A prompt becomes a keyframe, the keyframe gives pose and depth maps, and 16-frame segments are chained
from it, interpolated to 24 frames a second and written as MP4. The folder is printed last; the same
command continues a stopped run and reuses a finished one (fresh=true starts anew).

Usage: pokora video [group=option ...] [key=value ...] [options]

Try
  pokora video
  pokora video shot.prompt='1girl, blue hair, twintails, waving, cherry blossoms' seed=7
  pokora video experiment=preview shot.prompt='1girl, red kimono, sunset'
  pokora video base=sdxl speed=hq shot.seconds=10 shot.fps=12
  pokora video --multirun seed=1,2,3 speed=lcm,hq"""

STILLS = """pokora stills: render images, each with the next seed, with their settings as metadata.

The still with a seed is the keyframe of the clip with that seed: look at a dozen, then animate one with
`pokora video --from outputs/stills/NAME#2`. A contest takes one to three.

Usage: pokora stills [group=option ...] [key=value ...] [options]

Try
  pokora stills
  pokora stills count=3 seed=7
  pokora stills shot.prompt='1girl, silver hair, school uniform, night sky'
  pokora stills base=sdxl speed=hq style=pastel
  pokora stills --multirun seed=1,2,3,4"""

SWEEP = """pokora sweep: render a grid of variants, and a gallery to choose from.

The default is two seeds by two speeds, short and small. Any key with several values spans the grid;
one failing render stops no other. `pokora sweep ...` is `pokora video --multirun sweep=grid ...`. The
folder's index.html grows while it renders: play, rank, filter, compare, copy a run's command.

Usage: pokora sweep [key=value,value ...] [options]

Try
  pokora sweep
  pokora sweep seed=1,2,3 speed=lcm
  pokora sweep sweep=draft_then_final keep=3
  pokora sweep sweep=prompts --prompt-file examples/prompts.txt
  pokora sweep hydra.launcher.n_jobs=2"""

CHECK = """pokora check: is a config an entry to the contest? Nothing is loaded or rendered.

The same gate stands before every render. What would bring in an outside image, file, link, latent or
code (GATE-*) is refused there and here. What breaks a contest's numbers (RULE-*) renders, and is no
entry. The last line says: eligible, eligible after review, or not eligible.

Usage: pokora check [video|stills] [group=option ...] [key=value ...] [--json]

Try
  pokora check
  pokora check experiment=contest_sdxl
  pokora check base=sdxl speed=hq shot.seconds=12
  pokora check stills base=sdxl count=3
  pokora check experiment=contest_sdxl_fast --json

Options
  --json              the findings as JSON
  --prompt TEXT       the same as shot.prompt=TEXT
  --prompt-env NAME   take shot.prompt from this environment variable, as it is
  -h, --help          this page

Exit status: 0 nothing is against the rules, 1 something is, 2 the command line cannot be read.
A base for rendering only, such as nano, is against no rule and not eligible.
Groups and keys are those of `pokora video --help`; `pokora video --help keys` explains each key."""

ESTIMATE = """pokora estimate: what a command would take: time, memory, disk, money. Nothing is rendered.

The same checks, the same counted work and the same forecast as before a render. This machine's rates are
assumed until `pokora bench rates` has measured them. Those of cards, and prices with their day, are in
conf/cards.yaml; cards.yaml in the data folder (~/.local/share/pokora_anime) overrides it.

Usage: pokora estimate [video|stills|sweep] [group=option ...] [key=value ...] [--gpu NAME|all] [--json]

Try
  pokora estimate
  pokora estimate video base=sdxl speed=hq --gpu RTX4090
  pokora estimate video experiment=contest_sdxl --gpu all
  pokora estimate stills base=sdxl count=3 --json
  pokora estimate sweep seed=1,2,3 speed=lcm,hq hydra.launcher.n_jobs=2

Options
  --gpu NAME|all      a card of the table, or a row for each
  --json              seconds, bytes and dollars as JSON
  -m, --multirun      every combination of comma-separated values, as `pokora video --multirun`
  --out DIR           where run folders would go: how much is free there
  -h, --help          this page

Groups and keys are those of `pokora video --help`; `pokora video --help keys` explains each key."""

OPTIONS = """Options
  --out DIR           where run folders go (default: ./outputs)
  --from STILL        pokora video: prompt, seed and settings of a still, outputs/stills/NAME#2 or its
                      PNG, whose picture is drawn again as the clip's keyframe and never read
  -m, --multirun      render every combination of comma-separated values
  --prompt TEXT       the same as shot.prompt=TEXT
  --prompt-env NAME   take shot.prompt from this environment variable, as it is
  --prompt-file FILE  a multirun of the prompts in a text file, one a line
  --yes               of a sweep: render more than 200 jobs
  --open              of a sweep: show its gallery on the desktop
  --cfg [PART]        print the composed config, with --multirun each job's, and stop
                      (PART: job, hydra or all)
  -h, --help [WORD]   this page, or what WORD is: `keys` (all of them), a section or a key
                      (--help motion, --help motion.overlap)"""

PROMPTS = """Prompts
  Everything behind shot.prompt= (and shot.negative=, shot.prefix=) is taken as typed: commas, parentheses,
  quotes, $, <lora:name:0.8>, any script. Only your shell sees it first, so put it in single quotes.
  (word:1.2) and (word) count more, [word] less; BREAK begins a new chunk of 75 tokens, which else end at
  commas. Of {red|blue} hair the seed takes one; with --multirun each is rendered. A bracket after \\ is a
  letter. `0: 1girl, 24: 1girl, waving` goes from one prompt to the next by generated frames.
  With --multirun, shot.prompt=["one", "two"] is a list of prompts; a single prompt needs no brackets.
  base=nano knows the words of `pokora words` alone."""

MULTIRUN = """Multirun
  hydra.launcher.n_jobs=2 renders two at once. On a Slurm cluster install `pokora_anime[slurm]` and add
  hydra/launcher=submitit_slurm; with Ray `pokora_anime[ray]`, then `pip install --no-deps hydra-ray-launcher`
  (its own pins are older than what else is needed here), and add hydra/launcher=ray.
  keep=3, with sweep=draft_then_final: how many drafts are rendered once more, the best by score."""

_PAGES = {"video": VIDEO, "stills": STILLS, "sweep": SWEEP}


def overview(commands: Mapping[str, str]) -> str:
    """The page of `pokora --help`."""
    return OVERVIEW.format(commands="\n".join(f"  {name:10} {text}" for name, text in commands.items()))


def page(command: str, topic: str = "") -> str:
    """The page of `pokora video|stills|sweep --help [TOPIC]`; groups and keys are from conf/ and the schema.

    `topic` is `keys`, a section or a key. Raises ConfigError CFG-KEY for one that does not exist.
    """
    composed = "video" if command == "sweep" else command
    if topic:
        from pokora_anime.cli import key_pages

        return key_pages.page(composed, topic)
    parts = [_PAGES[command], _groups(composed), _keys(composed), PROMPTS, OPTIONS]
    return "\n\n".join([*parts, MULTIRUN])


def _groups(command: str) -> str:
    from pokora_anime.schema.config_groups import defaults, groups, purpose

    chosen = defaults(command)
    lines = ["Groups (* is the default)"]
    for group, options in groups(command).items():
        for index, option in enumerate(options):
            mark = "*" if chosen.get(group) == option else " "
            lines.append(
                f"  {group if index == 0 else '':11}{mark} {option:17} {_short(purpose(group, option))}"
            )
    return "\n".join(lines)


def _keys(command: str) -> str:
    from pokora_anime.schema.config_groups import keys

    named: dict[str, list[str]] = {}
    for key in keys(command):
        section, dot, name = key.rpartition(".")
        named.setdefault(section + dot, []).append(name)
    lines = [
        f"Keys (key=value; `pokora {command} --help keys` explains each, `--help shot` those of a section)"
    ]
    for section, names in named.items():
        first, *others = textwrap.wrap(" ".join(names), 84, break_on_hyphens=False)
        lines += [f"  {section:18} {first}", *(f"  {'':18} {other}" for other in others)]
    return "\n".join(lines)


def _short(text: str, width: int = 77) -> str:
    sentence = text.split(". ")[0].rstrip(".:")
    return sentence if len(sentence) <= width else f"{sentence[: width - 3]}..."
