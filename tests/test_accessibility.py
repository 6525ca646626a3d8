"""No serious finding of axe-core on any page, light and dark, nor on the tabs of a task page."""

import re
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from playwright.sync_api import Page, expect

ROOT = Path(__file__).resolve().parents[1]
AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text(encoding="utf-8")
PAGES = sorted(path.stem for path in (ROOT / "pages").glob("[a-z]*.py"))
LIMIT_MS = 90_000
# Faults of Streamlit 1.67 itself, each by rule and element; nothing else is let pass.
STREAMLIT = {
    # The sidebar's menu puts sections as <div> between the list and its items; its links are read out all the same.
    "list": re.compile(r'<ul data-testid="stSidebarNavItems"'),
    "listitem": re.compile(
        r'<li class="[^"]*">(<div[^>]*>)?<a [^>]*data-testid="stSidebarNavLink"|<li class="[^"]*"><div'
    ),
    # st.latex lets a wide formula scroll without a tab stop of its own; Chromium and Firefox give scrollers one by themselves.
    "scrollable-region-focusable": re.compile(r'<span class="katex-display"'),
}
SCAN = """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations
    .filter(found => ["serious", "critical"].includes(found.impact))
    .flatMap(found => found.nodes.map(node => [found.id, node.target.join(" "), document.querySelector(node.target[0]).outerHTML,
        [...node.any, ...node.all, ...node.none].map(check => check.message).join("; ")]))"""


def findings(page: Page) -> list[list[str]]:
    """Rule, element, its markup and what is wrong, of serious and critical findings that are not Streamlit's own."""
    found: list[list[str]] = page.evaluate(SCAN)
    return [
        [rule, target, markup[:300], message]
        for rule, target, markup, message in found
        if not (rule in STREAMLIT and STREAMLIT[rule].match(markup))
    ]


def settle(page: Page) -> None:
    page.wait_for_function(
        "() => document.querySelector('[data-testid=stApp]')?.getAttribute('data-test-script-state') === 'notRunning'",
        timeout=LIMIT_MS,
    )


def open_page(page: Page, address: str) -> None:
    page.add_init_script(AXE)
    page.goto(address)
    expect(page.get_by_role("heading").first).to_be_visible(timeout=LIMIT_MS)
    # Streamlit fetches the part that draws our style sheet after the first elements.
    page.wait_for_function(
        "() => [...document.querySelectorAll('style')].some(style => style.textContent.includes('stCaptionContainer'))",
        timeout=LIMIT_MS,
    )
    settle(page)


def turn_dark(page: Page) -> None:
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(
        "() => getComputedStyle(document.querySelector('[data-testid=stApp]')).colorScheme === 'dark'", timeout=LIMIT_MS
    )
    page.wait_for_timeout(400)  # colours fade over


@pytest.mark.parametrize("name", PAGES)
def test_no_serious_finding(page: Page, app_server: str, name: str) -> None:
    open_page(page, f"{app_server}/{'' if name == 'home' else name}?lang=en")
    assert findings(page) == []
    turn_dark(page)
    assert findings(page) == []


def test_no_serious_finding_on_the_tabs_of_a_task(page: Page, app_server: str) -> None:
    """Of the quickest task: the tabs of the others are made of the same parts."""
    open_page(page, f"{app_server}/knee_djd?lang=en")
    tabs = page.get_by_role("tab")
    expect(tabs.first).to_be_visible(timeout=LIMIT_MS)
    settle(page)
    assert tabs.count() >= 4
    wrong: dict[str, Any] = {}
    for place in range(1, tabs.count()):
        tabs.nth(place).click()
        settle(page)
        if found := findings(page):
            wrong[tabs.nth(place).inner_text()] = found
    assert wrong == {}


def test_a_fault_is_found(page: Page) -> None:
    """A picture without words and pale print would not pass."""
    page.add_init_script(AXE)
    page.goto("about:blank")
    page.set_content(
        "<html lang='en'><title>x</title><main><img src='data:,'><p style='color:#bbb'>pale</p></main></html>"
    )
    page.evaluate(AXE)
    assert {rule for rule, *_ in findings(page)} == {"image-alt", "color-contrast"}
    page.set_content("<html lang='en'><title>x</title><main><ul><div>no item</div></ul></main></html>")
    page.evaluate(AXE)
    assert [rule for rule, *_ in findings(page)] == ["list"], "only the list of Streamlit's own menu is let pass"
