"""OpenSCENARIO's catalogs: resolution of a CatalogReference."""

from __future__ import annotations

from pathlib import Path

from scenarios.language.problems import ScenarioError
from scenarios.openscenario.elements import Element, parameters, parse

MAX_BYTES = 4 << 20


class Catalogs:
    """The catalogs whose places an .xosc file at ``path`` declares, read when they are asked for."""

    def __init__(self, path: Path, locations: Element | None) -> None:
        self._folder = path.parent
        self._places = [each.get("Directory") for each in locations or () if each.find("Directory") is not None]
        self._read: dict[str, Element] = {}
        self._done = False

    def find(self, reference: Element) -> Element | None:
        """The entry that is meant, with its parameters; None where there is no catalog of this name."""
        name, entry = reference.text("catalogName"), reference.text("entryName")
        self._load()
        catalog = self._read.get(name)
        if catalog is None:
            return None
        found = next((each for each in catalog if each.text("name", "") == entry), None)
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
            places = ", ".join(place.text("path") for place in self._places) or "none declared"
            raise reference.error(f"there is no catalog {reference.text('catalogName')}; looked into {places}")
        return found

    def _load(self) -> None:
        if self._done:
            return
        self._done = True
        for place in self._places:
            for file in self._files(place.text("path").replace("\\", "/")):
                root = self._parse(file)
                catalog = root.find("Catalog")
                if catalog is not None:
                    self._read.setdefault(catalog.text("name", ""), catalog)

    def _files(self, declared: str) -> list[Path]:
        """The files of a declared directory: as it stands, or as much of its end as exists beside the scenario."""
        parts = Path(declared).parts
        for k in range(len(parts)):
            place = self._folder.joinpath(*parts[k:])
            if place.is_file():
                return [place]
            if place.is_dir():
                return sorted(place.glob("*.xosc"))
        return []

    @staticmethod
    def _parse(file: Path) -> Element:
        try:
            raw = file.read_bytes()
        except OSError as error:
            raise ScenarioError(f"{file}: {(error.strerror or 'cannot be read').lower()}") from None
        if len(raw) > MAX_BYTES:
            raise ScenarioError(f"{file}: over {MAX_BYTES >> 20} MiB; that is no catalog")
        return parse(file, raw)
