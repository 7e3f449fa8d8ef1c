"""A page in a real Chromium, asked through its debugging pipe: what it holds, keys, the pointer, a picture.

Source: Chrome DevTools Protocol over `--remote-debugging-pipe`: JSON messages that end in a NUL.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --autoplay-policy=no-user-gesture-required"
).split()
_KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowUp": 38, "ArrowDown": 40, " ": 32}
# Chromium reads descriptor 3 and writes 4.
_ON_3_AND_4 = """
import os, sys
for of, to in zip((*map(int, sys.argv[1:3]), 98, 99), (98, 99, 3, 4)):
    os.dup2(of, to)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Page:
    """One page of a browser."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read, self._number, self._rest = write, read, 0, b""
        self.errors: list[str] = []
        (target,) = [
            one["targetId"] for one in self._ask("Target.getTargets")["targetInfos"] if one["type"] == "page"
        ]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the page's."""
        return self._ask(method, self._session, **params)

    def _ask(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        data = json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        while True:
            told = self._next()
            if told.get("id") == self._number:
                assert "error" not in told, (method, told["error"])
                return told["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            data = os.read(self._read, 1 << 20)
            assert data, "the browser has ended"
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\0")
        told = json.loads(line)
        if told.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
            entry = told["params"].get("entry", {})
            if entry.get("level", "error") == "error":
                self.errors.append(json.dumps(told["params"])[:600])
        return told

    def open(self, address: str, width: int = 1280, height: int = 900, *, dark: bool = False) -> float:
        """Shows an address at a size of the window; returns the seconds until it had loaded."""
        shape = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.ask("Emulation.setDeviceMetricsOverride", **shape)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        begun = time.monotonic()
        self.ask("Page.navigate", url=address)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")
        return time.monotonic() - begun

    def tell(self, code: str) -> Any:
        """The value of an expression, awaited."""
        told = self.ask(
            "Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True, userGesture=True
        )
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def until(self, code: str, seconds: float = 20) -> None:
        """Waits until an expression holds."""
        end = time.monotonic() + seconds
        while not self.tell(code):
            assert time.monotonic() < end, code
            time.sleep(0.03)

    def key(self, name: str) -> None:
        """Presses a key."""
        told = {"key": name, "code": name, "windowsVirtualKeyCode": _KEYS[name]}
        text = {"Enter": {"text": "\r"}, " ": {"text": " "}}.get(name, {})
        self.ask("Input.dispatchKeyEvent", type="keyDown", **told, **text)
        self.ask("Input.dispatchKeyEvent", type="keyUp", **told)

    def middle(self, selector: str) -> tuple[float, float]:
        """Where an element is, scrolled into view."""
        found = self.tell(
            f"(() => {{const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'center'}); const b = e.getBoundingClientRect();"
            "return [b.x + b.width / 2, b.y + b.height / 2]})()"
        )
        return found[0], found[1]

    def point(self, selector: str, *, click: bool = False) -> None:
        """Moves the pointer onto an element, and presses there."""
        x, y = self.middle(selector)
        self.mouse("mouseMoved", x, y)
        if click:
            self.mouse("mousePressed", x, y)
            self.mouse("mouseReleased", x, y)

    def mouse(self, kind: str, x: float, y: float) -> None:
        """One event of the pointer."""
        button = {"button": "left", "clickCount": 1} if kind != "mouseMoved" else {}
        self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, **button)

    def picture(self, path: Path, *, whole: bool = False) -> Path:
        """The window, or the whole page, as PNG."""
        data = self.ask("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))
        return path


@contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """A browser with one empty page."""
    assert CHROMIUM is not None
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()

    flags = [*FLAGS, f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"]
    line = [sys.executable, "-S", "-c", _ON_3_AND_4, str(theirs_in), str(theirs_out), CHROMIUM, *flags]
    process = subprocess.Popen(
        line,
        pass_fds=(theirs_in, theirs_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Page(ours_out, ours_in)
    finally:
        os.killpg(process.pid, 9)
        process.wait()
        os.close(ours_out)
        os.close(ours_in)
