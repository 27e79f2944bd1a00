"""The dashboard in a real browser: trading, proofs, a restart of the server, names and contrast, the keyboard."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.agents.small import ALONE
from tests.api.live_kit import SECONDS, Live, running, served

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install '.[dev]'")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe: pip install '.[dev]'")
expect = sync_api.expect
expect.set_options(timeout=SECONDS * 1000)
VIEWS = {"wide": {"width": 1400, "height": 900}, "phone": {"width": 390, "height": 844}}
NOT_YET = "409 (Conflict)"
"""What a browser says where a trade is not signed yet; the page asks again."""
Page = Any
"""One of playwright, which may not be there."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The chromium of this machine, or the one that playwright has brought."""
    with sync_api.sync_playwright() as started:
        names = ("chromium", "chromium-browser", "google-chrome", started.chromium.executable_path)
        path = next(filter(None, map(shutil.which, names)), None)
        if path is None:
            pytest.skip("no chromium here; apt-get install chromium")
        found = started.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-quic"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    day = ALONE | {"time.slots": 96}
    with running(tmp_path_factory.mktemp("market"), speed=90.0, changes=day, heartbeat=0.5) as found:
        yield found


@contextmanager
def opened(browser: Any, url: str, view: str = "wide", scheme: str = "light") -> Iterator[Page]:
    """The page with all its parts drawn. In the end nothing was complained of, and no other host was asked."""
    context = browser.new_context(viewport=VIEWS[view], color_scheme=scheme, reduced_motion="reduce")
    context.set_default_timeout(SECONDS * 1000)
    page = context.new_page()
    page.complaints = complaints = []

    def said(message: Any) -> None:
        if message.type in ("error", "warning") and NOT_YET not in message.text:
            complaints.append(message.text)

    def asked(request: Any) -> None:
        if not request.url.startswith((url, "data:", "blob:")):
            complaints.append(request.url)

    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", said)
    page.on("request", asked)
    page.goto(url)
    expect(page.locator("#status")).to_have_text("connected")
    expect(page.locator(".plot .main-svg:first-child")).to_have_count(4)
    expect(page.locator("#tape tr").first).to_be_visible()
    yield page
    assert complaints == []
    context.close()


def sign_in(page: Page, token: str) -> None:
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Account of")).to_be_visible()
    expect(page.locator("#own-forecast tr").first).to_be_visible()


def bid(page: Page, price: str, energy: str) -> str:
    """Bid for the slot that closes last; what the page says of it."""
    answer = page.locator("#order-answer")
    answer.evaluate("answer => answer.textContent = ''")
    page.get_by_label("Price, ct/kWh").fill(price)
    page.get_by_label("Energy, Wh").fill(energy)
    slots = page.locator("#order-slot option").evaluate_all("options => options.map((option) => option.value)")
    page.locator("#order-slot").select_option(slots[-1])
    page.get_by_role("button", name="Place order").click()
    expect(answer).not_to_have_text("")
    said: str = answer.inner_text()
    return said


def test_somebody_trades_checks_the_proof_takes_an_order_out_and_sees_the_server_restart(
    browser: Any, tmp_path: Path
) -> None:
    with served(tmp_path, "20") as (process, port, token), opened(browser, f"http://127.0.0.1:{port}") as page:
        sign_in(page, token)
        said = bid(page, "40", "100")
        assert re.fullmatch(r"Order \d+: traded .*\d+ Wh at .*; nothing is left in the book\.", said), said
        page.get_by_role("button", name="Verify").first.click()
        proved = re.compile(r"is proved: \d+ Wh at .* log of \d+ entries, signed by wattbook/")
        expect(page.locator("#proof")).to_have_text(proved)
        assert "200 Wh rest in the book" in bid(page, "0.10", "200")
        resting = page.locator("#orders tr", has_text="0.10")
        resting.get_by_role("button", name="Cancel").click()
        expect(page.locator("#order-answer")).to_have_text(re.compile(r"Order \d+ is taken out\."))
        expect(resting).to_have_count(0)
        assert "300 Wh rest in the book" in bid(page, "0.20", "300")
        kept = page.locator("#orders tr", has_text="0.20")
        expect(kept).to_have_count(1)
        assert page.complaints == []
        process.kill()
        process.wait()
        alarm, status = page.get_by_role("alert").filter(has_text="Not connected"), page.locator("#status")
        expect(alarm).to_be_visible()
        expect(status).to_have_text(re.compile("disconnected|connecting"))
        page.get_by_role("button", name="Place order").click()
        expect(page.locator("#order-answer")).to_have_text("STOPPED: not connected; nothing was sent")
        was = page.locator("#clock").inner_text()
        with served(tmp_path, "20", port):
            expect(status).to_have_text("connected")
            expect(alarm).to_be_hidden()
            expect(page.locator("#alarms li", has_text="Connected again")).to_be_visible()
            expect(kept).to_have_count(1)
            expect(page.locator("#clock")).not_to_have_text(was)
            assert "traded" in bid(page, "40", "50")
        assert all("ERR_CONNECTION" in text or "WebSocket" in text for text in page.complaints), page.complaints
        page.complaints.clear()


