"""What a demonstration needs, in a real browser: keys, ruler, presentation and tour."""

import re

from playwright.sync_api import Page, expect
from test_browser import LIMIT_MS, headline, settle


def test_keys_ruler_presentation_and_tour(page: Page, app_server: str) -> None:
    page.goto(f"{app_server}/hip_osteoporosis?lang=en")
    headline(page)
    settle(page)
    expect(page.get_by_text("1 of 7")).to_be_visible(timeout=LIMIT_MS)
    page.keyboard.press("n")
    expect(page.get_by_text("2 of 7")).to_be_visible(timeout=LIMIT_MS)
    page.keyboard.press("p")
    expect(page.get_by_text("1 of 7")).to_be_visible(timeout=LIMIT_MS)
    settle(page)

    page.get_by_text("Zoom and measure", exact=True).click()
    expect(page.get_by_text("Lengths are in mm.")).to_be_visible(timeout=LIMIT_MS)
    settle(page)
    chart = page.get_by_test_id("stPlotlyChart").filter(has=page.locator("[data-title='Draw line']"))
    chart.locator("[data-title='Draw line']").click()
    surface = chart.locator(".nsewdrag").first
    surface.scroll_into_view_if_needed()
    page.wait_for_timeout(1000)  # plotly lays out once more when its place is known
    place = surface.bounding_box()
    assert place is not None
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    page.mouse.move(x - 90, y - 60)
    page.mouse.down()
    page.mouse.move(x, y, steps=5)
    page.mouse.move(x + 90, y + 60, steps=5)
    page.mouse.up()
    expect(chart.get_by_text(re.compile(r"^\d+\.\d mm$"))).to_be_visible(timeout=LIMIT_MS)

    page.get_by_role("button", name="Tour of this page").click()
    tour = page.get_by_role("dialog")
    expect(tour.get_by_text("1 of 6")).to_be_visible(timeout=LIMIT_MS)
    tour.get_by_role("button", name="Next").click()
    expect(tour.get_by_text("Read the checks first.")).to_be_visible(timeout=LIMIT_MS)
    tour.get_by_role("button", name="Skip the tour").click()
    expect(tour).to_have_count(0, timeout=LIMIT_MS)
    settle(page)

    page.get_by_role("button", name="Presentation mode").click()
    expect(page.get_by_role("button", name="End the presentation")).to_be_visible(timeout=LIMIT_MS)
    expect(page.get_by_test_id("stSidebarNavLink")).to_have_count(0)
    settle(page)
    expect(page.get_by_text("research use, not a medical device")).to_have_count(1)
    assert "present=1" in page.url
    page.get_by_role("button", name="End the presentation").click()
    expect(page.get_by_test_id("stSidebarNavLink").first).to_be_visible(timeout=LIMIT_MS)
