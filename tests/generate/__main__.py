"""Writes all generated files: `make docs`."""

from tests.generate import documents

for path, text in documents().items():
    if not path.is_file() or path.read_text() != text:
        path.write_text(text)
        print(f"written: {path}")
