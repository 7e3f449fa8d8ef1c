"""Prompts: what their text means, and what the encoders make of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import tiny_checkpoints, tiny_networks

from pokora_anime.catalogue.lora.lora_tags import merge_loras, shot_loras, split_tags
from pokora_anime.errors import PromptError
from pokora_anime.networks.text_encoders import framed
from pokora_anime.prompt import prompt_chunks, prompt_travel
from pokora_anime.prompt.prompt_syntax import ParsedPrompt, parse, parse_shot, stops
from pokora_anime.schema.settings import ShotConfig
from pokora_anime.stages.motion import segments
from pokora_anime.stages.text.prompt_embeddings import emphasize, encode, tokenize


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_networks.family(tmp_path_factory.mktemp("sdxl"))


# Syntax


def test_lora_tags_leave_the_text_and_keep_their_order() -> None:
    text, loras = split_tags("vivid colors, <lora:pastelAnimeXL:0.8>, <lora:flat:0.25>, 1 girl")
    assert text == "vivid colors, 1 girl"
    assert [(lora.id, lora.weight) for lora in loras] == [("pastelAnimeXL", 0.8), ("flat", 0.25)]


def test_a_lora_tag_without_a_weight_weighs_one() -> None:
    assert split_tags("<lora:a>")[1][0].weight == 1.0


@pytest.mark.parametrize("tag", ["<lora:a:strong>", "<lora::1>", "<lora:a:9>", "<lora:a", "<lora:a:nan>"])
def test_a_broken_lora_tag_is_refused(tag: str) -> None:
    with pytest.raises(PromptError, match="PRM-SYNTAX"):
        parse(f"girl {tag}")


@pytest.mark.parametrize("tag", ["<lora:pastel:1:0.5>", "<lora:pastel:te=0.5:unet=1>", "<Lora:pastel:1>"])
def test_a_closed_tag_is_not_called_unfinished(tag: str) -> None:
    with pytest.raises(PromptError) as caught:
        split_tags(f"1girl {tag}")
    assert "end" not in caught.value.got
    assert "write <lora:pastel:" in caught.value.fix


@pytest.mark.parametrize(
    ("text", "way"),
    [
        ("girl AND cat:0.5", "'girl, (cat:0.5)'"),
        ("a ADDCOL b", "'a, b'"),
        ("[girl:boy:0.5], hat", "'0: girl, hat, 24: boy, hat'"),
        ("[red|blue] hair", "'{red|blue} hair'"),
        ("__color__ hair", "'{red|blue} hair'"),
        ('"0": "girl", "8": "boy"', "'0: girl, 8: boy'"),
    ],
)
def test_what_only_another_program_reads_is_answered_by_our_way(text: str, way: str) -> None:
    with pytest.raises(PromptError) as caught:
        parse(text)
    assert caught.value.code == "PRM-SYNTAX"
    assert caught.value.fix == f"shot.prompt={way}"


def test_tags_in_the_prompt_win_over_those_in_the_prefix() -> None:
    loras = shot_loras(ShotConfig(prefix="<lora:a:0.5>", prompt="girl <lora:a:0.9> <lora:b:1>"))
    assert [(lora.id, lora.weight) for lora in merge_loras(loras)] == [("a", 0.9), ("b", 1.0)]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("a", [("a", 1.0)]),
        ("(a)", [("a", 1.1)]),
        ("((a))", [("a", 1.21)]),
        ("a (b:1.3) c", [("a ", 1.0), ("b", 1.3), (" c", 1.0)]),
        ("((a:2) b)", [("a", 2.2), (" b", 1.1)]),
        (r"girl \(smile\)", [("girl (smile)", 1.0)]),
        ("(a", [("a", 1.1)]),
        ("a)", [("a)", 1.0)]),
        ("time 3:30", [("time 3:30", 1.0)]),
        ("a, b:1.2) c", [("a, b:1.2) c", 1.0)]),
        ("[a]", [("a", 0.909091)]),
        ("[[a]] b", [("a", 0.826446), (" b", 1.0)]),
        ("(a [b])", [("a ", 1.1), ("b", 1.0)]),
        (r"\[a\]", [("[a]", 1.0)]),
        ("a]", [("a]", 1.0)]),
        ("a, BREAK, b", [("a", 1.0), ("BREAK", -1.0), ("b", 1.0)]),
        ("BREAKFAST", [("BREAKFAST", 1.0)]),
        ("（blue hair：1.3）", [("blue hair", 1.3)]),
        ("［a］ ｛curly｝", [("a", 0.909091), (" {curly}", 1.0)]),
    ],
)
def test_emphasis_reads_as_in_the_web_ui(text: str, pieces: list[tuple[str, float]]) -> None:
    found = parse(text).pieces
    assert [(piece, round(weight, 6)) for piece, weight in found] == pieces


@given(st.text(alphabet=st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), max_size=40))
def test_any_text_either_parses_or_says_why(text: str) -> None:
    try:
        found = parse(text)
    except PromptError as error:
        found = error
    assert isinstance(found, ParsedPrompt) or found.code == "PRM-SYNTAX"


@pytest.mark.parametrize("text", ["", "  ", ", ,", "<lora:pastel:0.8>", "()", "."])
def test_an_empty_prompt_is_refused_whatever_the_prefix(text: str) -> None:
    with pytest.raises(PromptError, match="PRM-EMPTY"):
        parse_shot(ShotConfig(prompt=text, prefix="masterpiece"))


@pytest.mark.parametrize("text", ["girl\x00", "\x1b[31mred", "\ud800", "a\ue000", "a\nb"])
def test_what_is_not_text_is_refused(text: str) -> None:
    with pytest.raises(PromptError, match="PRM-CHARACTER"):
        parse(text)


def test_japanese_is_text() -> None:
    assert parse("青い髪の女の子").text == "青い髪の女の子"


def test_a_lora_in_the_negative_prompt_is_refused() -> None:
    with pytest.raises(PromptError, match="negative"):
        parse_shot(ShotConfig(prompt="girl", negative="<lora:pastel:1>"))


# Tokens


def test_a_long_prompt_is_cut_into_chunks_of_75(family: Path) -> None:
    stack = tiny_networks.models(family).text_stack()
    tokens, weights = tokenize(parse("girl " * 100), stack, "prompt")
    assert [[len(chunk) for chunk in rows] for rows in tokens] == [[75, 25], [75, 25]]
    assert len(weights[0][1]) == 25


def test_an_over_long_prompt_names_its_length(family: Path) -> None:
    with pytest.raises(PromptError, match="has 301 tokens") as caught:
        tokenize(parse("girl " * 301), tiny_networks.models(family).text_stack(), "prompt")
    assert caught.value.code == "PRM-LONG"


def test_short_text_is_framed_as_the_tokenizer_does_it(family: Path) -> None:
    stack = tiny_networks.models(family).text_stack()
    tokenizer = stack.tokenizers[0]
    expected = tokenizer("blue hair, smile", padding="max_length", max_length=77).input_ids
    assert framed(stack.tokens("blue hair, smile"), tokenizer) == expected


# Embeddings


def test_embeddings_are_those_of_diffusers_sdxl_pipeline(family: Path, tmp_path: Path) -> None:
    from diffusers import StableDiffusionXLPipeline

    networks = tiny_networks.models(family)
    stack = networks.text_stack()
    pipeline = StableDiffusionXLPipeline(
        vae=networks.vae(),
        text_encoder=stack.encoders[0],
        text_encoder_2=stack.encoders[1],
        tokenizer=stack.tokenizers[0],
        tokenizer_2=stack.tokenizers[1],
        unet=networks.unet(),
        scheduler=networks.scheduler(),
        force_zeros_for_empty_prompt=False,
    )
    expected = pipeline.encode_prompt("girl, waving", negative_prompt="bad anatomy")
    config = tiny_networks.config()
    config.shot = ShotConfig(prompt="girl, waving", negative="bad anatomy")
    found = encode(config.shot, config, tiny_networks.context(tmp_path, networks))
    assert found.pooled is not None
    assert found.negative_pooled is not None
    parts = (found.embeds, found.negative_embeds, found.pooled, found.negative_pooled)
    for ours, theirs in zip(parts, expected, strict=True):
        assert torch.allclose(ours, theirs[0], atol=1e-6)


def test_sd2_reads_the_normed_last_state_of_its_only_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_checkpoints.unhashed(monkeypatch, "sd2-1")
    networks = tiny_networks.models(tiny_networks.family(tmp_path / "sd2", "sd2"), "sd2")
    config = tiny_networks.config("sd2")
    config.shot = ShotConfig(prompt="girl", negative="")
    found = encode(config.shot, config, tiny_networks.context(tmp_path, networks))
    stack = networks.text_stack()
    ids = torch.tensor([framed(stack.tokens("girl"), stack.tokenizers[0])])
    with torch.no_grad():
        expected = stack.encoders[0](ids).last_hidden_state[0]
    assert found.pooled is None
    assert torch.allclose(found.embeds, expected, atol=1e-6)


def test_prompt_and_negative_have_the_same_length(family: Path, tmp_path: Path) -> None:
    config = tiny_networks.config()
    config.shot = ShotConfig(prompt="girl " * 80, negative="bad")
    found = encode(config.shot, config, tiny_networks.context(tmp_path, tiny_networks.models(family)))
    assert found.embeds.shape == found.negative_embeds.shape == (154, 2 * tiny_networks.TEXT)


@given(st.lists(st.floats(0.1, 2.0), min_size=4, max_size=4))
def test_emphasis_keeps_the_mean_size(weights: list[float]) -> None:
    hidden = torch.randn(1, 4, 8, generator=torch.Generator().manual_seed(0))
    scaled = emphasize(hidden, torch.tensor([weights]))
    assert torch.allclose(scaled.abs().mean(), hidden.abs().mean(), rtol=1e-4)


def test_emphasis_changes_the_embeddings(family: Path, tmp_path: Path) -> None:
    networks = tiny_networks.models(family)
    config = tiny_networks.config()
    embeds = []
    for index, text in enumerate(("blue hair, girl", "(blue hair:1.3), girl")):
        config.shot = ShotConfig(prompt=text)
        embeds.append(
            encode(config.shot, config, tiny_networks.context(tmp_path / str(index), networks)).embeds
        )
    assert not torch.allclose(*embeds)


def test_a_stored_prompt_is_read_back_without_the_encoders(family: Path, tmp_path: Path) -> None:
    config = tiny_networks.config()
    first = tiny_networks.context(tmp_path, tiny_networks.models(family))
    made = encode(config.shot, config, first)
    first.folder.close()
    again = tiny_networks.models(family)
    again.text_stack()._load = lambda: pytest.fail("encoders were loaded")  # type: ignore[assignment]
    kept = encode(config.shot, config, tiny_networks.context(tmp_path, again))
    assert torch.equal(kept.embeds, made.embeds)
    assert kept.node == made.node


def test_free_text_drops_the_encoders(family: Path) -> None:
    networks = tiny_networks.models(family)
    stack = networks.text_stack()
    networks.free_text()
    assert networks.text_stack() is not stack
    assert prompt_chunks.MAX_CHUNKS == 4


# Prompt travel


def test_stops_are_frames_and_their_text() -> None:
    assert stops("0: a girl, standing, 24: a girl, (waving:1.2)") == (
        (0, "a girl, standing"),
        (24, "a girl, (waving:1.2)"),
    )


@pytest.mark.parametrize("text", ["girl", "girl, 24: waving", "16:9, girl", "0:girl", "(0: girl:1.2)"])
def test_other_numbers_are_text(text: str) -> None:
    assert stops(text) == ((0, text),)


@pytest.mark.parametrize(
    "text",
    ["4: girl, 8: boy", "0: girl, 0: boy", "0: a, 9: b, 4: c", ", ".join(f"{i}: a" for i in range(31))],
)
def test_stops_that_do_not_go_on_are_refused(text: str) -> None:
    with pytest.raises(PromptError, match="PRM-TRAVEL"):
        stops(text)


def test_each_stop_is_encoded_with_the_prefix_and_kept(family: Path, tmp_path: Path) -> None:
    config = tiny_networks.config()
    shots = {
        "both": ShotConfig(prompt="0: girl, 8: blue hair", prefix="smile", negative="bad"),
        "first": ShotConfig(prompt="girl", prefix="smile", negative="bad"),
        "second": ShotConfig(prompt="blue hair", prefix="smile", negative="bad"),
    }
    networks = tiny_networks.models(family)
    made = {
        name: encode(shot, replace(config, shot=shot), tiny_networks.context(tmp_path / name, networks))
        for name, shot in shots.items()
    }
    assert [stop.frame for stop in made["both"].travel] == [0, 8]
    for stop, name in zip(made["both"].travel, ("first", "second"), strict=True):
        assert torch.allclose(stop.embeds, made[name].embeds, atol=1e-6)
        assert stop.pooled is not None and made[name].pooled is not None
        assert torch.allclose(stop.pooled, made[name].pooled, atol=1e-6)
    middle = prompt_travel.at(made["both"], 4)
    assert torch.allclose(middle.embeds, (made["first"].embeds + made["second"].embeds) / 2, atol=1e-6)
    assert torch.equal(prompt_travel.at(made["both"], 99).embeds, made["both"].travel[1].embeds)
    assert prompt_travel.at(made["first"], 99) is made["first"]


def test_a_segment_is_denoised_with_the_prompt_of_its_place(family: Path, tmp_path: Path) -> None:
    config = tiny_networks.config()
    config.control.kinds, config.keyframe.enabled = [], False
    networks = tiny_networks.models(family)
    latents: list[torch.Tensor] = []
    for name, text in (("both", "0: girl, 1: blue hair"), ("second", "blue hair"), ("first", "girl")):
        shot = ShotConfig(prompt=text, negative="bad")
        context = tiny_networks.context(tmp_path / name, networks)
        asked = encode(shot, replace(config, shot=shot), context)
        latents.append(next(segments.render(segments.ClipSources(prompt=asked), config, context, 4)).latents)
    assert torch.allclose(latents[0], latents[1], atol=1e-5)
    assert not torch.allclose(latents[0], latents[2], atol=1e-3)
