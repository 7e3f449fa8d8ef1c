"""Decoded frames and drawn poses: ffmpeg, YUV to RGB, the OpenPose picture. Torch-free."""
