"""Files of a run over HTTP: looked up inside its folder, with ranges; nothing in them runs. Torch-free."""

from __future__ import annotations

from pathlib import Path

from fastapi.responses import FileResponse, Response

from pokora_anime.studio.http_guard import REPORT_CSP
from pokora_anime.studio.problems import missing
from pokora_anime.untrusted import untrusted_names

TYPES = {
    ".mp4": "video/mp4", ".png": "image/png", ".webp": "image/webp", ".jpg": "image/jpeg",
    ".svg": "image/svg+xml",
    ".json": "application/json", ".jsonl": "text/plain", ".yaml": "text/plain", ".txt": "text/plain",
    ".log": "text/plain", ".md": "text/plain", ".csv": "text/csv", ".html": "text/html",
    ".pdf": "application/pdf",
}  # fmt: skip
_PAGES = (".html", ".svg")


def answer_file(folder: Path, name: str, *, download: bool = False) -> Response:
    """A file below a folder. Raises Problem 404 for what is no plain file inside it."""
    path = folder / name
    inside = not untrusted_names.problem(name) and not any(part.startswith(".") for part in Path(name).parts)
    try:
        plain = (
            inside
            and not folder.is_symlink()
            and path.is_file()
            and path.resolve().is_relative_to(folder.resolve())
        )
        plain = plain and not any((folder / part).is_symlink() for part in _steps(name))
    except (OSError, ValueError):
        plain = False
    if not plain:
        raise missing(f"no file {untrusted_names.shown(name)}")
    kind = TYPES.get(path.suffix.lower(), "application/octet-stream")
    headers = {"Content-Security-Policy": REPORT_CSP} if path.suffix.lower() in _PAGES else {}
    if path.suffix.lower() == ".mp4" or path.suffix.lower() in (".png", ".webp"):
        headers["Cache-Control"] = "private, max-age=3600"
    saved = download or kind == "application/octet-stream"
    return FileResponse(
        path, media_type=kind, headers=headers, filename=path.name,
        content_disposition_type="attachment" if saved else "inline",
    )  # fmt: skip


def _steps(name: str) -> list[str]:
    """Each folder on the way, and the file."""
    parts = Path(name).parts
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def listed(folder: Path, most: int = 400) -> list[dict[str, object]]:
    """The plain files below a folder, with sizes."""
    found: list[dict[str, object]] = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if len(found) >= most or path.is_symlink() or not path.is_file() or untrusted_names.problem(name):
            continue
        if any(part.startswith(".") for part in Path(name).parts):
            continue
        kind = TYPES.get(path.suffix.lower(), "application/octet-stream")
        found.append({"name": name, "bytes": path.stat().st_size, "type": kind})
    return found
