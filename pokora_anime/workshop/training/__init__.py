"""A LoRA trained on a data set: any base, one loop, resumable to the same bytes."""
