"""OpenSCENARIO's catalogs: resolution of a CatalogReference."""

from __future__ import annotations

import os
from pathlib import Path

from bridge.untrusted import files, limits
from bridge.untrusted.files import FileRefused
from scenarios.language.problems import ScenarioError
from scenarios.openscenario.elements import Element, parameters, parse


class Catalogs:
    """The catalogs whose places an .xosc file at ``path`` declares, read when they are asked for."""

    def __init__(self, path: Path, locations: Element | None) -> None:
        self._folder = path.parent
        listed = [(each.name, each.find("Directory")) for each in locations or ()]
        self._places = [(kind, place) for kind, place in listed if place is not None]
        self._read: dict[str, list[Element]] = {}  # by a catalog's own name, and by what it is declared as
        self._done = False

    def find(self, reference: Element) -> Element | None:
        """The entry that is meant, with its parameters; None where there is no catalog of this name."""
        name, entry = reference.text("catalogName"), reference.text("entryName")
        self._load()
        catalogs = self._read.get(name)
        if catalogs is None:
            return None
        found = next((each for catalog in catalogs for each in catalog if each.text("name", "") == entry), None)
        if found is None:
            raise reference.error(f"catalog {name} has no entry {entry!r}")
        values = parameters(found.find("ParameterDeclarations"))
        for given in reference.find("ParameterAssignments") or ():
            values[given.name_of("parameterRef")] = given.text("value")
        return found.within({**reference.parameters, **values})

    def get(self, reference: Element) -> Element:
        """The entry that is meant. Raises ``ScenarioError`` where it is not there."""
        found = self.find(reference)
        if found is None:
            places = ", ".join(place.text("path") for _, place in self._places) or "none declared"
            raise reference.error(f"there is no catalog {reference.text('catalogName')}; looked into {places}")
        return found

    def _load(self) -> None:
        if self._done:
            return
        self._done = True
        for kind, place in self._places:
            for file in self._files(place.text("path").replace("\\", "/")):
                root = self._parse(file)
                catalog = root.find("Catalog")
                if catalog is not None:
                    for name in {catalog.text("name", ""), kind}:
                        self._read.setdefault(name, []).append(catalog)

    def _files(self, declared: str) -> list[Path]:
        """The files of a declared directory: as it stands, or as much of its end as exists beside the scenario."""
        parts = Path(declared).parts
        for k in range(len(parts)):
            place = self._folder.joinpath(*parts[k:])
            if os.path.isfile(place):  # no error for what cannot be a path
                return [place]
            if os.path.isdir(place):
                found = sorted(file for file in place.glob("*.xosc") if file.is_file())
                if len(found) > limits.CATALOG_FILES:
                    raise ScenarioError(f"{place}: {len(found)} catalogs; {limits.CATALOG_FILES} are read at most")
                return found
        return []

    @staticmethod
    def _parse(file: Path) -> Element:
        try:
            raw = files.read_bytes(file, limits.CATALOG_SIZE)
        except (OSError, FileRefused) as error:
            raise ScenarioError(f"{file}: {getattr(error, 'strerror', None) or error}") from None
        return parse(file, raw)
