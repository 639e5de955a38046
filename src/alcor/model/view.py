"""Another view of a resource's rows: at another path, perhaps with attributes of its own.

The rows, their table and their policy rules stay those of the resource that is viewed.
"""

from dataclasses import replace

from alcor.model.resource import Attribute, Resource


def view_of(
    resource: Resource,
    name: str,
    *,
    collection: str = "",
    member: str = "",
    prefix: str = "",
    more: tuple[Attribute, ...] = (),
    text: str = "",
) -> Resource:
    """A view called `name` (unique among resources) at `<prefix>/<collection>`.

    member:  the key of one in bodies; by default that of the resource.
    more:    attributes that only the view has; their fields are the entity's.
    """
    return replace(
        resource,
        name=name,
        collection=collection or resource.collection,
        member=member or resource.member_key,
        prefix=prefix,
        error_name=resource.error_name or resource.name,
        attributes=(*resource.attributes, *more),
        text=text or f"{resource.text} The same rows as {resource.prefix}/{resource.collection}.",
        view_of=resource.kind,
        bulk_path=True,
    )
