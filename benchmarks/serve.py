"""`kvgg serve` under load: clients over loopback, with micro-batching and without.

python benchmarks/serve.py --clients 8 --seconds 20

VGG16, slim head, 224 px, unless --run names another. Each client sends one photo after the other
and waits for its answer. The two servers take turns, after some requests that are not counted.
Prints JSON: milliseconds a request, and photos a second.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline import draw

CLI = str(Path(__file__).parent.parent / "cli.py")
WARM = 2  # requests of each client that are not counted
START_SECONDS = 300


@contextmanager
def server(run: Path, *, most: int, wait: float) -> Iterator[int]:
    """The port of a process that is ready."""
    options = ["--port", "0", "--max-batch", str(most), "--wait-ms", str(wait)]
    command = [sys.executable, CLI, "serve", "--run", str(run), *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()  # "Ready at http://127.0.0.1:40000/"
        if not line:
            raise SystemExit(f"kvgg serve ended with {process.wait()}")
        try:
            yield int(line.strip().rstrip("/").split(":")[-1])
        finally:
            process.terminate()


def form(photo: Path) -> bytes:
    head = f'--b\r\nContent-Disposition: form-data; name="files"; filename="{photo.name}"\r\n\r\n'
    return head.encode() + photo.read_bytes() + b"\r\n--b--\r\n"


def load(port: int, body: bytes, path: str, *, clients: int, seconds: float) -> dict[str, float]:
    """All clients at once, for `seconds`; an answer that is no success ends the program."""
    barrier, times, failures = threading.Barrier(clients), list[float](), list[str]()

    def ask(connection: http.client.HTTPConnection) -> float:
        started = time.perf_counter()
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status} {text[:200]!r}")
        return time.perf_counter() - started

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        try:
            for _ in range(WARM):
                ask(connection)
            barrier.wait(START_SECONDS)
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                times.append(ask(connection))
        except Exception as error:
            failures.append(repr(error))
            barrier.abort()
        finally:
            connection.close()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise SystemExit(failures[0])
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    return {
        "p50_ms": round(1000 * cuts[49], 1),
        "p99_ms": round(1000 * cuts[98], 1),
        "photos_per_second": round(clients * len(times) / sum(times), 2),  # Little's law
        "requests": len(times),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--max-batch", type=int, default=8)
    parser.add_argument("--wait-ms", type=float, default=5)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--path", default="/api/predict", help="add ?heat=true to draw maps")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw(folder / "photos", "png", 8)
        run = args.run or folder / "r"
        if args.run is None:
            size = ["--image-size", str(args.image_size), "--batch-size", "4", "--epochs", "1"]
            data = ["--data", str(folder / "photos"), "--out", name, "--name", "r"]
            subprocess.run(
                [sys.executable, CLI, "train", *data, *size], check=True, capture_output=True
            )
        body = form(next((folder / "photos/a").iterdir()))
        rows = []
        for _ in range(args.rounds):
            for most, wait in ((args.max_batch, args.wait_ms), (1, 0)):
                with server(run, most=most, wait=wait) as port:
                    for clients in args.clients:
                        found = load(port, body, args.path, clients=clients, seconds=args.seconds)
                        rows.append({"max_batch": most, "clients": clients, **found})
                        print(json.dumps(rows[-1]), file=sys.stderr)
    print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
