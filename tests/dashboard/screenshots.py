"""Takes the pictures of `docs/dashboard.md`: ``python -m tests.dashboard.screenshots``."""

import sys
import tempfile
from pathlib import Path
from typing import Final, Literal

from playwright.sync_api import Browser, Page, expect

from streams.broker import LocalBroker
from tests.dashboard.scene import PAGES, Scene
from tests.dashboard.site import PATIENCE_S, Site
from tests.repo import tree
from tests.support.browser import chromium

IMAGES: Final = tree.ROOT / "docs/images"
LARGEST_BYTES: Final = 150_000
_WIDTH: Final = 1_100
_TALLEST: Final = 850
# These are shown to their ends.
_TALLER: Final = {"cancel": 1_000, "cancel-count": 1_090}
# Those of `PAGES` that the guide shows.
SHOWN: Final = (
    "sign-in",
    "overview",
    "runs",
    "run",
    "run-cancelled",
    "functions",
    "function",
    "cancel",
    "cancel-count",
    "cancellations",
    "cancellation",
    "replays",
    "replay",
    "dead-letters",
    "dead-letter",
    "system",
    "audit",
    "keys",
)
DARK: Final = "overview"


def main() -> int:
    """Play the scene, and take a picture of each page of the guide."""
    expect.set_options(timeout=PATIENCE_S * 1000)
    with (
        tempfile.TemporaryDirectory(prefix="countermand-screenshots-") as folder,
        LocalBroker() as broker,
        Site(broker.bootstrap_servers, Path(folder), "countermand") as site,
        chromium() as browser,
    ):
        scene = Scene(site)
        page = _open(browser, site)
        _take(page, scene, "sign-in")
        scene.act(page)
        # What was counted is committed later: until then its page offers that.
        _take(page, scene, "cancel")
        _take(page, scene, "cancel-count")
        scene.commit(page)
        for name in SHOWN:
            if name not in {"sign-in", "cancel", "cancel-count"}:
                _take(page, scene, name)
        dark = _open(browser, site, "dark")
        dark.context.add_cookies(page.context.cookies())  # type: ignore[arg-type]  # as they come
        _take(dark, scene, DARK, "-dark")
    return 0


def _open(browser: Browser, site: Site, scheme: Literal["light", "dark"] = "light") -> Page:
    return browser.new_page(
        base_url=site.url,
        viewport={"width": _WIDTH, "height": max(_TALLEST, *_TALLER.values())},
        reduced_motion="reduce",
        color_scheme=scheme,
    )


def _take(page: Page, scene: Scene, name: str, suffix: str = "") -> None:
    page.goto(scene.path(name))
    PAGES[name].act(page)
    page.evaluate("scrollTo(0, 0)")
    path = IMAGES / f"dashboard-{name}{suffix}.png"
    tall = page.evaluate("Math.ceil(document.body.getBoundingClientRect().bottom)")
    height = min(tall, _TALLER.get(name, _TALLEST))
    page.screenshot(
        path=path,
        animations="disabled",
        clip={"x": 0, "y": 0, "width": _WIDTH, "height": height},
    )
    size = path.stat().st_size
    assert size < LARGEST_BYTES, f"{path} has {size} bytes"
    print(f"{path.relative_to(tree.ROOT)}: {size} bytes", flush=True)


if __name__ == "__main__":
    sys.exit(main())
