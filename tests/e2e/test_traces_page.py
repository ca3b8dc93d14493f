"""The trace page in a real Chromium: searching, reading a trace, keys, names, contrast, hostile content."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import Page, expect

from meshwright.dev.traces import TracesConfig, TraceStore, serving
from meshwright.messages.otlp import Span
from support.browser import CHROMIUM, NO_CHROMIUM, browsing
from support.spans import EPOCH, MS, attributes, request, span, trace_id
from support.waiting import crowd, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CONFIG = TracesConfig(query_port=0, otlp_grpc_port=0, otlp_http_port=0, max_spans=20_000)
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM)


def ago(seconds: float) -> float:
    """The `at` of a span that started so many seconds ago."""
    return (time.time_ns() - EPOCH) / MS - seconds * 1000


def fill(store: TraceStore) -> None:
    """Three traces: one plain (1), one with an error three services deep (2), one with hostile names (3)."""
    store.ingest(request(span(1, 1, name="GET /plain", at=ago(30), took=12), service="gateway"))
    then = ago(20)
    event = Span.Event(
        name="exception",
        time_unix_nano=EPOCH + round((then + 9) * MS),
        attributes=attributes({"exception.type": "ValueError", "exception.stacktrace": "Traceback\n  line 1"}),
    )
    link = Span.Link(trace_id=trace_id(1), span_id=(1).to_bytes(8, "big"))
    store.ingest(
        request(
            span(2, 1, name="GET /deep", at=then, took=60),
            span(2, 2, parent=1, name="user/Get", kind="client", at=then + 2, took=50),
            service="gateway",
        )
    )
    store.ingest(
        request(
            span(2, 3, parent=2, name="user/Get", at=then + 4, took=40, links=[link]),
            span(2, 4, parent=3, name="calculator/Add", kind="client", at=then + 6, took=30),
            service="user",
        )
    )
    failing = span(2, 5, parent=4, name="calculator/Add", at=then + 8, took=20, error="too large", events=[event])
    store.ingest(request(failing, service="calculator"))
    hostile = span(3, 1, name=HOSTILE, at=ago(10), took=700, tags={HOSTILE: HOSTILE}, error=HOSTILE)
    store.ingest(request(hostile, span(3, 2, parent=1, name=HOSTILE, at=ago(10)), service=HOSTILE))


@pytest.fixture
async def store() -> TraceStore:
    made = TraceStore(max_spans=20_000, max_bytes=100_000_000)
    fill(made)
    return made


@pytest.fixture(params=["light"])
async def page(store: TraceStore, request: pytest.FixtureRequest) -> AsyncIterator[Page]:
    """A page at the store's address; the test fails if it logs an error or asks another server for anything."""
    async with serving(CONFIG, store) as bound:
        options = {"color_scheme": request.param, "viewport": {"width": 1280, "height": 800}}
        async with browsing(f"http://{bound.query}", **options) as opened:
            yield opened


def current(page: Page) -> Any:
    return page.locator(".row.active")


async def test_the_search_lists_traces_newest_first(page: Page) -> None:
    await page.goto("/")
    await expect(page.locator(".hit")).to_have_count(3)
    await expect(page.locator(".hit .operation")).to_have_text([HOSTILE, "GET /deep", "GET /plain"])
    second = page.locator(".hit").nth(1)
    await expect(second.locator(".badge.error")).to_have_text("1 error")
    await expect(second.locator(".chip")).to_have_text(["calculator1!", "gateway2", "user2"])
    await page.get_by_label("Order").select_option("shortest")
    await expect(page.locator(".hit .operation").first).to_have_text("GET /plain")


