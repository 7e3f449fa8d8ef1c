"""Commands that judge what was rendered: signatures, replay, scores."""
