"""Which weight files stand behind the digests in a run's nodes. Torch-free."""

from __future__ import annotations

from collections.abc import Set

from pokora_anime.catalogue import needed_weights, weight_hashes
from pokora_anime.errors import RecordError
from pokora_anime.provenance.hashing import Json, text_hash
from pokora_anime.schema.settings import RunConfig
from pokora_anime.system.files.installed_package import INSTALLED

# The parts of a row that a digest covers, as Models.weights_hash takes them: the text encoders, the
# UNet, the VAE of a base, or all of it.
_PARTS = (("text_encoder", "tokenizer", "model_index.json"), ("unet", "scheduler"), ("vae",), ("",))


def weight_files(config: RunConfig, digests: Set[str]) -> dict[str, Json]:
    """By digest, the registry row and the sha256 of each of its files that the digest covers.

    Raises RecordError REC-WEIGHTS for a digest that no weights of this config have, WeightsError WGT-*.
    """
    found: dict[str, Json] = {}
    for row in needed_weights.needs(config):
        folder = needed_weights.locate(row)
        if folder is None:
            raise weight_hashes.missing(row, INSTALLED)
        present = weight_hashes.verify(row, folder)
        for parts in _PARTS:
            files: dict[str, Json] = {
                name: digest for name, digest in present.items() if name.startswith(parts)
            }
            if (digest := text_hash(files)) in digests:
                found[digest] = {"row": row.id, "files": files}
    if unknown := set(digests) - set(found):
        raise RecordError(
            "REC-WEIGHTS",
            f"weights of digest {', '.join(digest[:12] for digest in sorted(unknown))}",
            expected="only weights that this config names",
            fix="start the same command again",
        )
    return found
