"""The environments agree: pyproject.toml, the locks and environment.yml name the same packages."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())


def canonical(requirement: str) -> str:
    return re.split(r"[\[><=; ]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def direct_dependencies(*extras: str) -> set[str]:
    chosen = [*PROJECT["dependencies"], *(d for e in extras for d in PROJECT["optional-dependencies"][e])]
    return {canonical(requirement) for requirement in chosen}


def locked_lines(name: str) -> list[str]:
    return (ROOT / name).read_text().splitlines()


def test_environment_yml_lists_exactly_the_direct_dependencies():
    pins = next(entry["pip"] for entry in CONDA["dependencies"] if isinstance(entry, dict))
    assert pins[-1] == "-e ."
    assert {canonical(pin) for pin in pins[:-1]} == direct_dependencies(
        "report", "cpu", "tune", "cluster", "test"
    )


def test_environment_yml_pins_what_the_lock_pins():
    pins = next(entry["pip"] for entry in CONDA["dependencies"] if isinstance(entry, dict))[:-1]
    assert set(pins) <= set(locked_lines("requirements.lock"))


def test_environment_yml_allows_the_pythons_of_pyproject():
    assert f"python{PROJECT['requires-python']}" in CONDA["dependencies"]


@pytest.mark.parametrize(
    ("lock", "flavour"), [("requirements.lock", "cpu"), ("requirements-gpu.lock", "gpu")]
)
def test_locks_pin_every_direct_dependency_exactly(lock, flavour):
    lines = locked_lines(lock)
    assert all(re.match(r"[\w.\-]+==[\w.+]+( ; .+)?$", line) for line in lines)
    wanted = direct_dependencies("report", flavour, "tune", "cluster", "test")
    assert wanted <= {canonical(line) for line in lines}


def test_locks_never_install_two_tensorflows_or_two_opencvs():
    cpu = locked_lines("requirements.lock")
    gpu = locked_lines("requirements-gpu.lock")
    assert [line for line in cpu if line.startswith("tensorflow==")] == [
        line for line in cpu if line.startswith("tensorflow==") and "sys_platform == 'darwin'" in line
    ]
    assert not any(line.startswith("tensorflow-cpu") for line in gpu)
    for lines in (cpu, gpu):
        assert [canonical(line) for line in lines if line.startswith("opencv")] == ["opencv-python-headless"]


def test_locks_name_no_host_and_no_folder():
    for lock in ("requirements.lock", "requirements-gpu.lock"):
        assert "/" not in (ROOT / lock).read_text()
