"""A motion LoRA: layers of a motion adapter, trained on drawn clips."""
