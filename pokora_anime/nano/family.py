"""Architecture of every member: constants and builder functions, no training."""

from __future__ import annotations

from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    ControlNetModel,
    DPMSolverMultistepScheduler,
    MotionAdapter,
    UNet2DConditionModel,
    UNetMotionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
)

from pokora_anime.nano.nano_extractors import PoseExtractor
from pokora_anime.nano.sizes import LATENT, PICTURE
from pokora_anime.nano.tokenizer import MAX_LENGTH, build_tokenizer
from pokora_anime.nano.world.vocabulary import words

TEXT_WIDTH = 128
CONTEXT_WIDTH = 2 * TEXT_WIDTH
UNET_CHANNELS = (64, 128, 128)
HINT_CHANNELS = (8, 16, 32, 64)
DEPTH_INPUT = 128  # pixels a side


def make_tokenizer() -> CLIPTokenizer:
    """Own vocabulary; both text encoders use it."""
    return build_tokenizer(words())


def make_text_config(tokenizer: CLIPTokenizer) -> CLIPTextConfig:
    """Shared by both encoders."""
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=4 * TEXT_WIDTH,
        projection_dim=TEXT_WIDTH,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=MAX_LENGTH,
        # CLIPTextModel pools at the first eos, unless eos is 2 (then at the largest id).
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def make_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """First encoder: hidden states only."""
    return CLIPTextModel(make_text_config(tokenizer))


def make_text_encoder_2(tokenizer: CLIPTokenizer) -> CLIPTextModelWithProjection:
    """Second encoder: hidden states and the pooled embedding."""
    return CLIPTextModelWithProjection(make_text_config(tokenizer))


def make_unet() -> UNet2DConditionModel:
    """Latents [B,4,32,32], SDXL conditioning; 7.1 M parameters."""
    return UNet2DConditionModel(
        sample_size=LATENT,
        block_out_channels=UNET_CHANNELS,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(1, 2, 2),  # diffusers reads this as the number of heads
        transformer_layers_per_block=(1, 1, 1),
        cross_attention_dim=CONTEXT_WIDTH,
        use_linear_projection=True,
        norm_num_groups=16,
        addition_embed_type="text_time",
        addition_time_embed_dim=32,
        projection_class_embeddings_input_dim=TEXT_WIDTH + 6 * 32,
    )


def make_vae() -> AutoencoderKL:
    """Pictures [B,3,256,256] in -1..1 to latents [B,4,32,32]."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(16, 32, 64, 96),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        mid_block_add_attention=False,
        sample_size=PICTURE,
        scaling_factor=1.0,
    )


def make_vae_tiny() -> AutoencoderTiny:
    """A quick preview decoder for the same latents."""
    return AutoencoderTiny(
        encoder_block_out_channels=(24, 24, 24, 24),
        decoder_block_out_channels=(24, 24, 24, 24),
        num_encoder_blocks=(1, 1, 1, 1),
        num_decoder_blocks=(1, 1, 1, 1),
        latent_magnitude=4,
        scaling_factor=1.0,
    )


def make_motion_adapter() -> MotionAdapter:
    """Temporal layers for up to 32 frames."""
    return MotionAdapter(
        block_out_channels=UNET_CHANNELS,
        motion_layers_per_block=1,
        motion_num_attention_heads=2,
        motion_norm_num_groups=16,
        use_motion_mid_block=False,
        motion_max_seq_length=32,
    )


def make_motion_unet(unet: UNet2DConditionModel, adapter: MotionAdapter) -> UNetMotionModel:
    """The UNet with temporal layers in it."""
    motion = UNetMotionModel.from_unet2d(unet, adapter)
    # diffusers 0.42 leaves this part of SDXL-shaped UNets random.
    motion.add_embedding.load_state_dict(unet.add_embedding.state_dict())
    return motion


def make_controlnet(unet: UNet2DConditionModel) -> ControlNetModel:
    """A copy of the UNet's encoder that reads a map [B,3,256,256] in 0..1."""
    return ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=HINT_CHANNELS)


def make_scheduler() -> DPMSolverMultistepScheduler:
    """The schedule the family is trained with; other samplers come by from_config."""
    return DPMSolverMultistepScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.020,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        algorithm_type="dpmsolver++",
        solver_order=2,
        final_sigmas_type="zero",
        steps_offset=1,
    )


def make_pose_extractor() -> PoseExtractor:
    """Pictures to the 18 OpenPose joints."""
    return PoseExtractor()


def make_depth_extractor() -> DepthAnythingForDepthEstimation:
    """Pictures [B,3,128,128] to relative depth, larger is nearer."""
    patch = 8
    backbone = Dinov2Config(
        image_size=DEPTH_INPUT,
        patch_size=patch,
        hidden_size=96,
        num_hidden_layers=4,
        num_attention_heads=3,
        out_features=["stage1", "stage2", "stage3", "stage4"],
        reshape_hidden_states=False,
    )
    return DepthAnythingForDepthEstimation(
        DepthAnythingConfig(
            backbone_config=backbone,
            patch_size=patch,
            reassemble_hidden_size=96,
            reassemble_factors=[4, 2, 1, 0.5],
            neck_hidden_sizes=[24, 32, 48, 64],
            fusion_hidden_size=32,
            head_hidden_size=16,
            depth_estimation_type="relative",
        )
    )
