"""A real browser for the tests: headless Chromium, driven by its own DevTools protocol over a pipe."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-extensions",
    "--disable-background-networking", "--disable-dev-shm-usage", "--force-color-profile=srgb",
    "--remote-debugging-pipe", "about:blank",
)  # fmt: skip
PATIENCE_S = 60


def find_browser() -> str | None:
    """The path of a Chromium, None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@dataclass
class Tab:
    """One page in the browser, and everything that happened in it."""

    call: Callable[..., dict[str, Any]]
    events: list[dict[str, Any]] = field(default_factory=list)

    def open(self, path: Path, tail: str = "", width: int = 1280, height: int = 900) -> None:
        """Go to a file, at a width and height in CSS pixels, and wait until it is loaded."""
        self.resize(width, height)
        self.call("Page.navigate", url="about:blank")
        self.events.clear()
        self.call("Page.navigate", url=path.resolve().as_uri() + tail)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def resize(self, width: int, height: int = 900) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def emulate(self, *, media: str = "", scheme: str = "light") -> None:
        """Print or screen, light or dark."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)

    def value(self, expression: str) -> Any:
        """What an expression of JavaScript gives, as JSON."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, expression: str) -> None:
        """Until an expression is true."""
        end = time.monotonic() + PATIENCE_S
        while not self.value(expression):
            assert time.monotonic() < end, f"never true: {expression}"
            time.sleep(0.02)

    def press(self, key: str, *, text: str = "", shift: bool = False) -> None:
        """Press and release a key, as a keyboard does."""
        codes = {"Tab": 9, "Enter": 13, " ": 32, "Escape": 27}
        text = text or {"Enter": "\r", " ": " "}.get(key, "")
        stroke = {"key": key, "windowsVirtualKeyCode": codes.get(key, 0), "modifiers": 8 if shift else 0}
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **stroke)
        self.call("Input.dispatchKeyEvent", type="keyUp", **stroke)

    def type(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        """Click the middle of an element, as a mouse does."""
        place = f"""(() => {{ const one = document.querySelector({json.dumps(selector)});
            one.scrollIntoView({{ block: 'center', behavior: 'instant' }});
            const box = one.getClientRects()[0];
            return [box.left + box.width / 2, box.top + box.height / 2]; }})()"""
        x, y = self.value(place)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def picture(self, path: Path, *, whole: bool = False) -> Path:
        """A screenshot as PNG: of the window, or of the whole page."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(shot["data"]))
        return path

    def pdf(self, path: Path) -> Path:
        """The page as it prints."""
        made = self.call("Page.printToPDF", preferCSSPageSize=True, printBackground=False)
        path.write_bytes(base64.b64decode(made["data"]))
        return path

    def requests(self) -> list[str]:
        """Addresses that were asked for since the page was opened; data inside the page is none."""
        found = [e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"]
        return [url for url in found if not url.startswith("data:")]

    def complaints(self) -> list[str]:
        """Errors and warnings of the console, exceptions, dialogs."""
        found = []
        for event in self.events:
            params = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                found.append(json.dumps(params["exceptionDetails"])[:500])
            elif event["method"] == "Runtime.consoleAPICalled":
                found.append(json.dumps(params["args"])[:500])
            elif event["method"] == "Log.entryAdded":
                found.append(params["entry"]["text"])
            elif event["method"] == "Page.javascriptDialogOpening":
                found.append(f"dialog: {params['message']}")
        return found


class _Pipe:
    """Messages of the protocol: JSON texts with a zero byte between them."""

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write, self._rest, self._number = read, write, b"", 0
        self.tabs: dict[str, Tab] = {}

    def call(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        data = json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return dict(answer["result"])
            if answer.get("sessionId") in self.tabs:
                self.tabs[answer["sessionId"]].events.append(answer)
                if answer["method"] == "Page.javascriptDialogOpening":
                    self._answer_dialog(answer["sessionId"])

    def _answer_dialog(self, session: str) -> None:
        self._number += 1
        message = {
            "id": self._number, "method": "Page.handleJavaScriptDialog", "params": {"accept": False},
            "sessionId": session,
        }  # fmt: skip
        self._number -= 1
        os.write(self._write, json.dumps(message | {"id": 10**6 + self._number}).encode() + b"\0")

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + PATIENCE_S
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], max(0.0, end - time.monotonic()))
            assert ready, "the browser does not answer"
            more = os.read(self._read, 1 << 20)
            assert more, "the browser is gone"
            self._rest += more
        text, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(text))


@contextmanager
def browser() -> Iterator[Tab]:
    """A browser with one empty tab; it ends with the block, and its folder goes."""
    program = find_browser()
    assert program, "no Chromium here"
    folder = tempfile.mkdtemp(prefix="cemrad-browser-")
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    high = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, 20) for one in (theirs_in, theirs_out)]
    actions = [
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0o600),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0o600),
        (os.POSIX_SPAWN_DUP2, high[0], 3),
        (os.POSIX_SPAWN_DUP2, high[1], 4),
    ]
    arguments = [program, f"--user-data-dir={folder}", *FLAGS]
    child = os.posix_spawn(program, arguments, dict(os.environ), file_actions=actions, setpgroup=0)
    for one in (theirs_in, theirs_out, *high):
        os.close(one)
    try:
        pipe = _Pipe(ours_in, ours_out)
        target = pipe.call("Target.createTarget", url="about:blank")["targetId"]
        session = pipe.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = Tab(lambda method, **params: pipe.call(method, session, **params))
        pipe.tabs[session] = tab
        for domain in ("Page", "Runtime", "Network", "Log"):
            tab.call(f"{domain}.enable")
        yield tab
    finally:
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ours_in)
        os.close(ours_out)
        shutil.rmtree(folder, ignore_errors=True)
