"""The page "Box review" in a real browser: what only a mouse and a keyboard can show."""

import re

from playwright.sync_api import Page, expect
from test_browser import LIMIT_MS, settle


def test_a_box_is_drawn_with_the_mouse_and_decided_with_keys(page: Page, app_server: str) -> None:
    page.goto(f"{app_server}/review?lang=en")
    page.get_by_role("button", name="Try with phantoms").click(timeout=LIMIT_MS)
    expect(page.get_by_text("0 of 6 reviewed")).to_be_visible(timeout=LIMIT_MS)
    settle(page)
    name = page.get_by_role("textbox", name="Reviewer")
    name.click()
    name.press_sequentially("Max A x")  # letters of shortcuts, which mean nothing in a field
    name.press("Tab")
    settle(page)
    expect(page.get_by_text("0 of 6 reviewed")).to_be_visible()
    surface = page.get_by_test_id("stPlotlyChart").locator(".nsewdrag").first
    surface.scroll_into_view_if_needed()
    page.wait_for_timeout(1000)  # plotly lays out once more when its place is known
    place = surface.bounding_box()
    assert place is not None
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    page.mouse.move(x - 60, y - 60)
    page.mouse.down()
    page.mouse.move(x, y, steps=5)
    page.mouse.move(x + 90, y + 80, steps=5)
    page.mouse.up()
    expect(page.get_by_role("button", name="Undo the drawing")).to_be_visible(timeout=LIMIT_MS)
    settle(page)
    edges = [int(page.get_by_role("spinbutton", name=f"{side} edge").input_value()) for side in ("Left", "Right")]
    assert 80 < edges[1] - edges[0] < 200
    page.get_by_role("heading", name="Box review").click()  # out of the fields: letters are commands again
    page.keyboard.press("a")
    expect(page.get_by_text("1 of 6 reviewed")).to_be_visible(timeout=LIMIT_MS)
    settle(page)
    page.keyboard.press("x")
    expect(page.get_by_text("2 of 6 reviewed")).to_be_visible(timeout=LIMIT_MS)
    settle(page)
    page.reload()
    expect(page.get_by_text("2 of 6 reviewed")).to_be_visible(timeout=LIMIT_MS)
    expect(page.get_by_text(re.compile("Redrawn: 1")).first).to_be_visible()
