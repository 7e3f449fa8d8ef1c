"""A contest's rules, gathered. The numbers come from conf/contest/NAME.yaml.

What breaks one of these renders all the same, and is no entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from pokora_anime.findings import Finding, Severity
from pokora_anime.rules import checkpoint_rules, number_rules
from pokora_anime.rules.case import Case
from pokora_anime.rules.wording import review

Rule = Callable[[Case], Iterator[Finding]]


def recorded_limits(case: Case) -> Iterator[Finding]:
    """The limits in the config are those of the contest's file."""
    if case.config.contest != case.limits:
        yield review(
            "RULE-LIMITS",
            "the config carries other limits than the contest's file; those of the file were used",
            "contest",
            case.config.contest.name,
            f"conf/contest/{case.limits.name}.yaml",
        )


RULES: tuple[Rule, ...] = (
    checkpoint_rules.base,
    number_rules.speed,
    number_rules.sampler,
    checkpoint_rules.speed_lora,
    number_rules.steps,
    number_rules.guidance,
    number_rules.guidance_interval,
    checkpoint_rules.style_lora_count,
    checkpoint_rules.style_lora_weight,
    checkpoint_rules.style_lora_timeline,
    checkpoint_rules.style_lora_absent,
    checkpoint_rules.motion_lora_count,
    checkpoint_rules.licence,
    checkpoint_rules.training_data,
    checkpoint_rules.pinned,
    number_rules.generated_size,
    number_rules.second_pass,
    number_rules.outside_upscaler,
    number_rules.own_upscaler,
    number_rules.turned_frames,
    number_rules.choreography,
    number_rules.identity,
    number_rules.sound,
    number_rules.delivered_size,
    number_rules.seconds,
    number_rules.generated_fps,
    number_rules.segment_frames,
    number_rules.interpolation,
    number_rules.stills_count,
    recorded_limits,
)


def judge(case: Case) -> list[Finding]:
    """All findings. With a base that only renders, what would bar an entry is a note: there is none."""
    found = [finding for rule in RULES for finding in rule(case)]
    if case.config.base.weights not in case.limits.render_only:
        return found
    return [
        replace(finding, severity=Severity.note) if finding.severity is Severity.block else finding
        for finding in found
    ]
