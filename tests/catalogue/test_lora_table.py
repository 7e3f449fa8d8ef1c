"""LoRAs of every kind in every spelling change every layer by exactly what they stand for, or are refused."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from diffusers.loaders import StableDiffusionXLLoraLoaderMixin
from safetensors.torch import save_file
from support import tiny_networks
from torch import Tensor, nn
from transformers import CLIPTextModel

from pokora_anime.catalogue import registry
from pokora_anime.catalogue.lora.lora_check import check
from pokora_anime.catalogue.lora.lora_merge import Lora, merge_into_encoder, merge_into_unet
from pokora_anime.catalogue.lora.lora_names import places
from pokora_anime.errors import WeightsError
from pokora_anime.schema.settings import Family

WEIGHT = 0.7
QUERY = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
OUT = "up_blocks.0.attentions.0.transformer_blocks.0.attn2.to_out.0"
CONV = "mid_block.resnets.0.conv1"
NORM = "mid_block.resnets.0.norm1"
TEXT = "encoder.layers.0.self_attn.q_proj"
LDM = {  # of a UNet with two blocks a side, one layer in each block
    QUERY: "input_blocks.3.1.transformer_blocks.0.attn1.to_q",
    OUT: "output_blocks.0.1.transformer_blocks.0.attn2.to_out.0",
    CONV: "middle_block.0.in_layers.2",
    "conv_in": "input_blocks.0.0",
}
Part = dict[str, Tensor]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(11)


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_networks.family(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def unet(family: Path) -> UNet2DConditionModel:
    return UNet2DConditionModel.from_pretrained(family / "unet")


def random(*shape: int) -> Tensor:
    return torch.randn(*shape) * 0.3


def lora(module: nn.Module, rank: int = 2) -> tuple[Part, Tensor]:
    """Down and up halves under kohya's part names, and their product in the weight's shape."""
    weight = module.get_parameter("weight")
    tail = (1, 1) if weight.dim() == 4 else ()
    down, up = random(rank, *weight.shape[1:]), random(weight.shape[0], rank, *tail)
    product = (up.flatten(1) @ down.flatten(1)).reshape(weight.shape)
    return {"lora_down.weight": down, "lora_up.weight": up}, product


def written(folder: Path, tensors: Part, metadata: dict[str, str] | None = None) -> Lora:
    file = folder / "pytorch_lora_weights.safetensors"
    save_file({name: value.clone() for name, value in tensors.items()}, file, metadata=metadata)
    return Lora(row=replace(registry.any_row("nano-lcm"), sha256={}), folder=folder, weight=WEIGHT)


def changes(network: nn.Module, made: Lora, encoder: str = "") -> dict[str, Tensor]:
    """What merging it adds, by parameter, of all that changed."""
    merged = copy.deepcopy(network)
    if encoder:
        merge_into_encoder(merged, encoder, [made])
    else:
        merge_into_unet(merged, [made])  # pyright: ignore[reportArgumentType]
    before = network.state_dict()
    return {
        name: value - before[name]
        for name, value in merged.state_dict().items()
        if not torch.equal(value, before[name])
    }


def assert_changes(network: nn.Module, made: Lora, wanted: dict[str, Tensor], encoder: str = "") -> None:
    found = changes(network, made, encoder)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], WEIGHT * value, atol=2e-6, rtol=1e-5)


# Spellings


def kohya(layer: str, part: str) -> str:
    return f"lora_unet_{layer.replace('.', '_')}.{part}"


def dotted(before: str, down: str, up: str) -> Callable[[str, str], str]:
    def spell(layer: str, part: str) -> str:
        part = part.replace("lora_down.weight", down).replace("lora_up.weight", up)
        return f"{before}{layer}.{part}"

    return spell


def processor(layer: str, part: str) -> str:
    if not part.startswith("lora_"):
        return f"unet.{layer}.{part}"
    place, _, projection = layer.rpartition(".to_")
    half = part.removeprefix("lora_")
    return f"unet.{place}.processor.to_{projection.removesuffix('.0')}_lora.{half}"


PEFT = ("lora_A.weight", "lora_B.weight")
SPELLINGS: dict[str, Callable[[str, str], str]] = {
    "kohya": kohya,
    "kohya LDM": lambda layer, part: kohya(LDM[layer], part),
    "peft": dotted("unet.", *PEFT),
    "peft default": dotted("unet.", "lora_A.default.weight", "lora_B.default.weight"),
    "peft lora_1": dotted("unet.", "lora_A.lora_1.weight", "lora_B.lora_1.weight"),
    "no prefix": dotted("", *PEFT),
    "base_model": dotted("base_model.model.", *PEFT),
    "unet.base_model": dotted("unet.base_model.model.", *PEFT),
    "diffusion_model": lambda layer, part: dotted("diffusion_model.", *PEFT)(LDM[layer], part),
    "diffusion_model diffusers": dotted("diffusion_model.", *PEFT),
    "dotted lora_down": dotted("unet.", "lora_down.weight", "lora_up.weight"),
    "OneTrainer": dotted("lora_unet.", "lora_down.weight", "lora_up.weight"),
    "old diffusers": dotted("unet.", "lora.down.weight", "lora.up.weight"),
    "linear layer": dotted("unet.", "lora_linear_layer.down.weight", "lora_linear_layer.up.weight"),
}


@pytest.mark.parametrize("spelling", [*SPELLINGS, "processor"])
@pytest.mark.parametrize("alpha", [None, 0.5])
def test_every_spelling_lands_on_its_layers(
    unet: UNet2DConditionModel, tmp_path: Path, spelling: str, alpha: float | None
) -> None:
    layers = (QUERY, OUT) if spelling == "processor" else (QUERY, OUT, CONV, "conv_in")
    spell = SPELLINGS.get(spelling, processor)
    tensors, wanted = Part(), Part()
    for rank, layer in enumerate(layers, start=2):  # of a different rank each
        parts, product = lora(unet.get_submodule(layer), rank)
        if alpha is not None:
            parts["alpha"] = torch.tensor(alpha * rank**2)
        tensors |= {spell(layer, part): value for part, value in parts.items()}
        wanted[f"{layer}.weight"] = product if alpha is None else alpha * rank * product
    assert_changes(unet, written(tmp_path, tensors), wanted)


def test_every_layer_has_the_name_that_the_published_layout_gives_it() -> None:
    from pokora_anime.catalogue.lora import lora_shapes

    names = [
        name
        for name, module in lora_shapes.network(Family.sdxl, "unet").named_modules()  # pyright: ignore
        if hasattr(module, "weight")
    ]
    found = places("unet", names)
    for original, name in {
        "input_blocks_3_0_op": "down_blocks.0.downsamplers.0.conv",
        "input_blocks_8_1_transformer_blocks_9_ff_net_0_proj": "down_blocks.2.attentions.1."
        "transformer_blocks.9.ff.net.0.proj",
        "input_blocks_4_0_skip_connection": "down_blocks.1.resnets.0.conv_shortcut",
        "middle_block_2_emb_layers_1": "mid_block.resnets.1.time_emb_proj",
        "output_blocks_2_2_conv": "up_blocks.0.upsamplers.0.conv",
        "output_blocks_8_0_out_layers_3": "up_blocks.2.resnets.2.conv2",
        "label_emb_0_2": "add_embedding.linear_2",
        "out_2": "conv_out",
    }.items():
        assert found[original] == name
    assert set(found.values()) == set(names)


@pytest.mark.parametrize(
    ("before", "encoder", "down", "up"),
    [
        ("lora_te1_text_model_", "text_encoder", "lora_down", "lora_up"),
        ("lora_te_text_model_", "text_encoder", "lora_down", "lora_up"),
        ("lora_te2_text_model_", "text_encoder_2", "lora_down", "lora_up"),
        ("text_encoder.", "text_encoder", "lora_A", "lora_B"),
        ("text_encoder.text_model.", "text_encoder", "lora_linear_layer.down", "lora_linear_layer.up"),
        ("text_encoder_2.text_model.", "text_encoder_2", "lora_A.default", "lora_B.default"),
        ("text_encoder_2.base_model.model.text_model.", "text_encoder_2", "lora_A", "lora_B"),
    ],
)
def test_both_text_encoders(
    family: Path, tmp_path: Path, before: str, encoder: str, down: str, up: str
) -> None:
    network = CLIPTextModel.from_pretrained(family / "text_encoder")
    parts, product = lora(network.get_submodule(TEXT))
    layer = before + (TEXT.replace(".", "_") if before.startswith("lora_") else TEXT)
    tensors = {
        f"{layer}.{down}.weight": parts["lora_down.weight"],
        f"{layer}.{up}.weight": parts["lora_up.weight"],
        f"{layer}.alpha": torch.tensor(4.0),
    }
    assert_changes(network, written(tmp_path, tensors), {f"{TEXT}.weight": 2 * product}, encoder)


# Kinds


def tucker(module: nn.Module) -> tuple[Part, Part]:
    outputs, inputs = module.weight.shape[:2]
    down, core, up = random(2, inputs, 1, 1), random(3, 2, 3, 3), random(outputs, 3, 1, 1)
    product = torch.zeros_like(module.weight)
    for a in range(3):
        for b in range(2):
            product += torch.einsum("o,hw,i->oihw", up[:, a, 0, 0], core[a, b], down[b, :, 0, 0])
    parts = {"lora_down.weight": down, "lora_mid.weight": core, "lora_up.weight": up}
    return parts | {"alpha": torch.tensor(1.0)}, {"weight": product / 2}


def loha(module: nn.Module) -> tuple[Part, Part]:
    weight = module.weight
    rest = weight[0].numel()
    halves = {
        f"hada_w{n}_{half}": random(*shape)
        for n in (1, 2)
        for half, shape in (("a", (weight.shape[0], 2)), ("b", (2, rest)))
    }
    product = (halves["hada_w1_a"] @ halves["hada_w1_b"]) * (halves["hada_w2_a"] @ halves["hada_w2_b"])
    return halves | {"alpha": torch.tensor(1.0)}, {"weight": product.reshape(weight.shape) / 2}


def loha_tucker(module: nn.Module) -> tuple[Part, Part]:
    outputs, inputs = module.weight.shape[:2]
    parts, products = Part(), []
    for n in (1, 2):
        a, b, core = random(2, outputs), random(2, inputs), random(2, 2, 3, 3)
        parts |= {f"hada_w{n}_a": a, f"hada_w{n}_b": b, f"hada_t{n}": core}
        products.append(
            sum(torch.einsum("o,hw,i->oihw", a[i], core[i, j], b[j]) for i in (0, 1) for j in (0, 1))
        )
    return parts, {"weight": products[0] * products[1]}


def lokr(module: nn.Module) -> tuple[Part, Part]:
    weight = module.weight
    left, a = random(4, 2), random(weight.shape[0] // 4, 2)
    b = random(2, weight[0].numel() // 2)
    product = torch.kron(left, a @ b).reshape(weight.shape)
    return {"lokr_w1": left, "lokr_w2_a": a, "lokr_w2_b": b, "alpha": torch.tensor(1.0)}, {
        "weight": product / 2
    }


def lokr_whole(module: nn.Module) -> tuple[Part, Part]:
    weight = module.weight
    left, right = random(2, 4), random(weight.shape[0] // 2, weight.shape[1] // 4, *weight.shape[2:])
    product = torch.zeros_like(weight)
    o, i = right.shape[:2]
    for row in range(2):
        for column in range(4):
            product[row * o : (row + 1) * o, column * i : (column + 1) * i] = left[row, column] * right
    # Two whole factors have no rank, and LyCORIS then scales by nothing, whatever alpha says.
    return {"lokr_w1": left, "lokr_w2": right, "alpha": torch.tensor(1e9)}, {"weight": product}


def dora(name: str, columns: bool = False) -> Callable[[nn.Module], tuple[Part, Part]]:
    def build(module: nn.Module) -> tuple[Part, Part]:
        parts, product = lora(module)
        base = module.weight.detach()
        changed, kept = base + product, int(columns)
        magnitude = random(base.shape[kept]).abs()
        shape = [1] * base.dim()
        shape[kept] = base.shape[kept]
        rows = changed.transpose(0, kept).flatten(1).norm(dim=1).reshape(shape)
        stored = magnitude
        if name == "dora_scale":
            stored = magnitude.reshape(shape)
        elif base.dim() == 4:
            stored = magnitude[None, :, None, None]
        return parts | {name: stored}, {"weight": changed * magnitude.reshape(shape) / rows - base}

    return build


def difference(module: nn.Module) -> tuple[Part, Part]:
    weight, bias = random(*module.weight.shape), random(*module.bias.shape)
    return {"diff": weight, "diff_b": bias}, {"weight": weight, "bias": bias}


def norm(module: nn.Module) -> tuple[Part, Part]:
    weight, bias = random(*module.weight.shape), random(*module.bias.shape)
    return {"w_norm": weight, "b_norm": bias}, {"weight": weight, "bias": bias}


def glora(module: nn.Module) -> tuple[Part, Part]:
    """In LyCORIS' layout: weight @ a1 @ a2 + b1 @ b2, for each place of a kernel."""
    base, tail = module.weight.detach(), (1, 1) if module.weight.dim() == 4 else ()
    outputs, inputs = base.shape[:2]
    a1, a2 = random(inputs, 2, *tail), random(2, inputs, *tail)
    b1, b2 = random(outputs, 2, *tail), random(2, *base.shape[1:])
    product = torch.zeros_like(base)
    for r in range(2):
        product += torch.einsum("o,i...->oi...", b1[:, r].flatten(), b2[r])
        read = torch.einsum("oi...,i->o...", base, a1[:, r].flatten())
        product += torch.einsum("o...,i->oi...", read, a2[r].flatten())
    halves = {"a1": a1, "a2": a2, "b1": b1, "b2": b2}
    parts = {f"{name}.weight": value for name, value in halves.items()}
    return parts | {"alpha": torch.tensor(1.0)}, {"weight": product / 2}


