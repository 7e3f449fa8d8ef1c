"""A single-file SDXL checkpoint made into diffusers' layout once: names change, numbers do not."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders import single_file_utils
from safetensors import SafetensorError
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]  # its PathLike is bare
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from pokora_anime.catalogue.checkpoint.checkpoint_kind import CLIP, NETWORKS, OPEN_CLIP, UNET, VAE, Prediction
from pokora_anime.catalogue.lora.lora_shapes import SDXL_CLIP_G, SDXL_CLIP_L, SDXL_UNET, SDXL_VAE, Settings
from pokora_anime.catalogue.own_rows import BASE_PARTS
from pokora_anime.errors import WeightsError
from pokora_anime.system import typed_tensors

# Beside the networks' weights: buffers that the code computes, averages and scales of training.
_UNUSED = re.compile(
    r"model_ema\.|denoiser\.|.*\.position_ids$|.*logit_scale$|.*attn_mask$|v_pred$|ztsnr$|loss\.|"
    r"first_stage_model\.loss\.|conditioner\.embedders\.0\.transformer\.text_projection\.weight$|"
    r"(?:betas|alphas_cumprod|alphas_cumprod_prev|sqrt_\w+|log_one_minus_\w+|posterior_\w+|logvar|lvlb_weights|"
    r"model_lvlb|scale_factor|global_step)$"
)
_TOKENS = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1, "vocab_size": 49408}
_NARROW = (torch.float8_e4m3fn, torch.float8_e5m2)  # kept as fp16, which has room for each of their numbers


Tensors = dict[str, Tensor]


class _Converters(Protocol):
    """diffusers' converters of single files, which have no types."""

    def convert_ldm_unet_checkpoint(self, checkpoint: Tensors, config: Settings) -> Tensors: ...
    def convert_ldm_vae_checkpoint(self, checkpoint: Tensors, config: Settings) -> Tensors: ...
    def convert_ldm_clip_checkpoint(self, checkpoint: Tensors, *, remove_prefix: str) -> Tensors: ...
    def convert_open_clip_checkpoint(
        self, text_model: nn.Module, checkpoint: Tensors, *, prefix: str
    ) -> Tensors: ...


_CONVERT = cast(_Converters, single_file_utils)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The configs of a family's networks; `tokens` are those of both text encoders."""

    unet: Settings
    text: Settings
    text_2: Settings
    vae: Settings
    tokens: Settings = field(default_factory=lambda: _TOKENS)


SDXL = Layout(
    unet={"sample_size": 128, "layers_per_block": 2, **SDXL_UNET},
    text={**SDXL_CLIP_L, "hidden_act": "quick_gelu", "projection_dim": 768},
    text_2={**SDXL_CLIP_G, "hidden_act": "gelu"},
    vae={**SDXL_VAE, "force_upcast": True},
)


def convert(
    file: Path,
    name: str,
    target: Path,
    prediction: Prediction,
    *,
    add: Callable[[int], None] = lambda _: None,
) -> None:
    """Write the checkpoint's networks, their configs and its scheduler below `target`, without tokenizers.

    `add` is told of the bytes that were converted. Raises WeightsError WGT-DAMAGED for a file that cannot be
    read, WGT-FIT for one with other tensors or shapes than SDXL's, or with NaN or infinite numbers.
    """
    try:
        stored, _ = typed_tensors.stored(file)
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            "WGT-DAMAGED", f"{file.name} is no readable safetensors file", fix="fetch it again"
        ) from error
    layout = SDXL
    used = {key: tensor for key, tensor in stored.items() if not _UNUSED.match(key)}
    strange = next((key for key in used if not key.startswith(tuple(NETWORKS))), None)
    if strange is not None:
        raise _unfit(name, f"{strange} is not understood")
    for part, prefix in _PREFIXES.items():
        mine = {key: tensor for key, tensor in used.items() if key.startswith(prefix)}
        _write(name, target / part, _converted(name, part, mine, layout), add)
        _write_json(target / part / "config.json", _config(part, layout))
    scheduler = target / "scheduler"
    scheduler.mkdir()
    _write_json(scheduler / "scheduler_config.json", scheduler_config(prediction))
    index = {"_class_name": "StableDiffusionXLPipeline", "force_zeros_for_empty_prompt": True}
    _write_json(target / "model_index.json", index)


def copy_tokenizers(source: Path, target: Path) -> None:
    """Both tokenizers, which are the same for every SDXL checkpoint."""
    for part in BASE_PARTS:
        if part.startswith("tokenizer"):
            (target / part).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / part, target / part)


def scheduler_config(prediction: Prediction) -> Settings:
    """SDXL's noise schedule; one that ends in pure noise (arXiv 2305.08891) where it was trained so."""
    config: dict[str, object] = {
        "_class_name": "EulerDiscreteScheduler",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "num_train_timesteps": 1000,
        "prediction_type": "v_prediction" if prediction.v else "epsilon",
        "steps_offset": 1,
        "timestep_spacing": "leading",
    }
    if prediction.zero_snr:
        config |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    return config


