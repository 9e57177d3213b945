"""A headless Chromium, steered through its debugging pipe; skipped where there is none."""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.runs import PATIENCE

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
    *("--remote-debugging-pipe", "--disable-dev-shm-usage"),
)


class Tab:
    """One page. `requested` has each URL it asked for, `complaints` what its console said."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process, self._numbers, self._unread = process, itertools.count(1), b""
        self._session: str | None = None
        self.requested: list[str] = []
        self.complaints: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """The result of one call of the DevTools protocol; what happens meanwhile is noted."""
        message = {"id": next(self._numbers), "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\0")
        self._process.stdin.flush()
        while (said := self._next()).get("id") != message["id"]:
            self._note(said)
        assert "error" not in said, f"{method}: {said['error']}"
        return said["result"]

    def _next(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._process.stdout], [], [], PATIENCE)
            read = os.read(self._process.stdout.fileno(), 2**20) if ready else b""
            assert read, f"chromium ended or hangs: {self._process.poll()}"
            self._unread += read
        said, _, self._unread = self._unread.partition(b"\0")
        return json.loads(said)

    def _note(self, said: dict[str, Any]) -> None:
        params = said.get("params", {})
        match said.get("method"):
            case "Network.requestWillBeSent":
                self.requested.append(params["request"]["url"])
            case "Log.entryAdded":
                self.complaints.append(params["entry"]["text"])
            case "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(params["exceptionDetails"]))
            case "Runtime.consoleAPICalled":
                self.complaints.append(json.dumps(params["args"]))

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression, a promise awaited."""
        said = self.call(
            "Runtime.evaluate",
            expression=script,
            returnByValue=True,
            awaitPromise=True,
            userGesture=True,
        )
        assert "exceptionDetails" not in said, said
        return said["result"].get("value")

    def until(self, script: str) -> Any:
        """The first true value of an expression."""
        end = time.monotonic() + PATIENCE
        while not (value := self.run(script)):
            assert time.monotonic() < end, f"never true: {script}\n{self.complaints}"
            time.sleep(0.1)
        return value

    def open(self, url: str) -> None:
        """Go there, and wait until all is loaded."""
        self.call("Page.navigate", url=url)
        self.until(f"location.href == {url!r} && document.readyState == 'complete'")

    def choose(self, selector: str, *files: Path) -> None:
        """Give files to an <input type=file>, as its dialog would."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(file) for file in files], nodeId=node)

    def press(self, key: str, code: int) -> None:
        """A key of the keyboard, by its name and its virtual code."""
        for kind in ("keyDown", "keyUp"):
            text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **text
            )

    def screen(self, *, width: int, height: int = 844, dark: bool = False) -> None:
        """Show pages as a screen of that size does, and a person who likes it dark or light."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self) -> bytes:
        """A PNG of the whole page."""
        made = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(made["data"])


@contextmanager
def browser(folder: Path) -> Iterator[Tab]:
    """An empty tab of a browser whose profile is in `folder`."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("no chromium here: apt-get install chromium")
    # the protocol is spoken on file descriptors 3 and 4
    shell = ["sh", "-c", 'exec "$@" 3<&0 4>&1 </dev/null >/dev/null', "sh"]
    with subprocess.Popen(
        [*shell, program, *FLAGS, f"--user-data-dir={folder}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield Tab(process)
        finally:
            process.terminate()