def glora_older(module: nn.Module) -> tuple[Part, Part]:
    parts, change = glora(module)
    swapped = {"a1": "a2", "a2": "a1", "b1": "b2", "b2": "b1"}
    return {
        re.sub(r"^[ab][12]", lambda old: swapped[old[0]], name): one for name, one in parts.items()
    }, change


def cayley(block: Tensor, shrink: float = 1.0) -> Tensor:
    skew, one = (block - block.T) * shrink, torch.eye(block.shape[0])
    return (one + skew) @ torch.linalg.inv(one - skew)


def oft(constraint: float = 0.0, rescaled: bool = False) -> Callable[[nn.Module], tuple[Part, Part]]:
    def build(module: nn.Module) -> tuple[Part, Part]:
        base = module.weight.detach()
        size = base.shape[0] // 4
        blocks = random(4, size, size)
        norm = (blocks - blocks.transpose(1, 2)).norm()
        shrink = min(1.0, constraint * base.shape[0] / float(norm)) if constraint else 1.0
        rows = base.flatten(1).split(size)
        turned = torch.cat([cayley(one, shrink).T @ row for one, row in zip(blocks, rows, strict=True)])
        turned = turned.reshape(base.shape)
        parts = {"oft_blocks": blocks, "alpha": torch.tensor(constraint)}
        if rescaled:
            parts["rescale"] = random(base.shape[0], *[1] * (base.dim() - 1)).abs()
            turned = turned * parts["rescale"]
        return parts, {"weight": turned - base}

    return build


