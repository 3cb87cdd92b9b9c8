"""The page *Settings*: what holds, zones on a still, the test alarm. Ring: rim."""

from __future__ import annotations

from flask import Blueprint, Response, request

from edge.ui.action_views import done
from edge.ui.kit import Kit
from edge.ui.settings_model import show_settings, show_tests
from edge.ui.zones_model import KINDS, show_zones, with_zones


def add_settings(console: Blueprint, kit: Kit) -> None:
    """Add the page, and the button that begins a test alarm."""

    @console.get("/ui/settings")
    def show_settings_page() -> Response:
        speech, settings = kit.speech(), kit.settings
        titles = {name: kit.title_of(name) for name in settings.cameras}
        asked = request.args.get("camera", "")
        chosen = asked if asked in titles else next(iter(titles), "")
        version = request.args.get("version", "")
        look = kit.parts.live.look(chosen) if chosen else None
        zones = kit.parts.zones
        return kit.render(
            "settings.html",
            speech,
            title=speech.t("page.settings"),
            current="settings",
            groups=show_settings(
                zones.effective(settings),
                with_zones(kit.parts.origins, zones, settings, speech),
                speech,
                camera=chosen,
            ),
            cameras=titles,
            chosen=chosen,
            look=look,
            zones=show_zones(zones, chosen, speech, version) if chosen else None,
            zone_kinds=[kind.value for kind in KINDS],
            running=kit.parts.selftest.running(),
            tests=show_tests(kit.parts.selftest.results(), titles, speech),
        )

    @console.post("/ui/selftest")
    def begin_test() -> Response:
        kit.parts.selftest.begin(request.form.get("camera") or None)
        return done(kit, kit.speech().t("settings.test_began"), back="/ui/settings#test")
