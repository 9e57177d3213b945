"""Several real processes of `python cli.py train` on the loopback, as hosts would be."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from support.runs import PATIENCE, ROOT, THIN_VGG11

PROGRAM = f"{THIN_VGG11}\nfrom kvgg_jax.cli.main import main\nmain()\n"


class Gang:
    """`count` processes of one device each that train together in `folder`, or one of `count`."""

    def __init__(
        self,
        folder: Path,
        count: int,
        *arguments: str,
        together: bool = True,
        elsewhere: Mapping[int, Path] = MappingProxyType({}),
        xla: str = "",
    ) -> None:
        """Those in `elsewhere` start in another folder; `xla` are flags of XLA's."""
        self.folder = folder
        (folder / "cli.py").write_text(PROGRAM)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        self.processes = []
        for number in range(count if together else 1):
            joining = {
                "JAX_COORDINATOR_ADDRESS": address,
                "JAX_NUM_PROCESSES": str(count),
                "JAX_PROCESS_ID": str(number),
            }
            devices = 1 if together else count
            env = {
                **{name: v for name, v in os.environ.items() if "_proxy" not in name.lower()},
                **(joining if together else {}),
                "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices} {xla}",
                "PYTHONPATH": str(ROOT),
            }
            words = [sys.executable, str(folder / "cli.py"), "train", "--devices", str(devices)]
            with (folder / f"out{number}").open("w") as out, self._err(number).open("w") as err:
                process = subprocess.Popen(
                    [*words, *arguments],
                    cwd=elsewhere.get(number, folder),
                    env=env,
                    stdout=out,
                    stderr=err,
                )
            self.processes.append(process)

    def _err(self, number: int) -> Path:
        return self.folder / f"err{number}"

    def out(self, number: int) -> str:
        """Its stdout."""
        return (self.folder / f"out{number}").read_text()

    def err(self, number: int) -> str:
        """Its stderr."""
        return self._err(number).read_text()

    def until(self, text: str) -> None:
        """Wait until process 0 has printed `text`, or one has ended."""
        while text not in self.err(0) and all(one.poll() is None for one in self.processes):
            time.sleep(0.01)

    def wait(self) -> list[int]:
        """The exit codes."""
        return [one.wait(PATIENCE) for one in self.processes]
