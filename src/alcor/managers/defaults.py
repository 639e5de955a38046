"""The defaults of a resource's attributes, for managers that make rows of another manager's."""

from typing import Any

from alcor.managers.interface import Values
from alcor.model.resource import REQUIRED, Resource, Who


def values_for(resource: Resource, **said: Any) -> Values:
    """What the API would hand to the resource's create for `said` (entity field → canonical value)."""
    values: Values = {}
    for attribute in resource.attributes:
        if attribute.create is not Who.NOBODY and attribute.default is not REQUIRED:
            default = attribute.default
            values[attribute.field] = dict(default) if isinstance(default, dict) else default
    return values | said