async def test_the_form_narrows_the_search_and_the_address_says_how(page: Page) -> None:
    await page.goto("/search")
    await page.get_by_label("Service", exact=True).select_option("user")
    await expect(page.locator(".hit .operation")).to_have_text(["GET /deep"])
    await expect(page.get_by_label("Operation", exact=True).locator("option")).to_have_text(
        ["Any operation", "calculator/Add", "user/Get"]
    )
    assert "service=user" in page.url
    await page.reload()
    await expect(page.locator(".hit")).to_have_count(1)
    await page.get_by_label("Tags").fill("no equals sign")
    await page.get_by_role("button", name="Find traces").click()
    await expect(page.get_by_role("alert").first).to_contain_text("Tags are key=value")
    await page.get_by_label("Tags").fill("otel.status_code=ERROR")
    await page.get_by_label("At least").fill("5 parsec")
    await page.get_by_role("button", name="Find traces").click()
    await expect(page.locator(".problem")).to_contain_text("unable to parse param 'minDuration'")


async def test_the_form_is_there_after_a_phone_is_turned(page: Page) -> None:
    await page.set_viewport_size({"width": 390, "height": 800})
    await page.goto("/search")
    await expect(page.get_by_role("button", name="Find traces")).to_be_hidden()
    await page.locator(".panel summary").click()
    await expect(page.get_by_role("button", name="Find traces")).to_be_visible()
    await page.locator(".panel summary").click()
    await page.set_viewport_size({"width": 1000, "height": 400})
    await expect(page.get_by_role("button", name="Find traces")).to_be_visible()


async def test_only_traces_with_errors(page: Page) -> None:
    await page.goto("/search?service=calculator&tags=%7B%22error%22%3A%22true%22%7D")
    await expect(page.get_by_label("Only traces with errors")).to_be_checked()
    await expect(page.locator(".hit")).to_have_count(1)
    await page.get_by_label("Service", exact=True).select_option("gateway")
    await expect(page.locator(".empty-title")).to_have_text("No trace matches.")
    await page.get_by_label("Only traces with errors").uncheck()
    await expect(page.locator(".hit")).to_have_count(2)


async def test_a_trace_is_found_and_opened_with_keys_alone(page: Page) -> None:
    await page.goto("/search")
    await expect(page.locator(".hit")).to_have_count(3)
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await expect(page.locator("h1")).to_have_text("gateway GET /deep")
    await expect(page.locator(".error-mark").first).to_be_visible()
    await page.keyboard.press("e")
    await expect(current(page)).to_contain_text("calculator")
    await expect(current(page).locator(".error-mark")).to_be_visible()
    await page.keyboard.press("Enter")
    details = page.get_by_label("Span details")
    await expect(details.locator(".failure")).to_have_text("Error too large")
    await expect(details.locator(".events")).to_contain_text("exception")
    await expect(details.locator("pre")).to_contain_text("Traceback")
    await page.keyboard.press("Escape")
    await expect(details).to_be_hidden()
    await page.go_back()
    await expect(page.locator(".hit")).to_have_count(3)


async def test_keys_move_fold_and_unfold_in_the_waterfall(page: Page) -> None:
    await page.goto("/trace/2")
    grid = page.get_by_role("treegrid")
    await expect(page.locator(".row")).to_have_count(5)
    for _ in range(3):
        await page.keyboard.press("ArrowDown")
    await expect(grid).to_be_focused()
    await expect(grid).to_have_attribute("aria-activedescendant", "span-0000000000000003")
    await expect(current(page)).to_have_attribute("aria-level", "3")
    await page.keyboard.press("ArrowLeft")
    await expect(current(page)).to_have_attribute("aria-expanded", "false")
    await expect(page.locator(".row")).to_have_count(3)
    await expect(current(page).locator(".error-mark.hollow")).to_be_visible()
    await page.keyboard.press("ArrowLeft")
    await expect(current(page)).to_have_attribute("data-id", "0000000000000002")
    await page.keyboard.press("End")
    await page.keyboard.press("ArrowRight")
    await expect(page.locator(".row")).to_have_count(5)
    await page.keyboard.press("ArrowRight")
    await expect(current(page)).to_have_attribute("data-id", "0000000000000004")
    await page.keyboard.press("Home")
    await expect(current(page)).to_have_attribute("data-id", "0000000000000001")


