"""What a training of a LoRA would take, here or on cards of the table. Torch-free."""

from __future__ import annotations

from pokora_anime.config.compose import compose
from pokora_anime.devices.forecast import estimate
from pokora_anime.devices.forecast.estimate import Target
from pokora_anime.workshop.training import training_forecast
from pokora_anime.workshop.training.lora_settings import LoraSettings
from pokora_anime.workshop.training.training_forecast import Way


def page(settings: LoraSettings, gpu: str, device: str, threads: int) -> str:
    """A line a machine. Raises ConfigError CFG-CARD, CFG-DEVICE."""
    words = [f"base={settings.base.value}", f"device.kind={device}", f"device.threads={threads}"]
    config = compose("stills", [*words, "style=none", "speed=hq"])
    targets = estimate.targets(gpu, config.device)
    lines = [f"{settings.base.value}, rank {settings.rank}, batch {settings.batch}, of {settings.data}"]
    for target in targets:
        way = training_forecast.chosen(settings, config.base, target.hardware)
        lines.append(f"{target.hardware.name}: {_told(way, settings, target)}")
    return "\n".join([*dict.fromkeys(one.note for one in targets if one.note), *lines])


def _told(way: Way, settings: LoraSettings, target: Target) -> str:
    line = f"{way.line(settings, target.hardware)} ({target.source.value} rate)"
    if not way.fits(target.hardware):
        return f"does not fit: {line}"
    hourly = target.card.on_demand if target.card is not None else None
    if hourly is None:
        return line
    money = hourly * way.step_seconds * settings.steps / 3600
    return f"{line}, {f'${money:.2f}' if money >= 0.01 else 'less than a cent'}"
