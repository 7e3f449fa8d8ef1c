"""The runs behind a path: those of a bundle, unpacked, or the one run that it is."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from pokora_anime.submission import file_names
from pokora_anime.submission.bundle import file_list, stated_loras
from pokora_anime.submission.check.examine_bundle import listed_runs
from pokora_anime.untrusted.container import Unreadable
from pokora_anime.untrusted.read_limits import LIMITS, Limits
from pokora_anime.untrusted.run_source import open_source


@contextmanager
def opened(path: Path, limits: Limits = LIMITS) -> Generator[dict[str, Path], None, None]:
    """Folders of a bundle's runs by `video` and `stills`, numbered from the second on; else `path` by "".

    The LoRAs that a bundle states are known meanwhile.
    """
    try:
        with open_source(path, limits) as folder:
            if file_names.MANIFEST in folder.sizes:
                found: dict[str, Path] = {}
                listed = listed_runs(folder, limits)
                for run in listed:
                    kind = run.split("/")[1] if run.count("/") else run
                    number = sum(name.startswith(kind) for name in found) + 1
                    found[kind if number == 1 else f"{kind}-{number}"] = folder.root / run
                by_run = file_list.records(folder, listed, limits)
                stated, _ = stated_loras.read(folder, by_run, limits)
                with stated_loras.known(folder, stated):
                    yield found
                return
    except Unreadable:
        pass  # whoever opens the path itself says why
    yield {"": path}
