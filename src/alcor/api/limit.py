"""The bounds of one request, so that no request can cost more than it may."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of requests and answers; each is named in the error that it causes."""

    body_bytes_max: int = 4 * 1024 * 1024
    """1,000 ports with every attribute said take about 1 MiB."""

    depth_max: int = 32
    """Levels of JSON; encoders give up at 254, and no attribute has more than 4 but binding:profile."""

    header_bytes_max: int = 32 * 1024
    headers_max: int = 100
    target_bytes_max: int = 60 * 1024
    """Path and query. Clients ask `?id=…` for a thousand rows; the server stops at 128 KiB of path and headers."""

    bulk_items_max: int = 1_000
    page_items_max: int = 10_000
    """A list without `limit` is cut here, with a `next` link, so that no answer grows with the region."""

    scan_rows_max: int = 20_000
    """Rows looked at by one list request that filters by a computed attribute; what was not reached is behind the
    `next` link."""

    scan_page_rows: int = 1_000
