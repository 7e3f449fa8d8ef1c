"""What a rendering process imports: the libraries that no run needs cost more time than its first picture."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from pokora_anime.networks.clip_text import ClipText, ClipTextProjected
from pokora_anime.system.files.installed_package import NANO_WEIGHTS

# Each takes from a tenth of a second to seconds, and a run has nothing for it to do.
HEAVY = (
    "peft", "scipy.optimize", "sympy", "torch._dynamo", "torch._inductor", "torch.distributed.tensor",
    "torchvision", "transformers.modeling_utils", "triton",
)  # fmt: skip
_CLIP = """
import json, sys
from pathlib import Path
from pokora_anime.config.compose import compose
from pokora_anime.render.worker import child

child._import_all(lean=True)
from pokora_anime.render import pipeline

small = [f"{part}.{side}=64" for part in ("base", "finish") for side in ("width", "height")]
config = compose("video", ["shot.seconds=1", "speed.steps=1", "device.threads=1", *small])
pipeline.render_video(config, Path(sys.argv[1]))
print(json.dumps(sorted(sys.modules)))
"""


def test_a_whole_clip_imports_no_compiler_and_no_adapters(tmp_path: Path) -> None:
    line = [sys.executable, "-c", _CLIP, str(tmp_path)]
    loaded = json.loads(subprocess.run(line, check=True, capture_output=True, text=True).stdout)
    assert "diffusers" in loaded and "pokora_anime.networks.loader" in loaded
    assert [name for name in HEAVY if name in loaded] == []


_LATER = """
from pokora_anime.render.worker.lean_imports import lean
with lean():
    from diffusers import UNet2DConditionModel
from diffusers import models
from diffusers.hooks import apply_group_offloading
from diffusers.loaders import single_file_utils
from diffusers.models import transformers
assert callable(apply_group_offloading)
assert transformers.Transformer2DModel.__name__ == "Transformer2DModel"
assert single_file_utils.CHECKPOINT_KEY_NAMES
import scipy.stats
assert scipy.stats.norm.cdf(0) == 0.5
"""


def test_what_was_left_out_can_be_imported_later() -> None:
    subprocess.run([sys.executable, "-c", _LATER], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("name", "ours", "theirs"),
    [
        ("text_encoder", ClipText, CLIPTextModel),
        ("text_encoder_2", ClipTextProjected, CLIPTextModelWithProjection),
    ],
)
def test_the_text_encoders_are_those_of_transformers_to_the_bit(
    name: str, ours: type[ClipText] | type[ClipTextProjected], theirs: type[CLIPTextModel]
) -> None:
    folder = NANO_WEIGHTS / name
    network = ours.from_pretrained(
        folder, variant=None, use_safetensors=True, local_files_only=True, dtype=torch.float32
    )
    other = theirs.from_pretrained(folder, dtype=torch.float32)
    assert network.state_dict().keys() == other.state_dict().keys()  # LoRAs go by these names
    ids = torch.randint(0, 1390, (2, 77), generator=torch.Generator().manual_seed(0))
    ids[0, 12:], ids[1, 76] = network.settings.eos_token_id, network.settings.eos_token_id
    with torch.inference_mode():
        found, wanted = network(ids), other(ids, output_hidden_states=True)
    pairs = [(found.last_hidden_state, wanted.last_hidden_state)]
    pairs += list(zip(found.hidden_states, wanted.hidden_states, strict=True))
    if found.text_embeds is not None:
        pairs.append((found.text_embeds, wanted.text_embeds))
    assert all(torch.equal(one, two) for one, two in pairs)


def test_a_text_encoder_with_a_missing_weight_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(NANO_WEIGHTS / "text_encoder" / "model.safetensors")
    weights.pop("final_layer_norm.bias")
    save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_bytes((NANO_WEIGHTS / "text_encoder" / "config.json").read_bytes())
    with pytest.raises(ValueError, match=r"has no final_layer_norm\.bias"):
        ClipText.from_pretrained(
            tmp_path, variant=None, use_safetensors=True, local_files_only=True, dtype=torch.float32
        )
