"""Pages that are made from the source are those of the source as it is."""

from __future__ import annotations

import sys
from importlib import util
from pathlib import Path

from pokora_anime.errors import PokoraError

ROOT = Path(__file__).parent.parent
_spec = util.spec_from_file_location("docs_errors", ROOT / "docs" / "errors.py")
assert _spec is not None and _spec.loader is not None
errors = util.module_from_spec(_spec)
sys.modules[_spec.name] = errors
_spec.loader.exec_module(errors)


def test_the_page_of_error_codes_is_that_of_the_source() -> None:
    """`python docs/errors.py` writes it."""
    assert errors.PAGE.read_text(encoding="utf-8") == errors.page()


def test_each_code_of_an_error_class_stands_on_the_page() -> None:
    page, kinds = errors.page(), PokoraError.__subclasses__()
    assert {"ConfigError", "WeightsError", "MachineError"} <= {kind.__name__ for kind in kinds}
    for code in ("CFG-SWEEP", "WGT-NAN", "SYS-DRIVER", "GATE-URL", "RULE-BASE", "BND-DOCUMENT"):
        assert f"| `{code}` |" in page
