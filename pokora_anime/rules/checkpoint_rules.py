"""A contest's rules about checkpoints: the base, LoRAs, licences. `Case -> findings`, one function each."""

from __future__ import annotations

from collections.abc import Iterator

from pokora_anime.catalogue import registry
from pokora_anime.findings import Finding, Severity
from pokora_anime.rules.case import Case
from pokora_anime.rules.wording import block, nearest, review
from pokora_anime.schema.settings import VideoConfig


def base(case: Case) -> Iterator[Finding]:
    """The base is one of the contest's."""
    limits, weights = case.limits, case.config.base.weights
    own = any(use.kind == "base" and use.weights and use.weights.own for use in case.uses)
    if weights in limits.bases or (own and limits.own_bases):
        return
    render_only = weights in limits.render_only
    message = "another base than the contest's" if own else "no base of the contest"
    yield Finding(
        code="RULE-BASE",
        severity=Severity.note if render_only else Severity.block,
        message="renders, and is no base of the contest" if render_only else message,
        got=weights,
        expected=" or ".join(limits.bases),
        fix="base=sdxl",
        where="base.weights",
        ineligible=True,
    )


def speed_lora(case: Case) -> Iterator[Finding]:
    """The speed LoRA is that of the mode, and none where the mode has none."""
    config, mode = case.config.speed, case.limits.speeds.get(case.config.speed.name)
    if mode is None:
        return
    used = next((weights.role for _, weights in case.loras("speed_lora")), config.lora_role)
    if used != mode.lora_role:
        yield block(
            "RULE-SPEED-LORA",
            f"not the speed LoRA of the mode {config.name}",
            "speed.lora_role",
            used or "null",
            mode.lora_role or "null",
        )


def style_lora_count(case: Case) -> Iterator[Finding]:
    """Not too many style LoRAs at once; speed and motion LoRAs are counted apart."""
    names = [weights.id for _, weights in case.loras("style_lora")]
    most = case.limits.max_style_loras
    if len(names) > most:
        yield block(
            "RULE-LORA-COUNT",
            "too many style LoRAs",
            "style.loras",
            f"{len(names)} ({', '.join(names)})",
            f"at most {most}",
            fix="leave out a <lora:...> tag, or style=none",
        )


def style_lora_weight(case: Case) -> Iterator[Finding]:
    """Each style LoRA's weight is in its role's range; a role that the rules do not name is asked about."""
    for use, weights in case.loras("style_lora"):
        allowed = case.limits.style_weights.get(weights.role)
        if allowed is None:
            known = ", ".join(case.limits.style_weights)
            yield review(
                "RULE-LORA-ROLE",
                "a style LoRA whose role the rules do not name",
                use.where,
                weights.id,
                known,
            )
        elif use.strength is not None and not allowed.low <= use.strength <= allowed.high:
            yield block(
                "RULE-LORA-WEIGHT",
                f"the weight of {use.name}",
                use.where,
                f"{use.strength:g}",
                f"{allowed.low:g} to {allowed.high:g}",
                fix=f"<lora:{use.name}:{nearest(use.strength, allowed.low, allowed.high):g}>",
            )


def style_lora_timeline(case: Case) -> Iterator[Finding]:
    """So it is at every key point of a timeline."""
    config = case.config
    for point in config.timeline.lora if isinstance(config, VideoConfig) else []:
        allowed = case.limits.style_weights.get(registry.style_role(point.id))
        if allowed is not None and not allowed.low <= point.value <= allowed.high:
            yield block(
                "RULE-LORA-WEIGHT",
                f"the weight of {point.id} at frame {point.frame}",
                "timeline.lora",
                f"{point.value:g}",
                f"{allowed.low:g} to {allowed.high:g}",
            )


def style_lora_absent(case: Case) -> Iterator[Finding]:
    """A style that only other bases have is left out."""
    for use in case.uses:
        if use.kind == "style_lora" and use.weights and case.family not in use.weights.families:
            yield Finding(
                code="RULE-LORA-ABSENT",
                severity=Severity.note,
                message=f"base={case.family} has no LoRA of this style, so it is left out",
                got=use.name,
                where=use.where,
            )


def motion_lora_count(case: Case) -> Iterator[Finding]:
    """At most one motion LoRA."""
    names = [weights.id for _, weights in case.loras("motion_lora")]
    most = case.limits.max_motion_loras
    if len(names) > most:
        got, expected = f"{len(names)} ({', '.join(names)})", f"at most {most}"
        yield block("RULE-MOTION-LORA", "too many motion LoRAs", "motion", got, expected)


def licence(case: Case) -> Iterator[Finding]:
    """A licence or eligibility that nobody has confirmed yet is for a person."""
    for use in case.uses:
        if use.loaded and use.weights and use.weights.status == "review" and not use.weights.own:
            yield review(
                "RULE-LICENCE",
                "weights that a person has to clear first",
                use.where,
                f"{use.weights.id}: {use.weights.reason or use.weights.licence_name}",
                "status allowed in the registry",
                fix=f"ask the organisers, or use {use.instead}",
            )


def training_data(case: Case) -> Iterator[Finding]:
    """Fine-tuning only with free data: what is stated of own LoRAs and bases is for a person to judge."""
    for use in case.uses:
        if not (use.loaded and use.weights and use.weights.own):
            continue
        what = "a base of others" if use.kind == "base" else "an own LoRA"
        message, stated = f"{what}, whose training data must be free", use.weights.data_statement
        got = f"{use.weights.id}: {stated or 'nothing is stated'}"
        if stated:
            card = (
                f"read its data card: pokora data show {use.weights.data_set}, or data-cards/ of a bundle"
                if use.weights.data_set
                else ""
            )
            yield review("RULE-TRAINING-DATA", message, use.where, got, "free data", fix=card)
        else:
            fix = "`pokora models add --help`"
            yield block("RULE-TRAINING-DATA", message, use.where, got, "a statement", fix=fix)


def pinned(case: Case) -> Iterator[Finding]:
    """The registry says which version of the weights is meant."""
    for use in case.uses:
        if use.loaded and use.weights and not use.weights.pinned:
            yield review(
                "RULE-UNPINNED",
                "weights without a registered revision or hash",
                use.where,
                use.weights.id,
                "a revision or sha256 in the registry",
                fix="compare the recorded hashes with the publisher's",
            )
