"""Joules, read from files like those of Linux."""

import pytest

from convsmith.benchmark.energy import Meter


@pytest.fixture
def zone(tmp_path):
    """A processor package, a part of it, a package that must not be read, the whole computer."""
    package = tmp_path / "intel-rapl:0"
    names = {"intel-rapl:0": "package-0", "intel-rapl:0:0": "core", "intel-rapl:2": "psys"}
    for name, kind in names.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "name").write_text(f"{kind}\n")
        (tmp_path / name / "max_energy_range_uj").write_text("10000000\n")
        (tmp_path / name / "energy_uj").write_text("1000000\n")
    (tmp_path / "intel-rapl:1").mkdir()
    (tmp_path / "intel-rapl:1" / "name").write_text("package-1\n")
    (tmp_path / "intel-rapl:1" / "max_energy_range_uj").write_text("10000000\n")
    return package


def test_what_was_used_since_the_last_look(zone):
    meter = Meter(zone.parent)
    assert meter.known
    assert meter.joules() == 0
    for each in ("intel-rapl:0", "intel-rapl:0:0", "intel-rapl:2"):
        (zone.parent / each / "energy_uj").write_text("3500000\n")
    assert meter.joules() == 2.5
    assert meter.joules() == 0


def test_a_counter_that_began_again(zone):
    meter = Meter(zone.parent)
    (zone / "energy_uj").write_text("500000\n")
    assert meter.joules() == pytest.approx(9.5)


def test_a_machine_that_does_not_tell(tmp_path):
    meter = Meter(tmp_path / "none")
    assert not meter.known
    assert meter.joules() is None
