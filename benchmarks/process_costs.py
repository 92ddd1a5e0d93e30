"""What processes cost: CPU and memory out of /proc, by the name of the process."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

SUITE = ("gateway", "ingest", "mapper", "audit", "registry", "pull", "up")
"""The names of the suite's processes; `up` starts the others and passes their logs on."""
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Process:
    """One process; several may have one name, as the gateway's workers do."""

    name: str
    pid: int

    def seconds(self) -> float:
        """CPU that it has had, user and system; 0 when it has gone."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND

    def rss(self) -> float:
        """MiB that it has in memory, pages that it shares with others among them."""
        return self._mebibytes("status", "VmRSS")

    def peak(self) -> float:
        """The most MiB that it has had in memory, since it began or `forget_peak`."""
        return self._mebibytes("status", "VmHWM")

    def pss(self) -> float:
        """MiB that it has in memory, each shared page divided by how many share it: these add up."""
        return self._mebibytes("smaps_rollup", "Pss")

    def forget_peak(self) -> None:
        """Makes the present memory the most that it had."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def _mebibytes(self, file: str, field: str) -> float:
        lines = Path(f"/proc/{self.pid}/{file}").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024


def processes_of(data: Path) -> list[Process]:
    """The processes of the installation in a data directory, also those that were started beside `intertie up`."""
    owned = f"INTERTIE_DATA_DIR={data}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if owned not in (folder / "environ").read_bytes().split(b"\0"):
                continue
            command = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        modules = [part for part in command if part.startswith("intertie_")]
        if modules:
            name = modules[0].rpartition(".")[2].removeprefix("intertie_")
            found.append(Process("up" if name == "cli" else name, int(folder.name)))
    return sorted(found, key=lambda process: (process.name, process.pid))


class Meter:
    """Reads the CPU of some processes, and tells what was added since."""

    def __init__(self, processes: Iterable[Process]) -> None:
        self._processes = tuple(processes)
        self._before = self._read()

    def spent(self) -> dict[str, float]:
        """Seconds of CPU by name, since the meter was made."""
        return {name: seconds - self._before[name] for name, seconds in self._read().items()}

    def _read(self) -> dict[str, float]:
        return added_up(self._processes, Process.seconds)


def added_up(processes: Iterable[Process], measure: Callable[[Process], float]) -> dict[str, float]:
    """The measures of all processes of each name together."""
    found: dict[str, float] = {}
    for process in processes:
        found[process.name] = found.get(process.name, 0.0) + measure(process)
    return found
