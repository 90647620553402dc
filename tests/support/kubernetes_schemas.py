"""Manifests against the OpenAPI documents of Kubernetes, which are in each of its Go modules (`api/openapi-spec/swagger.json`).

Used where they are: in Go's module cache, or below `.cache/kubernetes/<version>/`. Nothing downloads them. To have one:
`go mod download k8s.io/kubernetes@v1.34.0`.
"""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
KIND = "x-kubernetes-group-version-kind"
TYPES = {"array": list, "boolean": bool, "integer": int, "object": dict, "string": str}


def documents() -> dict[str, Path]:
    """Version to its document, of those on this machine."""
    modules = _module_cache().glob("kubernetes@v*/api/openapi-spec/swagger.json")
    places = [*(ROOT / ".cache/kubernetes").glob("v*/swagger.json"), *modules]
    return {re.search(r"v\d+\.\d+\.\d+", str(path))[0]: path for path in places}


def _module_cache() -> Path:
    try:
        listed = subprocess.run(["go", "env", "GOMODCACHE"], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        listed = ""
    return Path(listed or os.path.expanduser("~/go/pkg/mod")) / "k8s.io"


class Schemas:
    """The objects that one version of Kubernetes knows."""

    def __init__(self, document: Mapping):
        self.definitions = document["definitions"]
        self.kinds = {
            (kind["group"], kind["version"], kind["kind"]): name
            for name, schema in self.definitions.items() for kind in schema.get(KIND, [])
        }  # fmt: skip

    @classmethod
    @functools.cache  # the document is large
    def read(cls, path: Path) -> Schemas:
        return cls(json.loads(path.read_text()))

    def problems(self, manifest: Mapping) -> list[str]:
        """What the API would refuse, or drop because it does not know it; one text each."""
        group, _, version = manifest["apiVersion"].rpartition("/")
        name = self.kinds.get((group, version, manifest["kind"]))
        if name is None:
            return [f"there is no {manifest['apiVersion']} {manifest['kind']}"]
        return list(self._problems(manifest, self.definitions[name], manifest["kind"]))

    def _problems(self, value, schema: Mapping, place: str) -> Iterator[str]:
        if "$ref" in schema:
            schema = self.definitions[schema["$ref"].rpartition("/")[2]]
        if schema.get("format") == "int-or-string":
            if type(value) not in (int, str):
                yield f"{place} is {value!r}, neither a number nor a text"
            return
        kind = schema.get("type", "object" if "properties" in schema else "")
        if kind in TYPES and type(value) is not TYPES[kind]:
            yield f"{place} is {value!r}, but should be of type {kind}"
            return
        if "enum" in schema and value not in schema["enum"]:
            yield f"{place} is {value!r}, none of {schema['enum']}"
        if kind == "array":
            for number, one in enumerate(value):
                yield from self._problems(one, schema["items"], f"{place}[{number}]")
        elif kind == "object":
            yield from self._of_object(value, schema, place)

    def _of_object(self, value: Mapping, schema: Mapping, place: str) -> Iterator[str]:
        known = schema.get("properties", {})
        yield from (f"{place} has no {name}" for name in schema.get("required", []) if name not in value)
        for name, one in value.items():
            if name in known:
                yield from self._problems(one, known[name], f"{place}.{name}")
            elif isinstance(schema.get("additionalProperties"), Mapping):
                yield from self._problems(one, schema["additionalProperties"], f"{place}.{name}")
            elif known:
                yield f"{place} has {name!r}, which nothing reads"