def boft(module: nn.Module) -> tuple[Part, Part]:
    """Two stages of blocks of four rows: two neighbours and the two that lie two (four) rows on."""
    base = module.weight.detach()
    rows = base.shape[0]
    blocks = random(2, rows // 4, 4, 4)
    turned = base.flatten(1)
    for stage in range(2):
        near = 2 * 2**stage
        groups = [
            start + place + half * near
            for start in range(0, rows, 2 * near)
            for place in range(near)
            for half in (0, 1)
        ]
        matrix = torch.block_diag(*[cayley(one) for one in blocks[stage]])
        mixed = torch.empty_like(turned)
        mixed[groups] = matrix @ turned[groups]
        turned = mixed
    return {"oft_blocks": blocks}, {"weight": turned.reshape(base.shape) - base}


def ia3_of_peft(module: nn.Module) -> tuple[Part, Part]:
    longer = random(module.weight.shape[0], 1) + 1
    change = {"weight": module.weight.detach() * (longer - 1)}
    if module.bias is not None:
        change["bias"] = module.bias.detach() * (longer[:, 0] - 1)
    return {"ia3_l": longer}, change


def ia3_of_peft_before(module: nn.Module) -> tuple[Part, Part]:
    longer = random(1, module.weight.shape[1]) + 1
    return {"ia3_l": longer}, {"weight": module.weight.detach() * (longer - 1)}


def with_bias(module: nn.Module) -> tuple[Part, Part]:
    parts, product = lora(module)
    bias = random(*module.bias.shape)
    return parts | {"diff_b": bias}, {"weight": product, "bias": bias}


KINDS = {
    "Tucker": (tucker, (CONV,)),
    "LoHa": (loha, (QUERY, CONV)),
    "LoHa Tucker": (loha_tucker, (CONV,)),
    "LoKr": (lokr, (QUERY, CONV)),
    "LoKr whole": (lokr_whole, (QUERY, CONV)),
    "DoRA rows": (dora("dora_scale"), (QUERY, CONV)),
    "DoRA columns": (dora("dora_scale", columns=True), (QUERY, CONV)),
    "DoRA peft": (dora("lora_magnitude_vector"), (QUERY, CONV)),
    "DoRA peft weight": (dora("lora_magnitude_vector.default.weight"), (QUERY,)),
    "difference": (difference, (CONV,)),
    "norm": (norm, (NORM,)),
    "GLoRA": (glora, (QUERY, CONV)),
    "GLoRA older": (glora_older, (QUERY,)),
    "OFT": (oft(), (QUERY, CONV)),
    "OFT bound, rescaled": (oft(0.01, rescaled=True), (QUERY, CONV)),
    "BOFT": (boft, (QUERY, CONV)),
    "(IA)^3 of peft": (ia3_of_peft, (QUERY, OUT)),
    "(IA)^3 of peft before": (ia3_of_peft_before, (QUERY,)),
    "bias beside": (with_bias, (CONV, OUT)),
}


@pytest.mark.parametrize("spelling", ["kohya", "dotted lora_down", "peft default", "no prefix"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_in_every_spelling(
    unet: UNet2DConditionModel, tmp_path: Path, kind: str, spelling: str
) -> None:
    build, layers = KINDS[kind]
    tensors, wanted = Part(), Part()
    for layer in layers:
        parts, change = build(unet.get_submodule(layer))
        tensors |= {SPELLINGS[spelling](layer, part): value.detach() for part, value in parts.items()}
        wanted |= {f"{layer}.{name}": value.detach() for name, value in change.items()}
    assert_changes(unet, written(tmp_path, tensors), wanted)


@pytest.mark.parametrize("on_input", [False, True])
def test_ia3_makes_rows_or_columns_longer(unet: UNet2DConditionModel, tmp_path: Path, on_input: bool) -> None:
    """LyCORIS names its vector as a plain weight is named."""
    tensors, wanted = Part(), Part()
    for layer in (QUERY, CONV):
        base = unet.get_submodule(layer).get_parameter("weight").detach()
        by = random(base.shape[1 if on_input else 0])
        stored = by.reshape(1, -1, 1, 1) if base.dim() == 4 else by
        tensors |= {kohya(layer, "weight"): stored, kohya(layer, "on_input"): torch.tensor(int(on_input))}
        where = "i" if on_input else "o"
        wanted[f"{layer}.weight"] = torch.einsum(f"oi...,{where}->oi...", base, by)
    assert_changes(unet, written(tmp_path, tensors), wanted)
    made = written(tmp_path, {key: value for key, value in tensors.items() if "on_input" not in key})
    with pytest.raises(WeightsError, match=r"half a \(IA\)\^3"):
        merge_into_unet(unet, [made])


def test_kohyas_oft_prefix_and_lycoris_wrapper(unet: UNet2DConditionModel, tmp_path: Path) -> None:
    parts, change = oft()(unet.get_submodule(QUERY))
    for prefix in ("oft_unet_", "lycoris_", "lycoris_unet_"):
        layer = f"{prefix}{QUERY.replace('.', '_')}"
        made = written(tmp_path, {f"{layer}.{name}": value.detach() for name, value in parts.items()})
        assert_changes(unet, made, {f"{QUERY}.weight": change["weight"]})


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ("lambda_layer", "T-LoRA"),
        ("oft_R.weight", "OFT as peft writes it"),
        ("boft_R", "BOFT as peft writes it"),
        ("vera_lambda_b", "VeRA"),
        ("fourierft_spectrum", "FourierFT"),
        ("lora_E", "AdaLoRA"),
    ],
)
@pytest.mark.parametrize("beside", [True, False])
def test_kinds_that_are_not_read_are_named(
    unet: UNet2DConditionModel, tmp_path: Path, part: str, told: str, beside: bool
) -> None:
    tensors = {kohya(QUERY, part): torch.ones(2, 2)}
    if beside:
        tensors |= {kohya(OUT, name): value for name, value in lora(unet.get_submodule(OUT))[0].items()}
    with pytest.raises(WeightsError, match=told) as caught:
        check(written(tmp_path, tensors).path, "mine", Family.nano)
    assert "LoCon version" in caught.value.fix


def test_lycoris_layers_of_nano_are_registered_and_change_it(tmp_path: Path) -> None:
    nano = Path(registry.__file__).parent.parent / "nano" / "weights" / "unet"
    network = UNet2DConditionModel.from_pretrained(nano)
    for build in (glora, oft(0.01), boft):
        parts, change = build(network.get_submodule(QUERY))
        made = written(tmp_path, {kohya(QUERY, name): value.detach() for name, value in parts.items()})
        assert check(made.path, "mine", Family.nano).layers == 1
        assert_changes(network, made, {f"{QUERY}.weight": change["weight"]})


# Alpha and rank in the metadata


@pytest.mark.parametrize("prefix", ["unet.", ""])
@pytest.mark.parametrize("rooted", [False, True])
def test_alpha_comes_from_the_metadata_layer_by_layer(
    unet: UNet2DConditionModel, tmp_path: Path, prefix: str, rooted: bool
) -> None:
    (first, a), (second, b) = lora(unet.get_submodule(QUERY), 2), lora(unet.get_submodule(OUT), 4)
    spell = SPELLINGS["peft" if prefix else "no prefix"]
    tensors = {spell(QUERY, part): value for part, value in first.items()}
    tensors |= {spell(OUT, part): value for part, value in second.items()}
    note = {
        "r": 2,
        "lora_alpha": 8,
        "rank_pattern": {"attn2.to_out.0": 4},
        "alpha_pattern": {"attn2.to_out.0": 2},
        "use_rslora": rooted,
    }
    metadata = {
        "lora_adapter_metadata": json.dumps({f"{prefix}{name}": value for name, value in note.items()})
    }
    scales = (8 / 2**0.5, 2 / 4**0.5) if rooted else (8 / 2, 2 / 4)
    wanted = {f"{QUERY}.weight": scales[0] * a, f"{OUT}.weight": scales[1] * b}
    assert_changes(unet, written(tmp_path, tensors, metadata), wanted)


def test_ordinary_kohya_files_are_what_diffusers_makes_of_them(
    family: Path, unet: UNet2DConditionModel, tmp_path: Path
) -> None:
    tensors = Part()
    for name, module in unet.named_modules():
        if (
            name.endswith(("to_q", "to_k", "to_v", "to_out.0", "ff.net.2", "proj_in"))
            and "attentions" in name
        ):
            parts, _ = lora(module, 4)
            tensors |= {kohya(name, part): value for part, value in parts.items()}
            tensors[kohya(name, "alpha")] = torch.tensor(2.0)
    made = written(tmp_path, tensors)
    theirs = copy.deepcopy(unet)
    state, alphas = StableDiffusionXLLoraLoaderMixin.lora_state_dict(dict(tensors), unet_config=unet.config)
    StableDiffusionXLPipeline.load_lora_into_unet(state, alphas, theirs, adapter_name="x")
    theirs.set_adapters(["x"], [WEIGHT])
    theirs.fuse_lora()
    theirs.unload_lora()
    ours = copy.deepcopy(unet)
    merge_into_unet(ours, [made])
    wanted = theirs.state_dict()
    assert any(not torch.equal(wanted[name], value) for name, value in unet.state_dict().items())
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, wanted[name], atol=1e-6, rtol=0)


