"""`--prompt-file`: a text file with one prompt a line, rendered as a sweep."""

from __future__ import annotations

import json
from pathlib import Path

from pokora_anime.errors import ConfigError

MAX_PROMPTS = 200
_MAX_BYTES = 1_000_000


def override(path: Path) -> str:
    """The file's prompts as one override; empty lines and those that begin with # are none.

    Raises ConfigError CFG-FILE for a file that cannot be read or holds no prompts.
    """
    prompts = [line.strip() for line in _read(path).splitlines()]
    prompts = [line for line in prompts if line and not line.startswith("#")]
    if not prompts or len(prompts) > MAX_PROMPTS:
        raise _refusal(f"{len(prompts)} prompts in {path}", f"1 to {MAX_PROMPTS}, one a line")
    option = next((line for line in prompts if line.startswith("--")), None)
    if option is not None:
        raise _refusal(f"{option[:40]!r} in {path}", "prompts alone: options stand on the command line")
    return f"shot.prompt={json.dumps(prompts, ensure_ascii=False)}"


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise _refusal(f"{path} is larger than {_MAX_BYTES} bytes", "a text file, one prompt a line")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise _refusal(f"cannot read {path} ({error.strerror})", "a text file, one prompt a line") from error
    except UnicodeDecodeError as error:
        raise _refusal(f"{path} is no UTF-8 text", "a text file, one prompt a line") from error


def _refusal(got: str, expected: str) -> ConfigError:
    return ConfigError("CFG-FILE", got, expected=expected, fix="--prompt '1girl, blue hair'")
