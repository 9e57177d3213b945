"""`kvgg serve` as a process: where it listens, what it prints, how it stops."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from kvgg_jax.core import extras
from kvgg_jax.core.errors import OutOfMemory, ServeError
from kvgg_jax.core.events import Event, Warned
from kvgg_jax.inference.neighbors import FILE
from kvgg_jax.web.serve.limits import Limits
from support.commands import kvgg, message
from support.runs import PATIENCE, THIN_VGG11, Trained
from support.users import nobody_process

pytest.importorskip("fastapi")
from kvgg_jax.web.serve import server
from kvgg_jax.web.serve.network import Network
from kvgg_jax.web.serve.server import serve

pytestmark = pytest.mark.usefixtures("thin_network")
PROGRAM = f"""
import sys
from kvgg_jax.cli.main import main
{THIN_VGG11}
try:
    main()
finally:
    print("heavy:", sorted({{"tensorflow", "keras"}} & set(sys.modules)), file=sys.stderr)
"""


def a_form(photo: Path) -> bytes:
    """A photo as multipart/form-data, boundary `b`."""
    head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    return head + photo.read_bytes() + b"\r\n--b--\r\n"


@contextmanager
def process(
    run: Path, stderr: Path, *flags: str, first: str = ""
) -> Iterator[subprocess.Popen[str]]:
    """A server of `run`, as `nobody`, who runs the code `first` before."""
    with nobody_process() as user, stderr.open("wb") as file:
        place = user.reach(run)
        command = [user.python, "-c", first + PROGRAM, "serve", "--run", place, "--port", "0"]
        options = {"stdout": subprocess.PIPE, "stderr": file, "text": True, **user.options}
        with subprocess.Popen([*command, *flags], **options) as started:
            try:
                yield started
            finally:
                started.kill()


def port_of(started: subprocess.Popen[str], stderr: Path) -> int:
    """Once it is ready."""
    assert started.stdout is not None
    line = started.stdout.readline()
    assert line.startswith("Ready at http://127.0.0.1:"), stderr.read_text()
    return int(line.strip().rstrip("/").split(":")[-1])


def health(port: int) -> Any:
    url = f"http://127.0.0.1:{port}/health"
    with urllib.request.urlopen(url, timeout=PATIENCE) as response:
        return json.load(response)


def test_a_signal_ends_it_once_requests_in_progress_are_answered(
    trained: Trained, tmp_path: Path
) -> None:
    """Health first; then a photo of which half has come as SIGTERM does is answered. Exit 143.

    The process may write nowhere, has loaded neither TensorFlow nor Keras, and no trace is on its
    screen.
    """
    photo, stderr = trained.photos / "red" / "red_00.png", tmp_path / "stderr"
    with process(trained.run, stderr, "--max-batch", "1") as server:
        port, form = port_of(server, stderr), a_form(photo)
        assert health(port) == {"status": "ready"}
        with socket.create_connection(("127.0.0.1", port)) as half:
            half.settimeout(PATIENCE)
            head = (
                f"POST /api/predict HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
                "Expect: 100-continue\r\nContent-Type: multipart/form-data; boundary=b\r\n"
                f"Content-Length: {len(form)}\r\n\r\n"
            )
            half.sendall(head.encode())
            assert half.recv(100).startswith(b"HTTP/1.1 100")  # it reads
            half.sendall(form[:200])
            server.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + PATIENCE
            while _listens(port):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            half.sendall(form[200:])
            answer = b"".join(iter(lambda: half.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 200"), answer
        assert json.loads(answer.split(b"\r\n\r\n")[1])["results"][0]["name"] == "a.png"
        assert server.wait(PATIENCE) == 143
    lines = stderr.read_text().splitlines()
    assert "Stop it with Ctrl-C." in lines
    assert "Stopping: requests in progress are answered. Ctrl-C again to stop at once." in lines
    assert "heavy: []" in lines
    assert "Traceback" not in stderr.read_text()


def test_training_photos_are_shown_for_one_run_alone(folds: Path) -> None:
    """Each fold sees photos in its own way."""
    result = kvgg("serve", "--run", folds, "--similar", "3", "--port", "0")
    assert (result.exit_code, message(result).splitlines()[-1]) == (
        2,
        f"Error: --similar needs one run: the folds of {folds} see photos each in its own way. "
        f"Serve one of them: --run {folds}/fold-1",
    )


def test_a_run_that_the_user_may_not_read_is_named(finished: Path, tmp_path: Path) -> None:
    """By the file and the reason, without a trace."""
    run, stderr = shutil.copytree(finished, tmp_path / "x"), tmp_path / "stderr"
    (run / "config.toml").chmod(0)
    with process(run, stderr) as server:
        assert server.wait(PATIENCE) == 1
    error = next(line for line in stderr.read_text().splitlines() if line.startswith("Error: "))
    assert re.fullmatch(r"Error: \S+ has no readable config\.toml: Permission denied\.", error)
    assert "Traceback" not in stderr.read_text()


@pytest.mark.faults
def test_three_hundred_half_sent_requests_do_not_stop_it(trained: Trained, tmp_path: Path) -> None:
    """With 256 files, where each connection is one: others are answered, the log has one line."""
    stderr = tmp_path / "stderr"
    few_files = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))"
    with (
        process(trained.run, stderr, "--max-batch", "1", first=few_files) as server,
        ExitStack() as clients,
    ):
        port = port_of(server, stderr)
        for _ in range(300):
            one = clients.enter_context(socket.create_connection(("127.0.0.1", port)))
            with contextlib.suppress(ConnectionError):
                one.sendall(b"GET /health HTTP/1.1\r\nHost: ")
        with socket.create_connection(("127.0.0.1", port), PATIENCE, ("127.0.0.2", 0)) as other:
            other.sendall(f"GET /health HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            assert b"".join(iter(lambda: other.recv(65536), b"")).endswith(b'{"status":"ready"}')
        server.send_signal(signal.SIGTERM)
        assert server.wait(PATIENCE) == 143
    assert stderr.read_text().count("Ended a connection") == 1
    assert "Traceback" not in stderr.read_text()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
    except ConnectionError:
        return False
    return True


def test_options_come_to_the_server_in_its_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes, pixels and seconds; further names, and where to look for the run."""
    asked: dict[str, object] = {}
    monkeypatch.setattr(server, "serve", lambda run, **how: asked.update(how, run=run))
    kvgg("serve", "--run", "x", "--out", "there", "--port", "0", "--raw")
    assert asked["limits"] == Limits()
    assert (asked["run"], asked["out"], asked["raw"]) == ("x", Path("there"), True)
    assert (asked["hosts"], asked["most"], asked["wait"]) == ((), 8, 0.005)
    flags = "--allow-host a.example --allow-host b --max-batch 4 --wait-ms 20 --unsure-below 0.9"
    flags += " --unknown-below 0.1"
    kvgg(
        "serve",
        *flags.split(),
        *["--max-upload-mb", "2", "--max-files", "3", "--max-megapixels", "4"],
        *["--max-request-megapixels", "5", "--max-connections", "6"],
        *["--max-client-connections", "7", "--header-seconds", "8", "--upload-seconds", "9"],
        *["--min-kb-per-second", "10", "--behind-proxy"],
    )
    assert (asked["hosts"], asked["most"], asked["wait"]) == (("a.example", "b"), 4, 0.02)
    assert (asked["unsure_below"], asked["unknown_below"]) == (0.9, 0.1)
    assert asked["host"] == "127.0.0.1"
    assert asked["limits"] == Limits(
        upload_bytes=2 * 2**20,
        files=3,
        pixels=4_000_000,
        request_pixels=5_000_000,
        waiting=64,
        connections=6,
        client_connections=7,
        header_seconds=8,
        read_seconds=9,
        read_rate=10 * 1024,
        shared=True,
    )


