"""The pages in a real browser. Skipped where there is none, unless REQUIRE_BROWSER is 1."""

import json
import os
import shutil

import pytest
from tests.reporting.builders import RECIPE, add_extras, add_measures, make_run, results

from convsmith.reporting.comparison import write_comparison
from convsmith.reporting.index import write_index
from convsmith.reporting.report import write_report

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
LONG = "a-name-that-is-far-too-long-for-a-phone-" * 2
CLASSES = ("<script>document.title='broken'</script>", "dog", LONG)


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
    # Chromium's sandbox does not work for root, which containers run as.
    options = ["--no-sandbox"]
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=program, args=options) as started,
    ):
        yield started


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """All the pages of a folder of three runs."""
    runs = tmp_path_factory.mktemp("site")
    first = make_run(runs, "first")
    add_extras(first, CLASSES, ((8, 2, 0), (1, 9, 0), (0, 0, 10)))
    add_measures(first, CLASSES)
    stored = json.loads(first.confusion.read_text())
    first.confusion.write_text(json.dumps(stored | {"alike": [2, 1, 0]}))
    second = make_run(runs, "second", RECIPE.replace("epochs: 3", "epochs: 12"), epochs=12)
    second.results.write_text(json.dumps(results(second, 12, top1=0.9951)))
    third = make_run(runs, LONG, epochs=1, finished=False)
    for run in (first, second, third):
        write_report(run)
    write_comparison((first, second, third), runs / "comparison.html")
    write_index(runs)
    return runs