# Refused, by name


def parts_of(unet: UNet2DConditionModel) -> Part:
    return {kohya(QUERY, part): value for part, value in lora(unet.get_submodule(QUERY))[0].items()}


def test_a_layer_in_two_spellings_is_not_added_twice(unet: UNet2DConditionModel, tmp_path: Path) -> None:
    tensors = Part()
    for spell in (kohya, SPELLINGS["kohya LDM"]):
        tensors |= {spell(QUERY, part): value for part, value in lora(unet.get_submodule(QUERY))[0].items()}
    with pytest.raises(WeightsError, match="twice"):
        merge_into_unet(unet, [written(tmp_path, tensors)])


def broken(unet: UNet2DConditionModel, how: str) -> Part:
    tensors = parts_of(unet)
    up, down = kohya(QUERY, "lora_up.weight"), kohya(QUERY, "lora_down.weight")
    if how == "NaN":
        tensors[up][0, 0] = float("nan")
    elif how == "infinite alpha":
        tensors[kohya(QUERY, "alpha")] = torch.tensor(float("inf"))
    elif how == "no up":
        del tensors[up]
    elif how == "no down":
        del tensors[down]
    elif how == "zero":
        tensors[up].zero_()
    elif how == "alpha alone":
        tensors[kohya(OUT, "alpha")] = torch.tensor(1.0)
    elif how == "two adapters":
        tensors[SPELLINGS["peft"](QUERY, "lora_up.weight")] = tensors[up]
    elif how == "stranger":
        tensors[kohya(QUERY, "oft_blocks")] = torch.ones(2, 2, 2)
    elif how == "bias of none":
        tensors[kohya(QUERY, "diff_b")] = torch.ones(tensors[up].shape[0])
    elif how == "no such layer":
        tensors |= {key.replace("down_blocks_1", "down_blocks_9"): value for key, value in tensors.items()}
    elif how == "half LoHa":
        tensors = {kohya(QUERY, f"hada_w1_{half}"): torch.ones(2, 2) for half in "ab"}
    elif how == "half LoKr":
        tensors = {kohya(QUERY, "lokr_w1"): torch.ones(2, 2), kohya(QUERY, "lokr_w2_a"): torch.ones(2, 2)}
    return tensors


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("NaN", "NaN or infinite"),
        ("infinite alpha", "NaN or infinite"),
        ("no up", "half a file: .* no lora_up"),
        ("no down", "half a file: .* no lora_down"),
        ("zero", "it changes nothing"),
        ("alpha alone", "an alpha and nothing else"),
        ("two adapters", "there twice"),
        ("stranger", "oft_blocks that does not go with a LoRA layer"),
        ("bias of none", "no bias"),
        ("no such layer", "1 of 2 layers"),
        ("half LoHa", "half a LoHa, without hada_w2_a, hada_w2_b"),
        ("half LoKr", "half a LoKr"),
    ],
)
def test_what_cannot_be_used_exactly_is_refused(
    unet: UNet2DConditionModel, tmp_path: Path, how: str, told: str
) -> None:
    made = written(tmp_path, broken(unet, how))
    before = {name: value.clone() for name, value in unet.state_dict().items()}
    with pytest.raises(WeightsError, match=told) as caught:
        merge_into_unet(unet, [made])
    assert "\n" not in caught.value.line()
    assert caught.value.fix
    assert all(torch.equal(value, before[name]) for name, value in unet.state_dict().items())


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("emb_params", "textual inversion"),
        ("clip_g", "textual inversion"),
        ("model.diffusion_model.input_blocks.0.0.weight", "whole checkpoint"),
        ("down_blocks.0.resnets.0.conv1.weight", "whole UNet"),
        ("decoder.conv_in.weight", "VAE"),
        ("control_model.input_blocks.0.0.weight", "ControlNet"),
        ("transformer.single_blocks.0.attn.to_q.lora_A.weight", "another kind of network"),
        ("some.weight", "not understood"),
    ],
)
def test_other_files_are_named_for_what_they_are(tmp_path: Path, key: str, told: str) -> None:
    made = written(tmp_path, {key: torch.ones(2, 2)})
    for family in (Family.nano, Family.sdxl):
        with pytest.raises(WeightsError, match=told):
            check(made.path, "mine", family)


