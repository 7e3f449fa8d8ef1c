"""Writes docs/settings.md: every key with its default, what it may be and what it is for, from the schema.

python docs/settings.py
"""

from __future__ import annotations

from pathlib import Path

from pokora_anime.cli.key_pages import default, section_help
from pokora_anime.schema.config_groups import typed_settings
from pokora_anime.schema.field_laws import Setting

PAGE = Path(__file__).parent / "settings.md"
HEAD = """# Settings

Made from the schema by `python docs/settings.py`. Each key can follow `pokora video` or `pokora stills` as
`key=value`; `pokora video --help motion` says the same of a section. The defaults are those of
`pokora video`, and options of groups, `base=` and `speed=` among them, set others: `pokora video --cfg`
prints what a command line comes to. A value that a key may not have is refused with CFG-RANGE or CFG-TYPE
before anything is loaded, and so are values that do not fit each other.
"""


def page() -> str:
    """The page as Markdown."""
    video, stills = typed_settings("video"), typed_settings("stills")
    sections: dict[str, list[tuple[str, Setting]]] = {}
    for command, key in (*(("video", key) for key in video), *(("stills", key) for key in stills)):
        if command == "video" or key not in video:
            setting = typed_settings(command)[key]
            sections.setdefault(setting.section, []).append((command, setting))
    lines = [HEAD]
    for section, settings in sections.items():
        lines += [f"## {section}: {section_help('video', section)}" if section else "## The run", ""]
        lines += ["| Key | Default | May be | What it is |", "|---|---|---|---|"]
        lines += [_row(command, setting, alone=setting.key not in stills) for command, setting in settings]
        lines.append("")
    return "\n".join(lines)


def _row(command: str, setting: Setting, *, alone: bool) -> str:
    value, what = default(command, setting), setting.law.help
    if command == "stills":
        what += " (`pokora stills`)"
    elif alone and not setting.section:
        what += " (`pokora video`)"
    cells = (f"`{setting.key}`", f"`{value}`" if value else "", setting.accepted, what)
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
