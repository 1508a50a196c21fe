"""Resolution of references to OpenSCENARIO's catalogs."""

import os
from pathlib import Path

from bridge.untrusted import files, limits
from bridge.untrusted.files import FileRefused
from scenarios.language.problems import ScenarioError
from scenarios.openscenario.elements import Element, parameters, parse


class Catalogs:
    """The catalogs whose locations the .xosc file at ``path`` declares, loaded on first use."""

    def __init__(self, path: Path, locations: Element | None) -> None:
        self._folder = path.parent
        declared = [(each.name, each.find("Directory")) for each in locations or ()]
        self._directories = [(kind, directory) for kind, directory in declared if directory is not None]
        self._catalogs: dict[str, list[Element]] = {}  # by a catalog's own name, and by the kind it is declared as
        self._is_loaded = False

    def find(self, reference: Element) -> Element | None:
        """Return the referenced entry, with its parameters; None if there is no catalog of this name."""
        name, entry_name = reference.text("catalogName"), reference.text("entryName")
        self._load()
        catalogs = self._catalogs.get(name)
        if catalogs is None:
            return None
        entry = next((each for catalog in catalogs for each in catalog if each.text("name", "") == entry_name), None)
        if entry is None:
            raise reference.error(f"catalog {name} has no entry {entry_name!r}")
        values = parameters(entry.find("ParameterDeclarations"))
        for assignment in reference.find("ParameterAssignments") or ():
            values[assignment.name_of("parameterRef")] = assignment.text("value")
        return entry.within({**reference.parameters, **values})

    def get(self, reference: Element) -> Element:
        """Return the referenced entry. Raises ``ScenarioError`` if there is no catalog of this name."""
        entry = self.find(reference)
        if entry is None:
            paths = ", ".join(directory.text("path") for _, directory in self._directories) or "none declared"
            raise reference.error(f"there is no catalog {reference.text('catalogName')}; searched {paths}")
        return entry

    def _load(self) -> None:
        if self._is_loaded:
            return
        self._is_loaded = True
        for kind, directory in self._directories:
            for file in self._files(directory.text("path").replace("\\", "/")):
                root = self._parse(file)
                catalog = root.find("Catalog")
                if catalog is not None:
                    for name in {catalog.text("name", ""), kind}:
                        self._catalogs.setdefault(name, []).append(catalog)

    def _files(self, declared: str) -> list[Path]:
        """Return the files of a declared directory: at its full path, or the tail of it that exists."""
        parts = Path(declared).parts
        for k in range(len(parts)):
            path = self._folder.joinpath(*parts[k:])
            if os.path.isfile(path):  # unlike Path.is_file, False for an invalid path
                return [path]
            if os.path.isdir(path):
                catalogs = sorted(file for file in path.glob("*.xosc") if file.is_file())
                if len(catalogs) > limits.CATALOG_FILES:
                    raise ScenarioError(f"{path}: {len(catalogs)} catalogs; at most {limits.CATALOG_FILES} are allowed")
                return catalogs
        return []

    @staticmethod
    def _parse(file: Path) -> Element:
        try:
            raw = files.read_bytes(file, limits.CATALOG_SIZE)
        except (OSError, FileRefused) as error:
            raise ScenarioError(f"{file}: {getattr(error, 'strerror', None) or error}") from None
        return parse(file, raw)
