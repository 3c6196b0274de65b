"""What a hosting service reads of the repository: workflows, templates, citation; and that it is so."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from spectra_cli import __version__

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def read(path):
    return yaml.safe_load(path.read_text())


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_do_nothing_but_targets_of_the_makefile(path):
    jobs = read(path)["jobs"]
    runs = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert runs
    for line in runs:
        assert re.fullmatch(r"make [a-z-]+", line), line
        assert line.removeprefix("make ") in TARGETS


def test_all_that_ci_runs_is_run():
    jobs = [job for path in WORKFLOWS for job in read(path)["jobs"].values()]
    run = {step.get("run", "").removeprefix("make ") for job in jobs for step in job["steps"]}
    (checks,) = re.findall(r"^check: ([a-z ]+?) *##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {*checks.split(), "site", "package"} <= run


def test_the_oldest_python_that_is_promised_is_tried():
    least = PROJECT["requires-python"].removeprefix(">=")
    for name in ("test", "package"):
        (job,) = [job for path in WORKFLOWS for key, job in read(path)["jobs"].items() if key == name]
        pythons = job["strategy"]["matrix"]["python"]
        assert pythons[0] == least
        assert len(set(pythons)) == len(pythons) >= 3
        assert all(isinstance(one, str) for one in pythons), "3.10 without quotes is 3.1"


@pytest.mark.parametrize(
    "path", sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml")), ids=lambda path: path.name
)
def test_issue_templates_are_forms(path):
    form = read(path)
    if path.name == "config.yml":
        assert form == {"blank_issues_enabled": True}
        return
    assert form["name"]
    assert form["description"]
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in fields}) == len(fields) > 0
    assert all(field["attributes"]["label"] for field in fields)


def test_the_citation_is_of_this_version():
    found = read(ROOT / "CITATION.cff")
    assert found["cff-version"] == "1.2.0"
    assert found["version"] == __version__ == PROJECT["version"]
    assert found["license"] == PROJECT["license"]
    assert {"message", "title", "authors"} <= set(found)
    (paper,) = found["references"]
    assert paper["url"] in (ROOT / "README.md").read_text()


def test_security_and_conduct_are_said_and_lead_somewhere_private():
    for name in ("SECURITY.md", "CODE_OF_CONDUCT.md"):
        assert "Report a vulnerability" in (ROOT / name).read_text()
