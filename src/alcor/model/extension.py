"""An extension of the Networking API: a name by which clients learn what a region can do."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Extension:
    """What `GET /v2.0/extensions/<alias>` shows. Alias, name and date are the Networking API's (neutron-lib,
    `api/definitions`); clients look for the alias."""

    alias: str
    name: str
    description: str
    updated: str

    def document(self) -> dict[str, object]:
        """What clients see."""
        return {
            "alias": self.alias,
            "name": self.name,
            "description": self.description,
            "updated": self.updated,
            "links": [],
        }
