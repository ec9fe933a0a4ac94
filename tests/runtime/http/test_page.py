"""The page in a real browser with a real network. Skipped where there is no browser."""

import os
import re
import shutil
from base64 import b64encode
from io import BytesIO

import pytest
from PIL import Image
from tests.runtime.http.builders import make_bundle, png, predictor, serving
from tests.runtime.http.test_guard import KEY

from convsmith.api.export import export
from convsmith.api.train import train
from convsmith.reporting.render import TEMPLATES
from convsmith_runtime.http.page import page as page_response

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# Chromium's sandbox does not work for root, which containers run as; the camera is a test picture.
OPTIONS = [
    "--no-sandbox",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]


def unavailable(reason):
    if os.environ.get("REQUIRE_BROWSER") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser():
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        unavailable("playwright is not installed: pip install playwright")
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        unavailable(f"no browser is installed; looked for {', '.join(PROGRAMS)}")
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=program, args=OPTIONS) as started,
    ):
        yield started


@pytest.fixture
def visit(browser, url):
    """A function that opens the page; what it may not do is checked at the end."""
    contexts, wrong = [], []

    def open_page(address=url, width=1280, scheme="light", ready="#gallery li", **options):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, **options
        )
        contexts.append(context)
        page = context.new_page()

        def on_request(request):
            if not request.url.startswith((f"{address}/", "blob:", "data:")):
                wrong.append(f"asked for {request.url}")

        def on_console(message):
            # What the server refuses, the page says; pixels are read by a test.
            if not re.search("status of 4|getImageData", message.text):
                wrong.append(message.text)

        page.on("request", on_request)
        page.on("console", on_console)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(address)
        page.wait_for_selector(ready)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def give(page, content, name="mine.png", kind="image/png"):
    page.set_input_files("#file", {"name": name, "mimeType": kind, "buffer": content})


def first(page):
    return page.locator("#guesses li").first


def test_a_file_is_answered_with_bars_and_a_heat_map(visit):
    page = visit()
    give(page, png("blue"))
    assert first(page).inner_text().split("\n") == ["blue", "100 %"]
    widths = page.locator(".bar span").evaluate_all("all => all.map(e => e.offsetWidth)")
    assert widths[0] > 10 * widths[1]
    assert page.locator("#looked").inner_text() == "What speaks for blue"
    assert page.locator("#said").inner_text() == "blue, 100 %"
    assert page.locator("#own img").evaluate("image => image.naturalWidth") == 20
    assert page.locator("#truth").is_hidden()


POINT = """([x, y]) => {
    const canvas = document.getElementById("canvas");
    const place = [canvas.width * x, canvas.height * y, 1, 1];
    return [...canvas.getContext("2d").getImageData(...place).data].slice(0, 3);
}"""


def test_the_heat_map_is_that_of_the_chosen_class_and_of_the_chosen_strength(visit):
    image = Image.new("RGB", (16, 16), (90, 0, 0))
    image.paste((0, 0, 80), (0, 8, 16, 16))  # red above, blue below
    file = BytesIO()
    image.save(file, "PNG")
    page = visit()
    give(page, file.getvalue())
    assert first(page).inner_text()
    for _ in range(50):  # until it is drawn
        if page.evaluate(POINT, [0.5, 0.9]) == [0, 0, 80]:
            break
        page.wait_for_timeout(100)
    above, below = (page.evaluate(POINT, [0.5, share]) for share in (0.1, 0.9))
    assert above != [90, 0, 0]
    assert below == [0, 0, 80]
    page.get_by_role("button", name="blue").first.click()
    assert page.locator("#looked").inner_text() == "What speaks for blue"
    assert page.evaluate(POINT, [0.5, 0.1]) == [90, 0, 0]
    assert page.evaluate(POINT, [0.5, 0.9]) != [0, 0, 80]
    page.locator("#range").fill("0")
    assert page.evaluate(POINT, [0.5, 0.9]) == [0, 0, 80]


def test_examples_are_tried_and_their_truth_is_told(visit):
    page = visit()
    assert page.locator("#gallery li").all_inner_texts() == ["red", "blue"]
    page.locator("#gallery button").nth(1).click()
    assert first(page).inner_text().startswith("blue")
    assert page.locator("#truth").inner_text() == "right"


DROP = """async ([kind, name, data]) => {
    const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
    const transfer = new DataTransfer();
    if (name) transfer.items.add(new File([bytes], name, { type: "image/png" }));
    const init = { bubbles: true, cancelable: true };
    const event = kind === "paste"
        ? new ClipboardEvent("paste", { ...init, clipboardData: transfer })
        : new DragEvent("drop", { ...init, dataTransfer: transfer });
    document.body.dispatchEvent(event);
}"""


