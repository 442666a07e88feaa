"""What every answer tells the browser about itself, so that it lets nobody else near the page.

Rule 1: scripts come from here, from files: what somebody wrote into a name or a reason is never one.
Rule 2: no other site shows the page in a frame, gets its address, or has a form sent to it.
Rule 3: what an answer says of itself goes first (public.py); what says nothing is kept by nobody.
"""

from __future__ import annotations

from starlette.datastructures import MutableHeaders

CSP = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data: blob:",
        "style-src 'self' 'unsafe-inline'",  # plotly writes styles
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
EVERYWHERE = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with "no-referrer" a form would come with "Origin: null"
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=(), serial=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
HSTS = "max-age=31536000"
FOR_ANYBODY = ("/public.json", "/public.csv")
"""Pages of other sites may read these two."""


def put(headers: MutableHeaders, path: str, hsts: bool) -> None:
    """Onto the answer for this path."""
    for name, said in EVERYWHERE.items():
        headers.setdefault(name, said)
    if path not in FOR_ANYBODY:
        headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    if hsts:
        headers.setdefault("Strict-Transport-Security", HSTS)