def test_a_port_in_use_is_named_before_anything_is_loaded() -> None:
    """With the next one."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = kvgg("serve", "--port", str(port))
    assert (said.exit_code, message(said)) == (
        1,
        f"Error: Port {port} of 127.0.0.1 is in use. Stop what uses it, or choose another port: "
        f"--port {port + 1}\n",
    )


def test_an_address_of_another_machine_is_named() -> None:
    """It cannot be listened at."""
    said = kvgg("serve", "--host", "192.0.2.1")
    assert (said.exit_code, message(said)) == (
        1,
        "Error: --host 192.0.2.1: Cannot assign requested address. Use an address of this "
        "machine.\n",
    )


def test_a_missing_library_is_answered_with_the_command_that_adds_it(monkeypatch) -> None:
    """Before anything else."""
    monkeypatch.setitem(extras.EXTRAS, "serve", ("pip-of-no-kind",))
    said = kvgg("serve")
    assert (said.exit_code, message(said)) == (
        1,
        "Error: kvgg serve needs pip-of-no-kind, which is not installed. "
        'Add it: pip install "kvgg_jax[serve]"\n',
    )


def started(run: Path, **options) -> list[Event]:
    """What happens at a start that is stopped at once."""
    happened: list[Event] = []
    serve(
        run,
        port=0,
        limits=Limits(),
        most=1,
        wait=0,
        ready=lambda address: None,
        emit=happened.append,
        **options,
    )
    return happened


def test_an_open_address_is_warned_of(trained: Trained) -> None:
    """A loopback one is not."""
    everyone = started(trained.run, host="0.0.0.0", stop=lambda: True)
    assert [event for event in everyone if isinstance(event, Warned)] == [
        Warned(
            "--host 0.0.0.0 lets everyone in that network use it, unencrypted and unasked; "
            "without it, only this machine can."
        )
    ]
    own = started(trained.run, host="127.0.0.1", stop=lambda: True)
    assert [event for event in own if isinstance(event, Warned)] == []


def test_training_photos_are_warned_of_and_no_longer_embedded_once_it_stops(
    trained: Trained, tmp_path: Path
) -> None:
    """An open address shows them to everyone; a stopped server has written nothing."""
    run = Path(shutil.copytree(trained.run, tmp_path / "x"))
    heard = started(run, host="0.0.0.0", similar=3, stop=lambda: True)
    assert [event for event in heard if isinstance(event, Warned)] == [
        Warned(
            "--host 0.0.0.0 lets everyone in that network use it, unencrypted and unasked, and "
            "shows small copies of training photos; without it, only this machine can."
        )
    ]
    assert not (run / FILE).exists()


def test_what_fails_while_it_starts_ends_it(trained: Trained, monkeypatch) -> None:
    """It does not listen on without an answer."""

    def fail(*_, **__):
        raise OutOfMemory("no memory")

    monkeypatch.setattr(Network, "compile", fail)
    with pytest.raises(OutOfMemory, match="no memory"):
        started(trained.run, host="127.0.0.1", stop=lambda: False)


def test_a_host_that_is_no_name_is_named(trained: Trained) -> None:
    """Whatever the resolver says of it."""
    with pytest.raises(ServeError, match=r"^--host a\.\.b: .*\. Use 127\.0\.0\.1\.$"):
        started(trained.run, host="a..b", stop=lambda: True)
