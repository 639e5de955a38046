"""The API's documentation in the browser: Swagger UI, served from an installed package, without the internet.

The files are found by the package's location; the package itself is never imported (it would need Django).
"""

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from starlette.responses import FileResponse, HTMLResponse, Response

from alcor.api.call import Call, Endpoint
from alcor.api.errors import Refused

PACKAGE = "drf_spectacular_sidecar"
_INSIDE = Path("static") / PACKAGE / "swagger-ui-dist"
_FILES = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png")

# The page may load nothing but what this server sends: neither scripts of others, nor a validator's badge.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
}

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Alcor API</title>
<link rel="icon" type="image/png" href="/docs/favicon-32x32.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""

_START = """SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  requestSnippetsEnabled: true
});
"""

_MISSING = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Alcor API</title></head>
<body>
<h1>The API's pages are not installed</h1>
<p>The files of Swagger UI come from the Python package <code>{PACKAGE.replace("_", "-")}</code>, which is not in this
installation. Install it (<code>pip install 'alcor[region]'</code>) and load this page again.</p>
<p>The document itself is at <a href="/openapi.json">/openapi.json</a>.</p>
</body></html>
"""


def swagger_folder(package: str = PACKAGE) -> Path | None:
    """Where the package keeps Swagger UI's files; None if it is not installed or does not have them."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / _INSIDE
    return folder if all((folder / name).is_file() for name in _FILES) else None


class Docs:
    """`/openapi.json` and `/docs`. `folder`: Swagger UI's files, None if there are none.

    document: makes the OpenAPI document when somebody asks for it first; it takes a tenth of a second.
    """

    def __init__(self, document: Callable[[], bytes], folder: Path | None) -> None:
        self._document = cache(document)
        self._folder = folder

    def endpoints(self) -> dict[str, Endpoint]:
        """Path template → endpoint."""
        return {
            "/openapi.json": Endpoint("openapi", {"GET": self.document}, is_open=True),
            "/docs": Endpoint("docs", {"GET": self.page}, is_open=True),
            "/docs/{id}": Endpoint("docs", {"GET": self.file}, is_open=True),
        }

    async def document(self, call: Call) -> Response:
        """The OpenAPI document."""
        return Response(self._document(), media_type="application/json")

    async def page(self, call: Call) -> Response:
        """Swagger UI's page, or one that says how to get it."""
        if self._folder is None:
            return HTMLResponse(_MISSING, 503, _HEADERS)
        return HTMLResponse(_PAGE, headers=_HEADERS)

    async def file(self, call: Call) -> Response:
        """One of Swagger UI's files. Raises: Refused (404)."""
        if call.id == "start.js":
            return Response(_START, headers=_HEADERS, media_type="text/javascript")
        # Only names of the closed list reach the file system: no path of a client does.
        if self._folder is None or call.id not in _FILES:
            raise Refused(404, f"There is no page '{call.id}'.")
        return FileResponse(self._folder / call.id, headers={"Cache-Control": "max-age=3600"})
