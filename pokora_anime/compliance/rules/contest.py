"""A contest's rules, gathered. The numbers come from conf/contest/NAME.yaml.

What breaks one of these renders all the same, and is no entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from pokora_anime.compliance.findings import Finding, Severity
from pokora_anime.compliance.rules import checkpoints, numbers
from pokora_anime.compliance.rules.case import Case
from pokora_anime.compliance.rules.wording import review

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
    checkpoints.base,
    numbers.speed,
    numbers.sampler,
    checkpoints.speed_lora,
    numbers.steps,
    numbers.guidance,
    numbers.guidance_interval,
    checkpoints.style_lora_count,
    checkpoints.style_lora_weight,
    checkpoints.style_lora_absent,
    checkpoints.motion_lora_count,
    checkpoints.licence,
    checkpoints.training_data,
    checkpoints.pinned,
    numbers.generated_size,
    numbers.second_pass,
    numbers.outside_upscaler,
    numbers.own_upscaler,
    numbers.turned_frames,
    numbers.choreography,
    numbers.delivered_size,
    numbers.seconds,
    numbers.generated_fps,
    numbers.segment_frames,
    numbers.interpolation,
    numbers.stills_count,
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