def test_a_files_shapes_are_compared_with_its_base_at_add(tmp_path: Path) -> None:
    name = "lora_unet_output_blocks_5_1_transformer_blocks_0_attn1_to_q"
    tensors = {f"{name}.lora_down.weight": torch.ones(2, 640), f"{name}.lora_up.weight": torch.ones(640, 2)}
    made = written(tmp_path, tensors)
    assert check(made.path, "mine", Family.sdxl).layers == 1
    with pytest.raises(WeightsError, match=re.escape("[2, 640]")):
        check(made.path, "mine", Family.sd2)
    second = {key.replace("unet_output_blocks_5_1", "te2_x"): value for key, value in tensors.items()}
    with pytest.raises(WeightsError, match="no text_encoder_2"):
        check(written(tmp_path, second).path, "mine", Family.sd2)


def test_alpha_in_a_file_beside_is_not_lost_without_a_word(tmp_path: Path) -> None:
    tensors = {
        "base_model.model.conv_in.lora_A.weight": torch.ones(2, 4, 3, 3),
        "base_model.model.conv_in.lora_B.weight": torch.ones(320, 2, 1, 1),
    }
    made = written(tmp_path, tensors)
    assert check(made.path, "mine", Family.sdxl).unscaled
    (tmp_path / "adapter_config.json").write_text('{"r": 2, "lora_alpha": 2}')
    assert check(made.path, "mine", Family.sdxl).unscaled
    (tmp_path / "adapter_config.json").write_text('{"r": 2, "lora_alpha": 8}')
    with pytest.raises(WeightsError, match="adapter_config"):
        check(made.path, "mine", Family.sdxl)
