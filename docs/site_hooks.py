"""What the site adds to its pages: those that lie at the root of the project, and a look at what pages load.

MkDocs calls these functions by their names (mkdocs.yml).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.exceptions import Abort
from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).parent.parent
OF_THE_ROOT = ("COMPLIANCE", "CONTRIBUTING", "CHANGELOG")
# What a browser fetches by itself: what elements show and style sheets name. A link waits for a click.
_LOADED = re.compile(
    r"""<(?:script|img|iframe|source|video|link)\b[^>]*?\b(?:src|href)=["']?(?:https?:)?//[^"'\s>]+"""
    r"""|(?:url\(|@import\s)["']?(?:https?:)?//[^"')\s]+"""
    r"""|class="mermaid""",  # the theme fetches what draws it
    re.IGNORECASE,
)
_PICTURE = re.compile(r"!\[([^]]*)\]\(images/[^)]*\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The pages of the root join those of docs/."""
    for name in OF_THE_ROOT:
        text = (ROOT / f"{name}.md").read_text(encoding="utf-8").replace("](docs/", "](")
        files.append(File.generated(config, f"{name.lower()}.md", content=text))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Links to pages of the root, as they stand in the repository, lead to the site's.

    The source in a bundle carries no picture: there its words stand alone.
    """
    names = "|".join(OF_THE_ROOT)
    if not (ROOT / "docs" / "images").is_dir():
        markdown = _PICTURE.sub(r"*\1*", markdown)
    return re.sub(rf"\.\./({names})\.md", lambda found: f"{found[1].lower()}.md", markdown)


def on_post_build(config: MkDocsConfig) -> None:
    """The site is read without a network. Raises Abort for a page that loads something of another host."""
    site = Path(config.site_dir)
    pages = [path for path in sorted(site.rglob("*")) if path.suffix in (".html", ".css")]
    found = {path: loaded for path in pages if (loaded := foreign(path.read_text(encoding="utf-8")))}
    if found:
        lines = [f"{path.relative_to(site)} loads {', '.join(one)}" for path, one in found.items()]
        raise Abort("\n".join(lines))


def foreign(text: str) -> list[str]:
    """What an HTML page or a style sheet has a browser fetch from another host."""
    return [found[0] for found in _LOADED.finditer(text)]
