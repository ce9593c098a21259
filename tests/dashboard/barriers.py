"""Barriers in pages for people who see, move or read differently, as far as programs find them."""

from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Page

_AXE: Final = Path(__file__).parent / "axe/node_modules/axe-core/axe.min.js"
_LOOK: Final = "() => axe.run(document, {resultTypes: ['violations']})"
# What can be reached by the Tab key and shows no outline then.
_UNSEEN: Final = """
() => [...document.querySelectorAll("a, button, input, select, textarea, summary, [tabindex]")]
  .filter((one) => one.checkVisibility() && !one.disabled && one.tabIndex >= 0)
  .filter((one) => {
    one.focus({ focusVisible: true });
    const style = getComputedStyle(one);
    return style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 2;
  })
  .map((one) => one.outerHTML.slice(0, 200))
"""
# What stands out at the right edge, where the page as a whole is too wide.
_TOO_WIDE: Final = """
() => document.scrollingElement.scrollWidth <= innerWidth ? [] :
  [...document.querySelectorAll("body *")]
    .filter((one) => one.getBoundingClientRect().right > innerWidth)
    .map((one) => one.outerHTML.slice(0, 200))
"""


def violations(page: Page) -> list[str]:
    """What axe-core finds: rule and elements."""
    if not _AXE.exists():
        pytest.fail("axe-core is missing: bash deploy/npm.sh tests/dashboard/axe", pytrace=False)
    page.evaluate(_AXE.read_text(encoding="utf-8"))
    found: dict[str, Any] = page.evaluate(_LOOK)
    return [
        f"{one['id']}: {one['help']}: {node['html'][:200]} {node['failureSummary']}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


def open_details(page: Page) -> None:
    """Open whatever is folded."""
    page.locator("details").evaluate_all("all => all.forEach((one) => { one.open = true; })")


def without_outline(page: Page) -> list[str]:
    """What shows no outline when it has the focus."""
    found: list[str] = page.evaluate(_UNSEEN)
    return found


def too_wide(page: Page) -> list[str]:
    """What makes a page scroll sideways."""
    found: list[str] = page.evaluate(_TOO_WIDE)
    return found