def _unet(mine: dict[str, Tensor], layout: Layout) -> dict[str, Tensor]:
    return _CONVERT.convert_ldm_unet_checkpoint(mine, layout.unet)


def _text(mine: dict[str, Tensor], layout: Layout) -> dict[str, Tensor]:
    del layout
    return _CONVERT.convert_ldm_clip_checkpoint(mine, remove_prefix=CLIP)


def _text_2(mine: dict[str, Tensor], layout: Layout) -> dict[str, Tensor]:
    return _CONVERT.convert_open_clip_checkpoint(_empty("text_encoder_2", layout), mine, prefix=OPEN_CLIP)


def _vae(mine: dict[str, Tensor], layout: Layout) -> dict[str, Tensor]:
    return _CONVERT.convert_ldm_vae_checkpoint(mine, layout.vae)


_CONVERTERS = {"unet": _unet, "text_encoder": _text, "text_encoder_2": _text_2, "vae": _vae}
_PREFIXES = {"unet": UNET, "text_encoder": CLIP, "text_encoder_2": OPEN_CLIP, "vae": VAE}


def _converted(name: str, part: str, mine: dict[str, Tensor], layout: Layout) -> dict[str, Tensor]:
    """A network's tensors under diffusers' names: all that it has, in its shapes, and every stored one."""
    what = NETWORKS[_PREFIXES[part]]
    try:
        found = _CONVERTERS[part](mine, layout)
    except KeyError as error:
        raise _unfit(name, f"its {what} has no {error}") from error
    wanted = _empty(part, layout).state_dict()
    lacking = [key for key in wanted if key not in found]
    if lacking:
        raise _unfit(
            name, f"its {what} lacks {len(lacking)} of {len(wanted)} tensors, {lacking[0]} the first"
        )
    strange = [key for key in found if key not in wanted]
    joint = sum(key.endswith((".in_proj_weight", ".in_proj_bias")) for key in mine)  # three in one
    left = len(mine) + 2 * joint - len(found)
    if strange or left:
        raise _unfit(name, f"its {what} has {len(strange) or left} tensors more than SDXL's")
    for key, tensor in found.items():
        if tensor.shape != wanted[key].shape:
            got, expected = list(tensor.shape), list(wanted[key].shape)
            raise _unfit(name, f"its {what} has {key} of {got}, SDXL of {expected}")
    return found


def _empty(part: str, layout: Layout) -> nn.Module:
    """The network of a part on the meta device."""
    with torch.device("meta"):
        if part == "unet":
            return cast(Callable[..., nn.Module], UNet2DConditionModel)(**layout.unet)
        if part == "vae":
            return cast(Callable[..., nn.Module], AutoencoderKL)(**layout.vae)
        settings = layout.text if part == "text_encoder" else layout.text_2
        kind = CLIPTextModel if part == "text_encoder" else CLIPTextModelWithProjection
        return kind(cast(Callable[..., CLIPTextConfig], CLIPTextConfig)(**settings, **layout.tokens))


def _config(part: str, layout: Layout) -> Settings:
    if part == "unet":
        return {"_class_name": "UNet2DConditionModel", **layout.unet}
    if part == "vae":
        return {"_class_name": "AutoencoderKL", **layout.vae}
    settings = layout.text if part == "text_encoder" else layout.text_2
    kind = "CLIPTextModel" if part == "text_encoder" else "CLIPTextModelWithProjection"
    return {"architectures": [kind], "model_type": "clip_text_model", **settings, **layout.tokens}


def _write(name: str, folder: Path, tensors: Mapping[str, Tensor], add: Callable[[int], None]) -> None:
    """The tensors in the format that they came in; those of eight bits as fp16, which is exact."""
    plain: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        kept = tensor.to(torch.float16) if tensor.dtype in _NARROW else tensor
        if not kept.is_floating_point():
            raise _unfit(name, f"{key} holds {kept.dtype}: it is quantised", "use the fp16 checkpoint")
        if not bool(torch.isfinite(kept).all()):
            raise _unfit(name, f"{key} holds NaN or infinite numbers", "use another file of that checkpoint")
        plain[key] = kept.contiguous()
        add(tensor.numel() * tensor.element_size())
    folder.mkdir(parents=True)
    weights = "model" if folder.name.startswith("text") else "diffusion_pytorch_model"
    save_file(plain, folder / f"{weights}.safetensors", metadata={"format": "pt"})


def _write_json(path: Path, content: Settings) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _unfit(name: str, why: str, fix: str = "") -> WeightsError:
    return WeightsError(
        "WGT-FIT",
        f"base {name}: {why[:200]}",
        expected="the tensors and shapes of SDXL 1.0",
        fix=fix or "use a checkpoint that was trained or merged from SDXL 1.0 and not made smaller",
    )
