"""The house keeps its plan: packages, floors, shelves, docstrings, the wheel."""

import ast
import doctest
import importlib
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("features", "models", "reports", "pipeline")
FLOOR = {"features": 0, "models": 1, "reports": 2, "pipeline": 3}
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("cemrad", *parts)).removesuffix(".__init__")


def _imports(path: Path) -> list[str]:
    return _imports_in(path.read_text(encoding="utf-8"), _module(path), package=path.name == "__init__.py")


def _imports_in(text: str, module: str, *, package: bool = False) -> list[str]:
    """Absolute names of every module that a text imports, wherever in it."""
    home = module.split(".") if package else module.split(".")[:-1]
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = home[: len(home) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            found += [stem, *(f"{stem}.{alias.name}" for alias in node.names)]
    return found


def _upward(module: str, imports: list[str]) -> list[str]:
    """Those imports that climb to a higher floor."""
    own = FLOOR[module.split(".")[1]]
    rooms = [name for name in imports if name.startswith("cemrad.")]
    return [name for name in rooms if FLOOR.get(name.split(".")[1], 9) > own]


def test_every_package_is_listed():
    folders = {_module(path) for path in SOURCES if path.name == "__init__.py"} | {"cemrad"}
    assert set(CONFIG["tool"]["setuptools"]["packages"]) == folders
    assert all((path.parent / "__init__.py").is_file() for path in SOURCES)


def test_the_root_is_one_docstring():
    body = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8")).body
    assert len(body) == 1
    assert isinstance(body[0], ast.Expr)


@pytest.mark.parametrize("path", SOURCES, ids=_module)
def test_imports_go_down(path):
    assert _upward(_module(path), _imports(path)) == []


def test_an_import_that_climbs_is_found():
    text = "def f():\n    from ..models.folds import split"
    assert _upward("cemrad.features.case", _imports_in(text, "cemrad.features.case")) == [
        "cemrad.models.folds",
        "cemrad.models.folds.split",
    ]


def test_one_file_borders_on_pyradiomics():
    users = [_module(p) for p in SOURCES if any(n.split(".")[0] == "radiomics" for n in _imports(p))]
    assert users == ["cemrad.features.reference"]


FORBIDDEN = {"pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"}


@pytest.mark.parametrize("path", SOURCES, ids=_module)
def test_nothing_loads_code_from_data(path):
    text = path.read_text(encoding="utf-8")
    assert not {name.split(".")[0] for name in _imports(path)} & FORBIDDEN
    assert "torch.load" not in text
    assert "allow_pickle=True" not in text


@pytest.mark.parametrize("path", SOURCES, ids=_module)
def test_drawers_without_a_name_are_not_built(path):
    assert path.stem not in {"utils", "util", "helpers", "helper", "common", "misc"}


def test_file_sizes():
    long = {_module(p): n for p in SOURCES if (n := len(p.read_text(encoding="utf-8").splitlines())) > 400}
    assert long == {}


@pytest.mark.parametrize("path", SOURCES, ids=_module)
def test_docstring_examples_run(path):
    module = importlib.import_module(_module(path))
    assert doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0


def test_every_part_is_documented_and_can_be_taken():
    from cemrad.pipeline.shelves import SHELVES

    for shelf in SHELVES.values():
        for name in shelf.names():
            assert len(shelf.describe(name)) > 20, f"{shelf.package}.{name} needs a first line"
            assert shelf.describe(name).endswith("."), f"{shelf.package}.{name}: a sentence ends in a full stop"
            assert shelf.take(name).__name__ == f"{shelf.package}.{name}"


def test_nothing_on_a_shelf_is_imported_before_it_is_taken():
    look = "import sys, cemrad.pipeline.shelves as s; [shelf.names() for shelf in s.SHELVES.values()]"
    code = f"{look}; print('torch' in sys.modules or 'cemrad.pipeline.cohorts.phantom' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The wheel, built from a copy: nothing is left in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    names = [*(p.relative_to(ROOT) for room in ROOMS for p in (ROOT / room).rglob("*") if p.is_file())]
    names += [Path(n) for n in ("pyproject.toml", "README.md", "LICENSE", "__init__.py")]
    for name in names:
        if "__pycache__" not in name.parts:
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", folder, source], check=True, capture_output=True
    )
    (built,) = folder.glob("*.whl")
    return built


def test_only_cemrad_at_the_top_of_the_wheel(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    top = {name.split("/")[0] for name in names}
    assert top == {"cemrad", f"cemrad-{CONFIG['project']['version']}.dist-info"}
    assert not [name for name in names if "tests" in name or "__pycache__" in name]
    for data in ("cemrad/reports/page.html.j2", "cemrad/reports/page.css"):
        assert data in names


def test_the_wheel_installs_and_runs_in_an_empty_environment(wheel, tmp_path):
    """Alone in a fresh environment; its dependencies are lent by the one that runs the tests."""
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel], check=True)
    (site,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    lent = Path(importlib.import_module("numpy").__file__).parents[1]
    (site / "lent.pth").write_text(f"{lent}\n", encoding="utf-8")
    done = subprocess.run([tmp_path / "env" / "bin" / "cemrad", "list"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "radiomics" in done.stdout
    where = subprocess.run(
        [python, "-c", "import cemrad; print(cemrad.__file__)"], cwd=tmp_path, capture_output=True, text=True
    )
    assert str(site) in where.stdout


@pytest.mark.slow
def test_the_wheel_installs_with_its_dependencies_from_the_constraints(wheel, tmp_path):
    """The real thing: an empty environment and the pinned versions, from the package registry."""
    venv.create(tmp_path / "env", with_pip=True)
    install = [tmp_path / "env" / "bin" / "python", "-m", "pip", "install", "--quiet"]
    subprocess.run([*install, "--constraint", ROOT / "constraints.txt", wheel], check=True)
    done = subprocess.run([tmp_path / "env" / "bin" / "cemrad", "doctor"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# Of the fault catalogue: masks (A), pixels (B, what is not of DICOM alone), files (C), manifests and labels (D).
FAULTS = [
    *(f"A{n}" for n in range(1, 24)),
    *(f"B{n}" for n in (1, 2, 3, 4, 5, 6, 13, 15, 16, 17, 20)),
    *(f"C{n}" for n in (1, 2, 18, 20)),
    *(f"D{n}" for n in range(1, 15)),
]


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_has_a_test(fault):
    """Named in the id of a case (``A7 whole image``) or of a test (``test_a7_...``)."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("test_fault_*.py")]
    assert any(f'"{fault} ' in text or f"def test_{fault.lower()}_" in text for text in texts)


def test_constraints_hold_names_and_versions_only():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9._-]+==[0-9][0-9a-z.+]*", pin) for pin in pins)
    assert {"torch==2.12.1", "torchvision==0.27.1", "timm==1.0.31"} <= set(pins)
