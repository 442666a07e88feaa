"""The page's frame: templates filled in, in the reader's language, for whoever is asking.

Rule 1: everything that is put into a template is escaped (jinja2's autoescape); a name that a template does
        not get is an error, not an empty place.
Rule 2: nothing is loaded from elsewhere: no font, script or picture from the internet.
Rule 3: a page is kept by nobody: it is of this moment, and of whoever is logged in.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from gateway.config_model import Config
from gateway.people.accounts import ROLES
from gateway.people.may import ANYBODY, Who, may
from gateway.web.page.words import COOKIE, LANGUAGES, Words, chosen

TEMPLATES = Path(__file__).parent / "templates"
NAVIGATION = (
    ("/", "now"), ("/history", "history"), ("/alerts", "alerts"), ("/destinations", "destinations"),
    ("/instruments", "instruments"), ("/evidence", "evidence"), ("/events", "events"),
    ("/reports", "reports"), ("/health", "health"),
)  # fmt: skip
"""Pages that everybody who may look finds in the bar: path, and name of its text."""
YEAR_S = 365 * 86_400


class Shell:
    """The frame of all pages of one station."""

    def __init__(self, config: Config):
        self._config = config
        self._words = {language: Words(language) for language in LANGUAGES}
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, auto_reload=False,
            undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip

    def warm(self) -> None:
        """Compile all templates: the first reader need not wait for it."""
        for name in self._templates.list_templates(extensions=["html"]):
            self._templates.get_template(name)

    def words(self, request: Request) -> Words:
        """In the language of this request."""
        return self._words[chosen(request.query_params.get("lang"), request.cookies.get(COOKIE))]

    def part(self, template: str, language: str, **context: Any) -> str:
        """A template without the frame, for nobody in particular."""
        return self._templates.get_template(template).render(
            t=self._words[language], station=self._config.station, **context
        )

    def page(self, request: Request, template: str, status: int = 200, **context: Any) -> Response:
        """A whole page. Its template has `t` (the words), `who`, `may(action)`, `station`, `flash`."""
        t, who = self.words(request), who_asks(request)
        text = self._templates.get_template(template).render(
            t=t, who=who, may=lambda action: may(who.role, action), station=self._config.station,
            role=t.both((ROLES[who.role], who.role)) if who.name else "",
            path=request.url.path, other=_other(request, t), navigation=NAVIGATION,
            flash=getattr(request.state, "flash", None), **context,
        )  # fmt: skip
        response = HTMLResponse(text, status, {"Cache-Control": "no-store"})
        if request.query_params.get("lang") in LANGUAGES:
            response.set_cookie(
                COOKIE, t.language, max_age=YEAR_S, httponly=True, samesite="strict",
                secure=request.url.scheme == "https",
            )  # fmt: skip
        return response


def who_asks(request: Request) -> Who:
    """As the door found out; where there is none, anybody."""
    return getattr(request.state, "who", ANYBODY)


def _other(request: Request, t: Words) -> str:
    """This page in the other language."""
    asked = {name: value for name, value in request.query_params.items() if name != "lang"}
    return f"?{urlencode({**asked, 'lang': t.other})}"
