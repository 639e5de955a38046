"""The API extensions that the engine itself brings; a family's are declared with its manager.

What a region lists is what it does, no more. Source: the aliases and their dates are the Networking API's (neutron-lib,
`api/definitions`).
"""

from collections.abc import Iterable

from alcor.managers.interface import Manager, Service
from alcor.model.extension import Extension

EXTENSIONS: tuple[Extension, ...] = (
    Extension(
        "port-security",
        "Port Security",
        "Anti-spoofing can be switched off, per port and as a network's default.",
        "2012-07-23T10:00:00-00:00",
    ),
    Extension(
        "empty-string-filtering",
        "Empty String Filtering Extension",
        "A filter with an empty value matches rows whose attribute is empty.",
        "2018-05-01T10:00:00-00:00",
    ),
    Extension(
        "filter-validation",
        "Filter parameters validation",
        "A filter that does not exist is an error, not passed over.",
        "2018-07-04T10:00:00-00:00",
    ),
    Extension(
        "pagination",
        "Pagination support",
        "Lists come in pages: limit, marker, page_reverse and links.",
        "2016-06-12T00:00:00-00:00",
    ),
    Extension(
        "project-id",
        "project_id field enabled",
        "Resources show project_id beside tenant_id.",
        "2016-09-09T09:09:09-09:09",
    ),
    Extension(
        "revision-if-match",
        "If-Match constraints based on revision_number",
        "A change happens only if the resource still has the revision_number that If-Match names.",
        "2016-12-11T00:00:00-00:00",
    ),
    Extension(
        "sort-key-validation",
        "Sort keys validation",
        "A sort key that does not exist is an error, not passed over.",
        "2018-07-04T10:00:00-00:00",
    ),
    Extension(
        "sorting",
        "Sorting support",
        "Lists are sorted: sort_key and sort_dir, each any number of times.",
        "2016-06-12T00:00:00-00:00",
    ),
    Extension(
        "standard-attr-description",
        "standard-attr-description",
        "Resources have a description.",
        "2016-02-10T10:00:00-00:00",
    ),
    Extension(
        "standard-attr-revisions",
        "Resource revision numbers",
        "Resources show how often they changed, as revision_number.",
        "2016-04-11T10:00:00-00:00",
    ),
    Extension(
        "standard-attr-tag",
        "Tag support for resources with standard attributes",
        "Resources carry words of the user's, and lists are filtered by them: tags, tags-any, not-tags, not-tags-any.",
        "2017-01-01T00:00:00-00:00",
    ),
    Extension(
        "standard-attr-timestamp",
        "Resource timestamps",
        "Resources show created_at and updated_at; lists can be confined by changed_since.",
        "2016-09-12T10:00:00-00:00",
    ),
    Extension(
        "tag-creation",
        "Tag creation",
        "Tags are added to those there are by POST on a resource's tags.",
        "2023-04-01T10:00:00-00:00",
    ),
)


def present(parts: Iterable[Manager | Service]) -> dict[str, Extension]:
    """Alias → extension, in the order of aliases, for a process that serves these."""
    found = {one.alias: one for part in parts for one in part.extensions} | {
        one.alias: one for one in EXTENSIONS
    }
    return dict(sorted(found.items()))
