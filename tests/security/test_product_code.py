"""No line of the product can run what a file says."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path for room in ("assay", "models", "napari_plugin") for path in (ROOT / room).rglob("*.py")
)
FORBIDDEN = {
    "weights_only": r"weights_only\s*=\s*False",
    "torch.load": r"\btorch\.load\(",
    "torch.jit": r"\btorch\.jit\.load\(|\btorch\.hub\b",
    "pickle": r"\b(?:c?[pP]ickle|dill|cloudpickle|marshal|shelve)\.(?:loads?|Unpickler|open)\(",
    "joblib": r"\bjoblib\.load\(",
    "allow_pickle": r"allow_pickle\s*=\s*True",
    "yaml": r"\byaml\.(?:unsafe_|full_)?load(?:_all)?\(",
    "eval": r"(?<![\w.])(?:eval|exec|compile|__import__)\(",
    "shell": r"shell\s*=\s*True|\bos\.(?:system|popen)\(|\bsubprocess\.getoutput\(",
    "unpacking": r"\.extractall\(|\bshutil\.unpack_archive\(",
    "markup": r"\|\s*safe\b|autoescape\s*=\s*False",
    "network": r"\burllib\.request\b|\brequests\.(?:get|post)\(|\burlopen\(|\bhttpx\b",
}


def test_there_is_product_code_to_look_at():
    assert len(SOURCES) > 200


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_line_of_the_product_does_it(what: str):
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in SOURCES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if re.search(FORBIDDEN[what], line)
    ]
    assert found == []


def test_templates_escape_everything_and_run_no_script():
    for page in (ROOT / "assay").rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert "<script" not in text.lower()
        assert not re.search(r"\|\s*safe\b|\bhttps?://", text), page
        assert not re.search(r"\son\w+\s*=", text), page