@pytest.mark.parametrize("kind", ["paste", "drop"])
def test_an_image_is_pasted_or_dropped(visit, kind):
    page = visit()
    page.evaluate(DROP, [kind, "a.png", b64encode(png("green")).decode()])
    assert first(page).inner_text().startswith("green")


def test_what_is_dropped_and_is_no_file_is_not_fetched(visit):
    page = visit()
    page.evaluate(DROP, ["drop", "", ""])
    assert "none is fetched" in page.get_by_role("alert").inner_text()


def test_a_photo_is_taken(visit):
    page = visit(permissions=["camera"])
    page.get_by_role("button", name="Take a photo").click()
    page.get_by_role("button", name="Take the photo").click()
    assert first(page).inner_text().startswith("green")  # as the test picture is
    assert page.locator("#camera").is_hidden()
    assert page.evaluate("document.getElementById('video').srcObject") is None


def test_it_is_used_with_the_keyboard_alone(visit):
    page = visit()
    names = []
    for _ in range(12):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.innerText?.trim()"))
        if names[-1] == "red":
            break
    assert names[:2] == ["Choose a file", "Take a photo"]
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    assert first(page).inner_text().startswith("red")
    page.locator("#photo").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    assert page.locator("#range").input_value() == "71"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    pressed = page.locator("button[aria-pressed=true]")
    assert pressed.count() == 1
    assert pressed.inner_text().startswith("green")


def test_what_the_server_refuses_is_said(visit):
    page = visit()
    give(page, b"no image", "broken.png")
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert alert.inner_text() == "broken.png is not an image that can be read"
    give(page, png("red"))
    assert first(page).inner_text().startswith("red")
    assert alert.is_hidden()


def test_an_image_that_only_the_server_can_read_is_shown_as_seen(visit):
    page = visit()
    give(page, png("blue", kind="TIFF"), "a.tif", "image/tiff")
    assert first(page).inner_text().startswith("blue")
    assert page.locator("#own img").evaluate("image => image.naturalWidth") == 16


def test_a_key_is_asked_for_once(browser, bundle, visit):
    with serving(predictor(bundle), key=KEY) as url:
        page = visit(url, ready="#door")
        page.get_by_label("This server asks for a key.").fill("wrong")
        page.keyboard.press("Enter")
        page.get_by_role("alert").wait_for()
        assert page.get_by_role("alert").inner_text() == "This key does not open it."
        page.get_by_label("This server asks for a key.").fill(KEY)
        page.keyboard.press("Enter")
        page.wait_for_selector("#gallery li")
        page.reload()
        page.wait_for_selector("#gallery li")
        give(page, png("blue"))
        assert first(page).inner_text().startswith("blue")
        assert KEY not in page.content()


@pytest.mark.parametrize("width", [320, 390, 800, 1440])
def test_it_is_as_wide_as_the_screen(visit, width):
    page = visit(width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    give(page, png("blue"))
    first(page).wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_hostile_names_of_classes_are_text(visit, tmp_path):
    names = ("<img src=x onerror=alert(1)>", "</script><script>alert(2)</script>", "x" * 300)
    path = make_bundle(tmp_path / "odd.convsmith", classes=names)
    with serving(predictor(path)) as url:
        page = visit(url, width=390)
        page.locator("#gallery button").first.click()
        assert first(page).inner_text().startswith("<img src=x")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.timeout(240)
def test_a_network_that_was_trained_and_exported_reads_digits(visit, tmp_path):
    runs = tmp_path / "runs"
    run = train("digits", epochs=4, name="real", runs=runs, progress="none")
    (path, *_) = export(run.path, "onnx").files
    with serving(predictor(path)) as url:
        page = visit(url)
        labels = page.locator("#gallery li").all_inner_texts()
        right = 0
        for number, label in enumerate(labels):
            page.locator("#gallery button").nth(number).click()  # the desk waits from then on
            page.wait_for_selector("#desk:not(.waiting)")
            right += first(page).inner_text().split("\n")[0] == label
        assert right >= 0.7 * len(labels)
        assert "no heat map" in page.locator("#mapless").inner_text()


def test_it_has_the_colours_of_the_reports():
    style = (TEMPLATES / "style.css").read_text()
    ours = page_response().body.decode()
    for scheme in (0, 1):
        theirs = colours(style, scheme)
        shared = {name: value for name, value in colours(ours, scheme).items() if name in theirs}
        assert len(shared) >= 10
        assert all(theirs[name] == value for name, value in shared.items())


def colours(style, scheme):
    block = style.split(":root {")[1 + scheme].split("}")[0]
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
