"""Pages that are made from the source are those of the source as it is."""

from __future__ import annotations

import sys
from importlib import util
from pathlib import Path
from types import ModuleType

import pytest

from pokora_anime.errors import PokoraError

ROOT = Path(__file__).parent.parent


def _script(name: str) -> ModuleType:
    spec = util.spec_from_file_location(f"docs_{name}", ROOT / "docs" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    script = util.module_from_spec(spec)
    sys.modules[spec.name] = script
    spec.loader.exec_module(script)
    return script


@pytest.mark.parametrize("name", ["errors", "settings"])
def test_a_page_is_that_of_the_source(name: str) -> None:
    """`python docs/NAME.py` writes it."""
    script = _script(name)
    assert script.PAGE.read_text(encoding="utf-8") == script.page()


def test_each_code_of_an_error_class_stands_on_the_page() -> None:
    page, kinds = _script("errors").page(), PokoraError.__subclasses__()
    assert {"ConfigError", "WeightsError", "MachineError"} <= {kind.__name__ for kind in kinds}
    for code in ("CFG-SWEEP", "WGT-NAN", "SYS-DRIVER", "GATE-URL", "RULE-BASE", "BND-DOCUMENT"):
        assert f"| `{code}` |" in page
