"""Programs of the roles whose names are no names of modules."""

import importlib.util
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

ROLES = Path(__file__).parents[2] / "roles"


def load(path: str) -> ModuleType:
    """A program as a module, without running its main().

    :param path: below roles/
    """
    loader = SourceFileLoader(Path(path).name.replace("-", "_"), str(ROLES / path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module
