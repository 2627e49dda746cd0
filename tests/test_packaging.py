import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_the_wheel_is_built_from_locked_tools_alone_and_has_migrations_and_scripts(tmp_path: Path) -> None:
    flags = ("--no-index", "--no-deps", "--no-build-isolation", "--quiet", "--disable-pip-version-check")
    subprocess.run([sys.executable, "-m", "pip", "wheel", *flags, "-w", str(tmp_path), str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("roomcast-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "service/migrations/env.py" in names
    assert any(re.fullmatch(r"service/migrations/versions/0001_\w+\.py", name) for name in names)
    assert "service/brokers/scripts/publish.lua" in names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/"))]


@pytest.mark.parametrize("name", ["production.txt", "development.txt", "build.txt"])
def test_every_requirement_is_pinned_and_hashed_and_no_index_is_named(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text()
    requirements = text.replace("\\\n", " ").splitlines()
    assert requirements
    for requirement in requirements:
        assert re.match(r"[a-z0-9-]+==\S+ ", requirement), requirement
        assert "--hash=sha256:" in requirement
    assert "://" not in text


def test_the_container_runs_as_nobody_special_from_locked_requirements() -> None:
    text = (ROOT / "Containerfile").read_text().replace("\\\n", " ")
    instructions = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert sum(line.startswith("FROM ") for line in instructions) == 2
    last_stage = instructions[max(i for i, line in enumerate(instructions) if line.startswith("FROM ")) :]
    assert "USER 10001:10001" in last_stage
    assert not [line for line in last_stage if "pip" in line]
    for line in instructions:
        for install in re.findall(r"pip(?: --python \S+)? install[^&]*", line):
            assert "--require-hashes" in install or "--no-index" in install
