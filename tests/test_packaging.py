"""The environments agree: pyproject.toml, the locks and environment.yml name the same packages."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import cv2
import pytest
import skimage.data
import yaml

import ferlib

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())


def canonical(requirement: str) -> str:
    return re.split(r"[\[><=; ]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def direct_dependencies(*extras: str) -> set[str]:
    chosen = [*PROJECT["dependencies"], *(d for e in extras for d in PROJECT["optional-dependencies"][e])]
    return {canonical(requirement) for requirement in chosen}


def locked(name: str) -> dict[str, str]:
    """Return each pin of a lock and what follows it, its hashes."""
    entries = (ROOT / name).read_text().replace(" \\\n", "").splitlines()
    return {pin: hashes for pin, _, hashes in (entry.partition("    ") for entry in entries)}


@pytest.mark.parametrize(
    ("lock", "flavour", "tensorflow"),
    [
        ("requirements.lock", "cpu", {"tensorflow-cpu", "tensorflow on darwin"}),
        ("requirements-gpu.lock", "gpu", {"tensorflow"}),
    ],
)
def test_a_lock_pins_every_direct_dependency_exactly_by_hash_one_of_each_kind(lock, flavour, tensorflow):
    """So that pip refuses files that are not those of the day the lock was made."""
    pins = locked(lock)
    for pin, hashes in pins.items():
        assert re.fullmatch(r"[\w.\-]+==[\w.+]+( ; .+)?", pin)
        assert re.fullmatch(r"(--hash=sha256:[0-9a-f]{64}\s*)+", hashes), pin
    assert direct_dependencies("report", flavour, "tune", "cluster", "test") <= set(map(canonical, pins))
    found = {canonical(pin) + " on darwin" * ("== 'darwin'" in pin) for pin in pins}
    assert {name for name in found if re.match(r"tensorflow(-cpu)?( |$)", name)} == tensorflow
    assert [canonical(pin) for pin in pins if pin.startswith("opencv")] == ["opencv-python-headless"]
    assert "/" not in (ROOT / lock).read_text(), "no host, no folder"


def test_what_the_library_imports_is_declared():
    declared = direct_dependencies(*PROJECT["optional-dependencies"])
    distributions = packages_distributions()
    for path in (ROOT / "ferlib").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [name.name for name in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            for package in {name.partition(".")[0] for name in names} - {"ferlib"}:
                makers = {canonical(maker) for maker in distributions.get(package, ())}
                assert not makers or makers & declared, f"{path.name} imports {package}"


def test_environment_yml_pins_exactly_the_direct_dependencies_as_the_lock_does():
    (pins,) = (entry["pip"] for entry in CONDA["dependencies"] if isinstance(entry, dict))
    assert pins.pop() == "-e ."
    assert set(map(canonical, pins)) == direct_dependencies("report", "cpu", "tune", "cluster", "test")
    assert set(pins) <= set(locked("requirements.lock"))
    assert f"python{PROJECT['requires-python']}" in CONDA["dependencies"]


# --- the wheel --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel from a copy of the tree, as pip would, offline."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT / "ferlib", source / "ferlib", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", *PROJECT["license-files"]):
        shutil.copy(ROOT / name, source)
    words = ["wheel", "--no-deps", "--no-build-isolation", "--no-index", "-q", "-w", str(target), str(source)]
    subprocess.run([sys.executable, "-m", "pip", *words], check=True, capture_output=True)
    return next(target.glob("*.whl"))


def test_the_wheel_carries_all_that_the_package_needs(wheel):
    with zipfile.ZipFile(wheel) as contents:
        names = set(contents.namelist())
        about = next(name for name in names if name.endswith("METADATA"))
        metadata = contents.read(about).decode()
    files = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "ferlib").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert files <= names, f"missing: {sorted(files - names)}"
    for name in PROJECT["license-files"]:
        assert any(entry.endswith(f".dist-info/licenses/{name}") for entry in names)
    assert {"ferlib/py.typed", "ferlib/weights/face_detection_yunet_2023mar.onnx"} <= names
    for line in ("Classifier: Typing :: Typed", "Keywords: emotion", "Author: The ferlib authors"):
        assert f"\n{line}" in metadata
    assert wheel.stat().st_size < 10e6


def test_the_installed_wheel_predicts_without_anything_heavy(wheel, tmp_path):
    """The wheel is unpacked on its own, and the heavy packages cannot be imported."""
    with zipfile.ZipFile(wheel) as contents:
        contents.extractall(tmp_path / "site")
    cv2.imwrite(str(tmp_path / "a.png"), skimage.data.astronaut()[..., ::-1])
    code = f"""
import sys
for name in ("tensorflow", "keras", "pandas", "matplotlib", "scipy", "sklearn", "skimage", "PIL"):
    sys.modules[name] = None
sys.path.insert(0, {str(tmp_path / "site")!r})
import ferlib
assert ferlib.__file__.startswith({str(tmp_path / "site")!r})
(face,) = ferlib.predict("a.png")
assert face.emotion == "happy", face
from ferlib import cli
sys.exit(cli.main(["predict", "a.png", "--csv", "a.csv", "--out", "marked"]))
"""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "happy" in (tmp_path / "a.csv").read_text() and (tmp_path / "marked" / "a.png").is_file()


def test_version_changes_and_citation_agree():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert PROJECT["version"] == ferlib.__version__ == cited["version"]
    assert re.findall(r"^## ([\d.]+)$", changes, re.M)[0] == ferlib.__version__
    assert cited["license"] == PROJECT["license"] == "MIT"
    assert cited["authors"] == PROJECT["authors"]


def test_the_notices_name_what_the_package_carries_of_others():
    notices = (ROOT / "THIRD_PARTY_NOTICES.md").read_text()
    others = [path for kind in ("*.onnx", "*.npz") for path in (ROOT / "ferlib").rglob(kind)]
    assert len(others) == 4 and all(path.relative_to(ROOT).as_posix() in notices for path in others)


def test_every_python_that_is_allowed_is_named():
    named = {line.split()[-1] for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)}
    assert named == {"3.11", "3.12", "3.13"} and PROJECT["requires-python"] == ">=3.11,<3.14"
