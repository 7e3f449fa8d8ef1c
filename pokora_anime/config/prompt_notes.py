"""What is said of a prompt before anything is rendered: what of it is not read, and what was chosen.

None of it bars a render or an entry. Torch-free.
"""

from __future__ import annotations

from pokora_anime.findings import Finding, Severity
from pokora_anime.prompt import open_words, unknown_words
from pokora_anime.prompt.prompt_syntax import parse_shot
from pokora_anime.schema.settings import Family, RunConfig, SpeedConfig, VideoConfig
from pokora_anime.timeline import choreography_plan, still_seeds


def findings(config: RunConfig) -> list[Finding]:
    """Notes PRM-UNREAD, PRM-UNKNOWN and PRM-CHOSEN about a checked config."""
    return [*_unread(config), *_unknown(config), *_chosen(config)]


def lines(config: RunConfig) -> list[str]:
    """The same, one line each."""
    return [f"{one.message}: {one.got}" + (f"; {one.fix}" if one.fix else "") for one in findings(config)]


def guided(speed: SpeedConfig) -> bool:
    """Whether any step is taken with CFG, which alone reads the negative prompt."""
    shares = (step / speed.steps for step in range(speed.steps))
    return speed.guidance_scale > 1.0 and any(
        speed.guidance_start <= share < speed.guidance_end for share in shares
    )


def _unread(config: RunConfig) -> list[Finding]:
    speed = config.speed
    if not config.shot.negative.strip(" ,") or guided(speed):
        return []
    distilled = (speed.lora_role or "").startswith(("lightning", "turbo"))
    if speed.guidance_scale > 1.0:
        got = f"speed.guidance_start={speed.guidance_start:g} to speed.guidance_end={speed.guidance_end:g}"
        fix = "speed.guidance_start=0 speed.guidance_end=1"
    else:
        got = f"speed.guidance_scale={speed.guidance_scale:g}"
        fix = "speed=hyper" if distilled else "speed.guidance_scale=1.5"
    message = "the negative prompt is not read, because no step has CFG"
    return [
        _note(
            "PRM-UNREAD", message, got, f"to have it read: {fix}; without it: shot.negative=", "shot.negative"
        )
    ]


def _unknown(config: RunConfig) -> list[Finding]:
    if config.base.family is not Family.nano:
        return []
    moves: tuple[str, ...] = ()
    if isinstance(config, VideoConfig) and choreography_plan.wanted(config):
        from pokora_anime.choreography.action_words import forms

        moves = forms()
    told = unknown_words.line(parse_shot(config.shot)[0].text, moves)
    if not told:
        return []
    fix = "`pokora words` shows what it draws"
    return [_note("PRM-UNKNOWN", "nano does not know and will not draw", told, fix, "shot.prompt")]


def _chosen(config: RunConfig) -> list[Finding]:
    found: list[Finding] = []
    if config.shot.typed:
        message, got = f"chosen by seed {config.seed}", config.shot.prompt
        found.append(_note("PRM-CHOSEN", message, got, "--multirun renders each way", "shot.prompt"))
    each = still_seeds.each(config)
    for one in each:
        if words := open_words.chosen(one):
            fix = "name them in the prompt, or base.fill_open=false" if one is each[-1] else ""
            message = f"chosen by seed {one.seed} for what the prompt leaves open"
            found.append(_note("PRM-CHOSEN", message, words, fix, "shot.prompt"))
    return found


def _note(code: str, message: str, got: str, fix: str, where: str) -> Finding:
    return Finding(code=code, severity=Severity.note, message=message, got=got, fix=fix, where=where)
