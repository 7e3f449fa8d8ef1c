"""Single-file checkpoints told apart by the names and shapes in their header. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pokora_anime.catalogue.checkpoint.tensor_header import TensorHeader
from pokora_anime.catalogue.registry_row import PICKLES
from pokora_anime.errors import WeightsError

# Where the original implementation keeps SDXL's networks in one file.
UNET = "model.diffusion_model."
CLIP = "conditioner.embedders.0.transformer."
OPEN_CLIP = "conditioner.embedders.1.model."
VAE = "first_stage_model."
NETWORKS = {UNET: "UNet", CLIP: "first text encoder", OPEN_CLIP: "second text encoder", VAE: "VAE"}

_WHOLE = "use a whole SDXL checkpoint (UNet, both text encoders and VAE in one .safetensors)"
_CONV_IN = f"{UNET}input_blocks.0.0.weight"
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"
_LORA = ("lora_down", "lora_A", "lora.down", "lora_up", "hada_w1", "lokr_w", "oft_", "a1.weight", "on_input")
_SCHEDULES = ("edm_mean", "edm_std", "edm_vpred.sigma_max", "edm_vpred.sigma_min")
# Names that only one other kind of file has, and what it is.
_OTHERS = (
    (("double_blocks.",), "a Flux checkpoint"),
    (("joint_blocks.",), "an SD 3 checkpoint"),
    (("control_model.", "controlnet_cond_embedding.", "input_hint_block."), "a ControlNet"),
    (("motion_modules.", ".temporal_transformer."), "a motion module"),
    (("string_to_param", "emb_params"), "a textual inversion (an embedding of a word)"),
)


def refuse_pickle(file: Path) -> None:
    """WeightsError WGT-UNSAFE for a file that can run code when it is read. WGT-MISSING for no file."""
    try:
        with file.open("rb") as handle:
            start = handle.read(4)
    except OSError as error:
        raise WeightsError(
            "WGT-MISSING", f"{file}: {error.strerror or error}", expected="a checkpoint file"
        ) from error
    if file.suffix.lower() in PICKLES or start == _ZIP or start.startswith(_PICKLE):
        raise WeightsError(
            "WGT-UNSAFE",
            f"{file.name} is a pickle, which can run code when it is read",
            expected="a .safetensors checkpoint",
            fix="take the publisher's .safetensors, or let a web UI's checkpoint merger save it as one",
        )


def refuse_others(name: str, header: TensorHeader) -> None:
    """WeightsError WGT-FIT for a file that is no SDXL 1.0 checkpoint, named for what it is."""
    told = what_it_is(header.shapes)
    if told is not None:
        what, fix = told
        raise WeightsError(
            "WGT-FIT", f"base {name}: it is {what}", expected="an SDXL checkpoint in one file", fix=fix
        )


def what_it_is(shapes: Mapping[str, list[int]]) -> tuple[str, str] | None:
    """What another file than a whole SDXL checkpoint is, and what its user can do; None for one."""
    joined = "\n".join(shapes)
    if not shapes:
        return "empty: it holds no tensors", _WHOLE
    if any(word in joined for word in _LORA) and _CONV_IN not in shapes:
        return "a LoRA", "leave out --kind base (`pokora models add --help`)"
    for words, what in _OTHERS:
        if any(word in joined for word in words):
            return what, _WHOLE
    if {"clip_l", "clip_g"} & shapes.keys():
        return "a textual inversion (an embedding of a word)", _WHOLE
    if UNET not in joined:
        return _part(shapes), _WHOLE
    return _checkpoint(shapes, joined)


def _part(shapes: Mapping[str, list[int]]) -> str:
    """A file without a UNet in the original layout."""
    first = next(iter(shapes))
    if first.startswith(("first_stage_model.", "decoder.", "encoder.down", "encoder.conv", "quant_conv.")):
        return "a VAE alone"
    if any(name.startswith(("down_blocks.", "up_blocks.", "mid_block.")) for name in shapes):
        return "a UNet alone, in diffusers' layout"
    if any(name.startswith(("text_model.", "conditioner.", "cond_stage_model.")) for name in shapes):
        return "a text encoder alone"
    if any("transformer_blocks." in name or name.startswith("blocks.") for name in shapes):
        return "made for another kind of network (Flux, SD 3 or the like)"
    return f"no checkpoint that is known: {first} is not understood"


def _checkpoint(shapes: Mapping[str, list[int]], joined: str) -> tuple[str, str] | None:
    """A file with a UNet in the original layout, which need not be SDXL's."""
    if f"{UNET}input_blocks." not in joined:
        return "made for another kind of network than SDXL's UNet", _WHOLE
    channels = (shapes.get(_CONV_IN) or [0, 4])[1]
    if channels == 9:
        return "an inpainting checkpoint", "use the same model's checkpoint for text to image"
    if channels == 8:
        return "a checkpoint that edits pictures (InstructPix2Pix)", _WHOLE
    if "cond_stage_model.model." in joined:
        return "an SD 2 checkpoint", "use an SDXL checkpoint, or base=sd2 with LoRAs"
    if "cond_stage_model." in joined:
        return "an SD 1.5 checkpoint", "use an SDXL checkpoint: no base here has SD 1.5's shapes"
    if "conditioner.embedders.0.model." in joined:
        return "SDXL's refiner", "use the base checkpoint beside it"
    if any(name in shapes for name in _SCHEDULES):
        return "an EDM checkpoint, of another noise schedule than SDXL's", _WHOLE
    lacking = [what for prefix, what in NETWORKS.items() if prefix not in joined]
    if lacking:
        return f"a checkpoint without its {' and its '.join(lacking)}", _WHOLE
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a base's UNet predicts: velocity (arXiv 2202.00512) or noise, and whether it was trained on a
    schedule that ends in pure noise (zero terminal SNR, arXiv 2305.08891)."""

    v: bool = False
    zero_snr: bool = False

    @property
    def words(self) -> str:
        """As it is told to its user."""
        kind = "v-prediction" if self.v else "epsilon prediction"
        return f"{kind}, zero terminal SNR" if self.zero_snr else kind