async def test_finding_within_a_trace(page: Page) -> None:
    await page.goto("/trace/2")
    await expect(page.locator(".row")).to_have_count(5)
    await page.keyboard.press("/")
    await page.keyboard.type("add")
    await expect(page.locator(".row.match")).to_have_count(2)
    await expect(page.locator(".found")).to_have_text("2 found")
    await page.keyboard.press("Enter")
    await expect(page.locator(".found")).to_have_text("2 of 2")
    assert page.url.endswith("/trace/2?uiFind=add")
    await page.keyboard.press("Escape")
    await expect(page.locator(".row.match")).to_have_count(0)
    await page.goto("/trace/2?uiFind=ValueError")
    await expect(current(page)).to_have_attribute("data-id", "0000000000000005")


async def test_details_lead_to_parents_and_linked_traces(page: Page) -> None:
    await page.goto("/trace/2")
    await page.locator(".row").nth(2).click()
    details = page.get_by_label("Span details")
    await details.locator(".up button").click()
    await expect(details.locator("h2")).to_have_text("user/Get")
    await expect(current(page)).to_have_attribute("data-id", "0000000000000002")
    await page.locator(".row").nth(2).click()
    await details.locator(".links a").click()
    await expect(page.locator("h1")).to_have_text("gateway GET /plain")


async def test_dragging_over_the_overview_zooms_and_escape_undoes_it(page: Page) -> None:
    await page.goto("/trace/2")
    box = await page.locator(".minimap canvas").bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 20)
    await page.mouse.down()
    await page.mouse.move(box["x"] + box["width"], box["y"] + 20)
    await page.mouse.up()
    await expect(page.locator(".tick").first).to_have_text("30 ms")
    await page.keyboard.press("Escape")
    await expect(page.locator(".tick").first).to_have_text("0 µs")


async def test_hostile_names_are_shown_as_text(page: Page) -> None:
    await page.goto("/search")
    await expect(page.locator(".hit .operation").first).to_have_text(HOSTILE)
    await page.locator(".hit").first.click()
    await page.locator(".row").first.click()
    await expect(page.get_by_label("Span details").locator("h2")).to_have_text(HOSTILE)
    await expect(page.get_by_label("Span details").locator(".failure")).to_contain_text(HOSTILE)
    assert await page.locator("main img, main script").count() == 0
    assert await page.title() != "owned"
    await page.goto("/dependencies")
    await expect(page.locator(".calls tbody tr")).to_have_count(2)


