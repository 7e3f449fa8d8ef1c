"""Settings composed and judged: what was typed becomes a typed config, or one line of refusal. Torch-free."""
