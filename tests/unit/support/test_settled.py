"""The fixture `settled` looks at the site before a test, unless it was healthy at the end of the one before, and after it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
CONFTEST = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import pytest
from tests.support.fixtures import *

class Site:
    def settle(self):
        print("settle")

@pytest.fixture(scope="session")
def site():
    return Site()

@pytest.fixture
def breaking():
    yield
"""
FIRST = """
def test_1(settled): print("one")
def test_2(settled): print("two")
def test_3(): print("three")
def test_4(breaking, settled, tmp_path): print("four")
"""
SECOND = """
def test_5(settled): print("five")
"""


def test_when_the_site_is_looked_at(tmp_path):
    for name, text in {"conftest.py": CONFTEST, "test_a.py": FIRST, "test_b.py": SECOND}.items():
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    known = ("settle", "one", "two", "three", "four", "five")
    order = [word for word in done.stdout.replace(".", " ").split() if word in known]
    assert order == [
        "settle", "one", "settle", "two", "settle", "three", "settle", "four", "settle", "settle", "five", "settle",
    ]  # fmt: skip
