"""The denoising loop: a denoiser holds networks, text, guidance and anchor; the sampler loop steps."""
