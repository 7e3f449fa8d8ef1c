"""What moves a clip beside its words, as numbers: accents of a beat or a sound, a feedback. Torch-free."""
