"""The dashboard: one page of plain modules, a client of the public stream like any other. Nothing is built or fetched.

`plotly.min.js` comes from the installed wheel of plotly.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from fastapi.responses import Response

from api.gateway import RefusedError

KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
HEADERS = {
    # plotly.js sets styles on the elements that it draws.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def asset(name: str) -> Response:
    """A file of the page. Raises RefusedError for any other name."""
    found = _files().get(name)
    if found is None:
        raise RefusedError("NO_SUCH_THING", f"the page has no part {name!r:.40}")
    kind, data = found
    return Response(data, headers=HEADERS, media_type=kind)


@cache
def _files() -> dict[str, tuple[str, bytes]]:
    own = {item.name: item.read_bytes() for item in files("api.dashboard").iterdir() if item.name[-3:] != ".py"}
    own["plotly.min.js"] = files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()
    return {name: (kind, data) for name, data in own.items() for end, kind in KINDS.items() if name.endswith(end)}
