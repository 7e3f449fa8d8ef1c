"""The rows of the nano bench against the bars: one line for each thing that is promised."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isnan

import numpy as np

from benchmarks.nano import nano_large, nano_metrics
from benchmarks.nano.nano_planned import flow_line, planned_lines, smoothness_line, steady_lines
from benchmarks.nano.nano_rows import Row
from benchmarks.nano.nano_table import Line, percent, share_line, title
from pokora_anime.nano.probe import CLOSED_EYES, STILL, UNKNOWN
from pokora_anime.nano.world.vocabulary import ATTRIBUTES

# Attribute of the clips' middle frames: the least share that must be right.
CLIP_BARS = {
    "hair_color": 0.97, "hair_style": 0.90, "background": 0.97, "outfit": 0.90, "outfit_color": 0.93,
    "eye_color": 0.85,
}  # fmt: skip
ACTION_BAR, CAMERA_BAR = 0.97, 0.90
POSE_BAR, POSE_GAIN, DEPTH_BAR = 0.90, 0.30, 0.90
LCM_BAR, COLOR_BAR = 0.03, 3.0
STYLE_BAR, STYLE_LOST_BAR, PSNR_BAR, EYES_BAR = 0.95, 0.02, 32.0, 0.97
FLICKER_BAR = 1.2
PROBE_BAR, DECODED_BAR = 0.99, 0.97
BYTES_BAR, FILE_BAR = 60_000_000, 15_000_000
UPPER = "upper body"
STATIC = ATTRIBUTES["camera"].index("static")


def clip_right(row: Row, name: str) -> float | None:
    """Share of a clip's middle frames that show the asked value; None where it is not asked for.

    Eyes are judged in upper body shots and, if any are, in the frames in which they are open.
    """
    wanted, frames = row["wanted"][name], row["frames"][name]
    if wanted == UNKNOWN or (name == "eye_color" and row["shot"] != UPPER):
        return None
    kept = list(range(len(frames)))
    if name == "eye_color":
        kept = [k for k in kept if row["frames"]["expression"][k] != CLOSED_EYES] or kept
    return float(np.mean([frames[k] == wanted for k in kept]))


def clip_lines(rows: Sequence[Row]) -> list[Line]:
    """Attributes, action and camera of the clips, and by how much chance would reach."""
    lines: list[Line] = []
    for name in (*CLIP_BARS, "expression", "shot"):
        scored = [(row, right) for row in rows if (right := clip_right(row, name)) is not None]
        chance = nano_metrics.share(_shuffled(rows, name))
        lines.append(
            share_line(
                title(name) + (" (upper body)" if name == "eye_color" else ""),
                [right for _, right in scored],
                CLIP_BARS.get(name),
                f"shuffled prompts {percent(chance)}",
                tags=nano_metrics.share([right for row, right in scored if not row["english"]]),
                plain_english=nano_metrics.share([right for row, right in scored if row["english"]]),
                chance=chance,
            )
        )
    lines.append(_whole_clip(rows, "action", ACTION_BAR))
    lines.append(_whole_clip(rows, "camera", CAMERA_BAR, ", moved by a window over the frames"))
    return lines


def _whole_clip(rows: Sequence[Row], name: str, bar: float, about: str = "") -> Line:
    wanted = [row["wanted"][name] for row in rows]
    right = [float(row[name] == want) for row, want in zip(rows, wanted, strict=True)]
    drawn = nano_metrics.share([float(row[f"drawn_{name}"] == row["wanted"][name]) for row in rows])
    by_value = {
        value: nano_metrics.share([r for r, want in zip(right, wanted, strict=True) if want == k])
        for k, value in enumerate(ATTRIBUTES[name])
    }
    return share_line(
        f"{title(name)}, judged on the clip",
        right,
        bar,
        f"drawn clips {percent(drawn)}{about}",
        drawn=drawn,
        by_value=by_value,
        not_told=nano_metrics.share([float(row[name] == UNKNOWN) for row in rows]),
    )


def _shuffled(rows: Sequence[Row], name: str) -> list[float]:
    """How often a clip shows what another prompt asked for."""
    turned = [*rows[1:], *rows[:1]]
    mixed = [{**row, "wanted": other["wanted"]} for row, other in zip(rows, turned, strict=True)]
    return [right for row in mixed if (right := clip_right(row, name)) is not None]


def motion_lines(rows: Sequence[Row]) -> list[Line]:
    """Flow against the drawn twins by action, and flicker.

    A camera moves a drawn background in layers and a clip's frames as a whole, so flow is compared without.
    """
    still = [row for row in rows if row["wanted"]["camera"] == STATIC]
    groups = {
        action: [row for row in still if row["wanted"]["action"] == k]
        for k, action in enumerate(ATTRIBUTES["action"])
    }
    return [flow_line(still, groups), smoothness_line(rows), _flicker(rows)]


def _known(rows: Sequence[Row], name: str) -> list[float]:
    """What the clips have of a number that not every clip has."""
    return [row[name] for row in rows if row.get(name) is not None]


def _flicker(rows: Sequence[Row]) -> Line:
    ours, drawn = _known(rows, "flicker"), _known(rows, "drawn_flicker")
    ratio = float(np.mean(ours) / np.mean(drawn)) if ours and drawn else float("nan")
    return Line(
        what="flicker of still background against drawn clips",
        bar=f"<= {FLICKER_BAR} x",
        shown="-" if isnan(ratio) else f"{ratio:.2f} x",
        value=ratio,
        met=None if isnan(ratio) else ratio <= FLICKER_BAR,
        count=len(ours),
        details={"levels": nano_metrics.share(ours), "drawn_levels": nano_metrics.share(drawn)},
    )


def pose_line(rows: Sequence[Row]) -> Line:
    """PCK over all joints of all pictures."""
    shares = {
        way: sum(row[way][0] for row in rows) / max(1, sum(row[way][1] for row in rows))
        for way in ("on", "off", "own")
    }
    gain = shares["on"] - shares["off"]
    return Line(
        what="pose control: PCK@0.1 of elbows, wrists, knees, ankles",
        bar=f">= {100 * POSE_BAR:g} %, {100 * POSE_GAIN:g} points above off",
        shown=f"{percent(shares['on'])} (off {percent(shares['off'])}, extractor {percent(shares['own'])})",
        value=shares["on"],
        met=shares["on"] >= POSE_BAR and gain >= POSE_GAIN,
        count=sum(row["on"][1] for row in rows),
        details={**shares, "attributes": attribute_shares(rows, "found")},
    )


def depth_line(rows: Sequence[Row]) -> Line:
    """Mean correlation over the pictures."""
    shares = {way: nano_metrics.share([row[way] for row in rows]) for way in ("on", "off", "own")}
    return Line(
        what="depth control: correlation of extracted with asked",
        bar=f">= {DEPTH_BAR:.2f}",
        shown=f"{shares['on']:.3f} (off {shares['off']:.3f}, extractor {shares['own']:.3f})",
        value=shares["on"],
        met=shares["on"] >= DEPTH_BAR,
        count=len(rows),
        details={**shares, "attributes": attribute_shares(rows, "found")},
    )


def rights(rows: Sequence[Row], found: str, name: str) -> list[float]:
    """Right or wrong for each row in which an attribute is asked for (eyes: in upper body shots)."""
    return [
        float(row[found][name] == row["wanted"][name])
        for row in rows
        if row["wanted"][name] != UNKNOWN and (name != "eye_color" or row.get("shot", UPPER) == UPPER)
    ]


def attribute_shares(rows: Sequence[Row], found: str) -> dict[str, float]:
    """Share of right answers by attribute."""
    return {name: nano_metrics.share(rights(rows, found, name)) for name in STILL}


def speed_lines(rows: Sequence[Row]) -> list[Line]:
    """6 LCM steps against hq: what accuracy is lost, and how colours shift."""
    differences: dict[str, dict[str, float]] = {}
    for name in (n for n in STILL if n != "style"):
        hq, lcm = rights(rows, "hq", name), rights(rows, "lcm", name)
        if hq:
            lost, low, high = nano_metrics.bootstrap_difference(np.array(hq), np.array(lcm))
            differences[name] = {
                "hq": nano_metrics.share(hq), "lcm": nano_metrics.share(lcm),
                "lost": lost, "low": low, "high": high,
            }  # fmt: skip
    name, worst = max(differences.items(), key=lambda item: item[1]["lost"])
    labs = {speed: np.array([row[f"lab_{speed}"] for row in rows]) for speed in ("lcm", "hq")}
    apart, shift = nano_metrics.color_shift(labs["lcm"], labs["hq"])
    return [
        Line(
            what="LCM, 6 steps: accuracy lost against hq, worst attribute",
            bar=f"<= {100 * LCM_BAR:g} points",
            shown=f"{100 * worst['lost']:+.1f} ({title(name)}, {100 * worst['low']:+.1f}"
            f" to {100 * worst['high']:+.1f})",
            value=worst["lost"],
            met=worst["lost"] <= LCM_BAR,
            count=len(rows),
            interval=(worst["low"], worst["high"]),
            details=differences,
        ),
        Line(
            what="LCM: colour shift against hq, mean of pairs",
            bar=f"< {COLOR_BAR:g} dE",
            shown=f"{apart:.2f} dE (of the means {shift:.2f})",
            value=apart,
            met=apart < COLOR_BAR,
            count=len(rows),
            details={"of_means": shift},
        ),
    ]


def style_lines(rows: Sequence[Row]) -> list[Line]:
    """What is promised of the style LoRAs at weight 1."""
    return [_told_apart(rows), _lost(rows)]


def _told_apart(rows: Sequence[Row]) -> Line:
    """Whether the probe tells which style LoRA was on."""
    by_style = {
        style: [float(row[style]["style"] == number) for row in rows]
        for number, style in enumerate(ATTRIBUTES["style"])
    }
    shares = {style: nano_metrics.share(right) for style, right in by_style.items()}
    every = [one for right in by_style.values() for one in right]
    return share_line("style LoRAs told apart at weight 1", every, STYLE_BAR, by_style=shares)


def _lost(rows: Sequence[Row]) -> Line:
    """What a style costs, in pictures of the same prompts from the same noise as without it."""
    found: dict[str, dict[str, float]] = {}
    for style in ATTRIBUTES["style"][1:]:
        for name in (one for one in STILL if one != "style"):
            plain, styled = rights(rows, "plain", name), rights(rows, style, name)
            if plain:
                less, low, high = nano_metrics.bootstrap_difference(np.array(plain), np.array(styled))
                shares = {"plain": nano_metrics.share(plain), "styled": nano_metrics.share(styled)}
                found[f"{style}, {title(name)}"] = {**shares, "lost": less, "low": low, "high": high}
    name, worst = max(found.items(), key=lambda item: item[1]["lost"])
    return Line(
        what="style LoRAs at weight 1: accuracy lost against plain, worst attribute",
        bar=f"<= {100 * STYLE_LOST_BAR:g} points",
        shown=f"{100 * worst['lost']:+.1f} ({name}, {100 * worst['low']:+.1f} to {100 * worst['high']:+.1f})",
        value=worst["lost"],
        met=worst["lost"] <= STYLE_LOST_BAR,
        count=len(rows),
        interval=(worst["low"], worst["high"]),
        details=found,
    )


def negative_line(rows: Sequence[Row]) -> Line:
    """The negative prompt must lower the rate of what it names."""
    rates = {way: nano_metrics.share([row[way] for row in rows]) for way in ("without", "with")}
    return Line(
        what="twintails in the negative prompt: rate",
        bar="lower than without",
        shown=f"{percent(rates['with'])} (without {percent(rates['without'])})",
        value=rates["with"],
        met=rates["with"] < rates["without"],
        count=len(rows),
        details=rates,
    )


def drawn_lines(rows: Sequence[Row]) -> list[Line]:
    """The autoencoder, and the probe as a judge."""
    plain = [row["psnr"] for row in rows if row["style"] == "plain"]
    value = nano_metrics.share(plain)
    psnr = Line(
        what="autoencoder: PSNR on drawn frames",
        bar=f">= {PSNR_BAR:g} dB",
        shown=f"{value:.2f} dB",
        value=value,
        met=value >= PSNR_BAR,
        count=len(plain),
        details={"all_styles": nano_metrics.share([row["psnr"] for row in rows])},
    )
    kept = [
        float(row["decoded"]["eye_color"] == row["wanted"]["eye_color"])
        for row in rows
        if row["wanted"]["eye_color"] != UNKNOWN
    ]
    eyes = share_line("autoencoder: eye colour kept", kept, EYES_BAR)
    return [psnr, eyes, *(_probe(rows, found, bar) for found, bar in _PROBE_LINES)]


_PROBE_LINES = (("found", PROBE_BAR), ("decoded", DECODED_BAR))


def _probe(rows: Sequence[Row], found: str, bar: float) -> Line:
    whole = [{**row, "shot": UPPER} for row in rows]  # the judge must know every eye
    shares = attribute_shares(whole, found)
    turned = [
        {**row, "wanted": other["wanted"]} for row, other in zip(whole, [*whole[1:], whole[0]], strict=True)
    ]
    chance = attribute_shares(turned, found)
    name, worst = min(((n, v) for n, v in shares.items() if not isnan(v)), key=lambda item: item[1])
    after = " after the autoencoder" if found == "decoded" else ""
    return Line(
        what=f"probe on new drawings{after}, worst attribute",
        bar=f">= {100 * bar:g} %",
        shown=f"{percent(worst)} ({title(name)}, shuffled prompts {percent(chance[name])})",
        value=worst,
        met=worst >= bar,
        count=len(rows),
        details={"by_attribute": shares, "chance": chance},
    )


def size_line(sizes: Mapping[str, int]) -> Line:
    """Bytes on disk."""
    total, largest = sizes["bytes"], sizes["largest_file"]
    return Line(
        what="size on disk, largest file",
        bar=f"<= {BYTES_BAR / 1e6:g} MB, {FILE_BAR / 1e6:g} MB",
        shown=f"{total / 1e6:.1f} MB, {largest / 1e6:.1f} MB",
        value=total / 1e6,
        met=total <= BYTES_BAR and largest <= FILE_BAR,
    )


SECTIONS: dict[str, Callable[[Sequence[Row]], list[Line]]] = {
    "clips": lambda rows: [
        *clip_lines(rows),
        *motion_lines(rows),
        *steady_lines(rows),
        *nano_large.lines(rows),
    ],
    "planned": planned_lines,
    "pose": lambda rows: [pose_line(rows)],
    "depth": lambda rows: [depth_line(rows)],
    "stills": speed_lines,
    "styles": style_lines,
    "negative": lambda rows: [negative_line(rows)],
    "drawn": drawn_lines,
}
