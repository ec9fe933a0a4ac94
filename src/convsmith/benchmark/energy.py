"""The energy that processors say they used: Intel's and AMD's RAPL, where Linux lets it be read."""

from pathlib import Path

__all__ = ["Meter"]

POWERCAP = Path("/sys/class/powercap")


class Meter:
    """Counts joules of all processor packages; knows none where the system does not tell. Final.

    Source: Linux kernel, "Power Capping Framework".
    """

    def __init__(self, root: Path = POWERCAP) -> None:
        self._last: dict[Path, int] = {}
        self._ranges: dict[Path, int] = {}
        for zone in sorted(root.glob("intel-rapl:*")):
            if zone.name.count(":") != 1:
                continue  # a part of a package, which counts it too
            try:
                if not (zone / "name").read_text().startswith("package"):
                    continue  # psys: the whole computer, with its packages
                self._ranges[zone] = int((zone / "max_energy_range_uj").read_text())
                self._last[zone] = int((zone / "energy_uj").read_text())
            except (OSError, ValueError):  # since 2020 only root may read it
                continue

    @property
    def known(self) -> bool:
        """Return whether the machine tells."""
        return bool(self._last)

    def joules(self) -> float | None:
        """Return what was used since the last call, or since this was made; None if not known.

        Counters start again at zero when they are full, which is counted once.
        """
        if not self.known:
            return None
        used = 0
        for zone, before in self._last.items():
            now = int((zone / "energy_uj").read_text())
            used += now - before + (self._ranges[zone] if now < before else 0)
            self._last[zone] = now
        return used / 1e6
