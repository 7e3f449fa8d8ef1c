"""Jobs: what was typed or sent becomes judged configs, and each is rendered, or answered from its folder."""