async def test_a_trace_of_ten_thousand_spans_keeps_few_rows_and_reaches_its_end(page: Page, store: TraceStore) -> None:
    then = ago(5)
    spans = [span(8, 1, name="root", at=then, took=1000)]
    spans += [span(8, n, parent=n // 10 or 1, name=f"work {n}", at=then + n / 20, took=3) for n in range(2, 10_001)]
    store.ingest(request(*spans, service="gateway"))
    await page.goto("/trace/8")
    await expect(page.locator(".row").first).to_be_visible(timeout=10_000 * crowd())
    assert await page.locator(".row").count() < 100
    await page.keyboard.press("End")
    await expect(current(page)).to_be_in_viewport()
    await expect(current(page)).to_have_attribute("aria-rowindex", "10001")
    assert await page.locator(".row").count() < 100
    await page.get_by_role("button", name="Fold all", exact=True).click()
    await expect(page.get_by_role("treegrid")).to_have_attribute("aria-rowcount", "20")


async def test_a_deep_chain_and_a_circle_are_shown_whole(page: Page, store: TraceStore) -> None:
    chain = [span(5, n, parent=n - 1, name=f"level {n}", at=ago(1), took=5) for n in range(1, 5001)]
    store.ingest(
        request(*chain, span(6, 1, parent=3), span(6, 2, parent=1), span(6, 3, parent=2), span(6, 4, parent=2))
    )
    await page.goto("/trace/5")
    await expect(page.get_by_role("treegrid")).to_have_attribute("aria-rowcount", "5001")
    await page.goto("/trace/6")
    await expect(page.locator(".row")).to_have_count(4)
    await expect(page.locator(".warn-mark").first).to_be_visible()


async def test_live_brings_new_traces_and_new_spans(page: Page, store: TraceStore) -> None:
    await page.goto("/search")
    await expect(page.locator(".hit")).to_have_count(3)
    await page.get_by_role("button", name="Live").click()
    await expect(page.get_by_role("button", name="Live")).to_have_attribute("aria-pressed", "true")
    store.ingest(request(span(4, 1, name="GET /new", at=ago(0)), service="gateway"))
    await expect(page.locator(".hit")).to_have_count(4)
    await page.locator(".hit").first.click()
    await expect(page.locator(".row")).to_have_count(1)
    await page.keyboard.press("/")
    await page.keyboard.type("la")
    store.ingest(request(span(4, 2, parent=1, name="late", at=ago(0)), service="user"))
    await expect(page.locator(".row")).to_have_count(2)
    await page.keyboard.type("te")
    await expect(page.get_by_label("Find in this trace")).to_have_value("late")
    await expect(page.locator(".row.match")).to_have_count(1)


async def test_a_trace_that_is_not_there_says_so(page: Page) -> None:
    await page.goto("/trace/77")
    await expect(page.locator("h1")).to_have_text("This trace is not in the store.")
    await page.get_by_label("Trace id").fill("1")
    await page.keyboard.press("Enter")
    await expect(page.locator("h1")).to_have_text("gateway GET /plain")


async def test_the_keyboard_help_opens_and_closes(page: Page) -> None:
    await page.goto("/search")
    await expect(page.locator(".hit")).to_have_count(3)
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_be_hidden()


UNCOVERED = """() => { const box = document.querySelector('.row.active').getBoundingClientRect();
  return Boolean(document.elementFromPoint(box.x + 100, box.y + box.height / 2)?.closest('.row.active')); }"""

NAMELESS = """() => [...document.querySelectorAll('button, a, input, select, [role=treegrid], [role=img], aside')]
  .filter((e) => e.checkVisibility() && !(e.getAttribute('aria-label') || e.textContent.trim()
    || e.labels?.length || e.alt)).map((e) => e.outerHTML)"""

PALE = """() => {
  const pen = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = (colour) => { pen.clearRect(0, 0, 1, 1); pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data]; };
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (e) => { for (; e; e = e.parentElement) {
    if (e.matches('.span-bar:not(.inside)')) continue;
    const c = rgba(getComputedStyle(e).backgroundColor);
    if (c[3] > 250) return c; } return [255, 255, 255, 255]; };
  const found = [];
  for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.checkVisibility() || e.closest('.hidden, svg, .skip, noscript')) continue;
    const [a, b] = [light(rgba(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) found.push(`${ratio.toFixed(2)} ${e.className} ${e.textContent.slice(0, 30)}`);
  }
  return found;
}"""


@pytest.mark.parametrize("page", ["light", "dark"], indirect=True)
async def test_everything_has_a_name_enough_contrast_and_room_on_a_phone(page: Page) -> None:
    for path, ready in (("/search", ".hit"), ("/trace/2", ".row"), ("/dependencies", ".node"), ("/trace/77", "h1")):
        for width in (1280, 390):
            await page.set_viewport_size({"width": width, "height": 800})
            await page.goto(path)
            await expect(page.locator(ready).first).to_be_visible()
            if ready == ".row":
                await page.keyboard.press("e")
                await page.keyboard.press("Enter")
                await expect(page.get_by_label("Span details")).to_be_visible()
                await eventually(lambda: page.evaluate(UNCOVERED), message="the current row is in sight")
            assert await page.evaluate(NAMELESS) == [], (path, width)
            assert await page.evaluate(PALE) == [], (path, width)
            assert await page.evaluate("document.documentElement.scrollWidth") <= width, (path, width)
            assert await page.locator("h1").count() == 1
            assert await page.evaluate("document.documentElement.lang") == "en"


async def test_an_empty_store_says_what_to_do(page: Page, store: TraceStore) -> None:
    store.ingest(request(*(span(9, n) for n in range(1, 20_001))))
    assert len(store) == 1
    await page.goto("/search")
    await expect(page.locator(".empty-title")).to_have_text("No traces yet.")
    await expect(page.locator(".empty")).to_contain_text("OTEL_EXPORTER_OTLP_ENDPOINT")