@pytest.fixture
def visit(browser, site):
    """A function that opens a page; what a page may not do is checked at the end."""
    contexts, wrong = [], []

    def open_page(name, width=1440, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        address = (site / name).as_uri()

        def on_request(request):
            if request.url != address and not request.url.startswith("data:"):
                wrong.append(f"asked for {request.url}")

        page.on("request", on_request)
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


PAGES = ["first/report.html", f"{LONG}/report.html", "comparison.html", "index.html"]


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [390, 1440])
def test_a_page_is_as_wide_as_the_screen(visit, name, width):
    page = visit(name, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert "broken" not in page.title()


def test_dark_and_light_differ_and_can_be_read(visit):
    script = """() => {
        const style = getComputedStyle(document.body);
        const drawn = document.querySelector("#loss text");
        return [style.backgroundColor, style.color, getComputedStyle(drawn).fill];
    }"""
    light = visit("first/report.html", scheme="light").evaluate(script)
    dark = visit("first/report.html", scheme="dark").evaluate(script)
    assert all(a != b for a, b in zip(light, dark, strict=True))
    for background, *texts in (light, dark):
        assert all(contrast(background, text) > 4.5 for text in texts)


def contrast(first, second):
    """The contrast ratio of two CSS colours as accessibility guidelines define it."""

    def luminance(css):
        parts = [int(part) / 255 for part in css.strip("rgb()").split(",")]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    darker, lighter = sorted((luminance(first), luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


def test_a_chart_shows_the_values_under_the_pointer(visit):
    page = visit("first/report.html")
    chart = page.locator("#loss svg.lines")
    box = chart.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.97, box["y"] + box["height"] / 2)
    shown = page.locator("#loss .readout")
    assert shown.inner_text().split("\n")[0] == "epoch 3"
    assert "training 0.3333" in shown.inner_text()
    assert "validation 0.5" in shown.inner_text()
    page.mouse.move(5, 5)
    assert shown.is_hidden()


def test_a_chart_is_read_with_the_keyboard(visit):
    page = visit("first/report.html")
    page.locator("#loss svg.lines").focus()
    shown = page.locator("#loss .readout")
    page.keyboard.press("ArrowRight")
    assert shown.inner_text().startswith("epoch 1")
    page.keyboard.press("ArrowRight")
    assert shown.inner_text().startswith("epoch 2")
    page.keyboard.press("Escape")
    assert shown.is_hidden()


def test_the_matrix_shows_classes_and_images_under_the_pointer(visit):
    page = visit("first/report.html")
    cell = page.locator("#confusion .count", has_text="2")
    cell.scroll_into_view_if_needed()
    box = cell.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    words = page.locator("#confusion .readout").inner_text()
    assert f"true {CLASSES[0]}" in words
    assert "predicted dog" in words
    assert "images 2 (20.00%)" in words


def cells(page):
    """Where the counts of the matrix stand, by row."""
    read = """texts => texts.map(each => [+each.getAttribute('y'), +each.getAttribute('x'),
        each.textContent]).sort((a, b) => a[0] - b[0] || a[1] - b[1]).map(each => each[2])"""
    return page.locator("#confusion text.count").evaluate_all(read)


def test_the_matrix_is_sorted_and_read_in_its_new_order(visit):
    page = visit("first/report.html")
    assert cells(page) == ["8", "2", "1", "9", "10"]
    before = page.locator("#confusion path.wrong").count()
    page.get_by_role("button", name="alike together").click()
    assert cells(page) == ["10", "9", "1", "2", "8"]
    assert page.locator("#confusion path.wrong").count() == before
    labels = page.locator("#confusion text.row").all_text_contents()
    assert labels[1:] == ["dog", "<script>docum…"]
    cell = page.locator("#confusion .count", has_text="2")
    cell.scroll_into_view_if_needed()
    box = cell.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    words = page.locator("#confusion .readout").inner_text()
    assert f"true {CLASSES[0]}" in words
    assert "predicted dog" in words
    pressed = page.locator("#confusion button[aria-pressed=true]").all_inner_texts()
    assert pressed == ["alike together", "true class"]
    page.get_by_role("button", name="as in the data").press("Enter")
    assert cells(page) == ["8", "2", "1", "9", "10"]


def test_shares_are_of_either_side(visit):
    page = visit("first/report.html")
    assert page.locator("#confusion .worst").inner_text() == "20.00%"
    page.get_by_role("button", name="predicted class").click()
    assert page.locator("#confusion .worst").inner_text() == "18.18%"
    assert page.locator("#confusion .side").inner_text() == "predicted class"
    cell = page.locator("#confusion .count", has_text="2")
    cell.scroll_into_view_if_needed()
    box = cell.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert "images 2 (18.18%)" in page.locator("#confusion .readout").inner_text()


def test_what_the_script_draws_is_what_was_drawn_before(visit):
    page = visit("first/report.html")
    read = "paths => paths.map(each => each.className.baseVal + each.getAttribute('fill-opacity'))"
    shades = page.locator("#confusion path").evaluate_all(read)
    counts = page.locator("#confusion .count").evaluate_all(
        "texts => texts.map(each => each.className.baseVal)"
    )
    page.get_by_role("button", name="as in the data").click()
    assert sorted(page.locator("#confusion path").evaluate_all(read)) == sorted(shades)
    again = page.locator("#confusion .count").evaluate_all(
        "texts => texts.map(each => each.className.baseVal)"
    )
    assert sorted(again) == sorted(counts)


@pytest.mark.parametrize("width", [390, 1440])
def test_a_class_is_opened_and_closed(visit, width):
    page = visit("first/report.html", width)
    panel = page.locator("#class-1")
    assert panel.is_hidden()
    page.locator("#classes").get_by_role("link", name="dog", exact=True).click()
    assert panel.is_visible()
    assert "Taken for it" in panel.inner_text()
    assert page.locator("#class-0").is_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    panel.get_by_role("link", name="close").click()
    assert panel.is_hidden()


def test_the_table_of_classes_is_sorted_by_its_scores(visit):
    page = visit("first/report.html")
    region = page.get_by_role("region", name="Scores of each class")
    region.get_by_role("button", name="precision").click()
    names = region.locator("tbody th").all_inner_texts()
    assert names == [LONG, "dog", CLASSES[0]]


def test_the_reliability_of_a_bin_is_shown_under_the_pointer(visit):
    page = visit("first/report.html")
    chart = page.locator("#reliability svg.lines")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.95, box["y"] + box["height"] / 2)
    words = page.locator("#reliability .readout").inner_text()
    assert "sure 97.00%" in words
    assert "after the temperature right 100.00% of 20" in words


@pytest.mark.parametrize("name", ["first/report.html", "comparison.html"])
def test_what_is_shown_under_the_pointer_stays_on_a_phone_screen(visit, name):
    page = visit(name, 390)
    for chart in page.locator("svg[data-chart]").all():
        chart.scroll_into_view_if_needed()
        box = chart.bounding_box()
        for share in (0.2, 0.5, 0.95):
            page.mouse.move(box["x"] + box["width"] * share, box["y"] + box["height"] * 0.4)
            shown = page.locator(".readout:visible")
            if shown.count():
                place = shown.bounding_box()
                assert place["x"] >= 0
                assert place["x"] + place["width"] <= 390


def column(page, number):
    return page.locator(f"tbody tr > :nth-child({number})").all_inner_texts()


def test_a_table_is_sorted_by_its_titles(visit):
    page = visit("index.html")
    title = page.get_by_role("columnheader", name="test top-1")
    button = title.get_by_role("button")
    button.click()
    assert column(page, 3) == ["99.51%", "99.31%", "–"]
    assert title.get_attribute("aria-sort") == "descending"
    button.press("Enter")
    assert column(page, 3) == ["99.31%", "99.51%", "–"]
    page.get_by_role("button", name="run").click()
    assert column(page, 1) == [LONG, "first", "second"]


def test_links_lead_to_reports(visit, site):
    page = visit("index.html")
    target = page.get_by_role("link", name="first").get_attribute("href")
    assert (site / target).is_file()


def test_keyboard_focus_is_seen(visit):
    page = visit("index.html")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_charts_have_names_and_images_have_words(visit):
    page = visit("first/report.html")
    assert page.get_by_role("img", name="Loss by epoch").count() == 1
    assert page.get_by_role("img", name="Confusion matrix of 3 classes").count() == 1
    assert page.get_by_role("img", name="Reliability diagram").count() == 1
    assert page.locator("#mistakes").get_by_role("img", name="taken for dog").count() == 1


def test_a_page_prints_on_white_in_dark_mode_too(visit):
    page = visit("first/report.html", scheme="dark")
    assert page.pdf()[:5] == b"%PDF-"
    script = "getComputedStyle(document.querySelector('.summary')).backgroundColor"
    assert page.evaluate(script) != "rgb(255, 255, 255)"
    page.emulate_media(media="print")
    assert page.evaluate(script) == "rgb(255, 255, 255)"