def test_a_receipt_that_was_tampered_with_proves_nothing(browser: Any, live: Live) -> None:
    def forged(route: Any) -> None:
        answer = route.fetch()
        text: str = answer.text()
        if answer.ok:
            head, gap, note = text.partition("\n\n")
            *lines, sibling = head.split("\n")
            text = "\n".join([*lines, ("B" if sibling[0] == "A" else "A") + sibling[1:]]) + gap + note
        route.fulfill(response=answer, body=text)

    with opened(browser, live.url) as page:
        sign_in(page, live.tokens.issue("participant", "home-001"))
        assert "traded" in bid(page, "40", "100")
        verify, proof = page.get_by_role("button", name="Verify").first, page.locator("#proof")
        page.route("**/receipt", forged)
        verify.click()
        expect(proof).to_have_text(re.compile("is not proved: the log that was signed does not hold this entry"))
        page.unroute("**/receipt")
        verify.click()
        expect(proof).to_have_text(re.compile("is proved"))


def test_a_token_that_is_none_is_said_at_its_field(browser: Any, live: Live) -> None:
    with opened(browser, live.url) as page:
        page.get_by_label("Token").fill("wb_nobody")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert").filter(has_text="Not signed in: the token is unknown")).to_be_visible()
        expect(page.get_by_label("Token")).to_be_focused()
        expect(page.locator("#status")).to_have_text("connected")
        expect(page.locator("#own")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_the_page_fits_and_has_names_roles_and_contrast(browser: Any, live: Live, view: str, scheme: str) -> None:
    with opened(browser, live.url, view, scheme) as page:
        sign_in(page, live.tokens.issue("participant", "home-001"))
        assert "traded" in bid(page, "40", "100")
        page.get_by_text("As figures").click()
        expect(page.locator("#branches tr").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        found = axe.Axe().run(page)
        assert [
            (fault["id"], [node["target"] for node in fault["nodes"]]) for fault in found.response["violations"]
        ] == []


def test_a_keyboard_is_enough(browser: Any, live: Live) -> None:
    focused = "document.activeElement.id || document.activeElement.textContent || document.activeElement.ariaLabel"
    outlined = "getComputedStyle(document.activeElement).outlineStyle !== 'none'"
    with opened(browser, live.url) as page:
        page.keyboard.press("Tab")
        assert page.evaluate(focused) == "Skip to the market"
        page.keyboard.press("Tab")
        page.keyboard.type(live.tokens.issue("participant", "home-002"))
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Account of")).to_be_visible()
        page.locator("#slot").focus()
        visited = ["slot"]
        for _ in range(60):
            page.keyboard.press("Tab")
            visited.append(page.evaluate(focused))
            page.keyboard.type({"order-price": "0.30", "order-quantity": "100"}.get(visited[-1], ""))
            assert page.evaluate(outlined), f"nobody sees that the focus is at {visited[-1]}"
            if visited[-1] == "Place order":
                break
        order = ["slot", "order-slot", "order-side", "order-price", "order-quantity", "order-flexible", "Place order"]
        assert [name for name in visited if name in order] == order
        page.keyboard.press("Enter")
        resting = page.locator("#orders tr", has_text="0.30").get_by_role("button")
        expect(resting).to_be_visible()
        resting.focus()
        expect(page.locator("#clock")).not_to_have_text(page.locator("#clock").inner_text())
        expect(resting).to_be_focused()  # tables are not made anew under the fingers
        page.keyboard.press("Enter")
        expect(resting).to_have_count(0)
        assert page.evaluate("document.activeElement.ariaLabel") == "Resting orders"


def test_operators_halts_and_notices_are_shown(browser: Any, live: Live) -> None:
    boss = {"Authorization": f"Bearer {live.tokens.issue('operator')}"}
    with opened(browser, live.url) as page:
        httpx.post(f"{live.url}/v1/notices", headers=boss, json={"text": "<b>Meters</b> are read at noon."})
        expect(page.locator("#alarms li", has_text="<b>Meters</b> are read at noon.")).to_be_visible()
        httpx.post(f"{live.url}/v1/halts", headers=boss, json={"scope": "market"})
        alarm = page.get_by_role("alert").filter(has_text="Trading is halted for the market")
        expect(alarm).to_be_visible()
        httpx.post(f"{live.url}/v1/releases", headers=boss, json={"scope": "market"})
        expect(alarm).to_be_hidden()
