"""The keyframe and the stills: noise, denoising, decoding."""
