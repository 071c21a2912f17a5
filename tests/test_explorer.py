"""The explorer in docs/explorer: its port of the closed forms, and the page in a real browser."""

import json
import re
import shutil
import subprocess
import threading
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path

import numpy as np
import pytest

import rugtheory as rt
from rugtheory._style import weight_colours

from .oracle import tables

EXPLORER = Path(__file__).parents[1] / "docs" / "explorer"
PAGE = (EXPLORER / "index.html").as_uri()
KINDS = ("linear", "relu", "jumprelu", "topk", "bayes", "oracle")
LEAST_RATIO, GREATEST_RATIO = 1e-4, 1 - 1e-6

# Relative differences that are stated on the page are below these.
OPTIMUM = {"loss": 5e-15, "sigma": 5e-15, "a": 1e-12, "b": 1e-10}
DECODER, ANTIPODAL, BEST_KNOWN = 1e-11, 1e-4, 0.02

SUPERSCRIPTS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run
    --disable-background-networking --disable-component-update --disable-sync""".split()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    programs = shutil.which("chromium"), shutil.which("chromedriver")
    if None in programs:
        pytest.skip("needs the programs chromium and chromedriver")
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(programs[1]))
    yield driver
    driver.quit()


@pytest.fixture
def page(browser):
    """The page as just opened from its file; that its console stays empty is checked at the end."""
    window(browser, 1280, 900)
    open_page(browser)
    yield browser
    assert browser.get_log("browser") == []


@pytest.fixture(scope="module")
def port(request):
    """Evaluates a function body of JavaScript with `theory` and `points` in scope."""
    node = shutil.which("node")
    if node is None:
        browser = request.getfixturevalue("browser")
        open_page(browser)
        return lambda body, points: browser.execute_script(
            f"const points = arguments[0]; {body}", points
        )

    def evaluate(body, points):
        script = (
            f"const theory = require({json.dumps(str(EXPLORER / 'theory.js'))});"
            "const points = JSON.parse(require('fs').readFileSync(0));"
            f"console.log(JSON.stringify((() => {{ {body} }})()))"
        )
        done = subprocess.run(
            [node, "-e", script], input=json.dumps(points), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return evaluate


def window(browser, width, height):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500},
    )


def open_page(browser, address=PAGE):
    browser.get("about:blank")  # else a new fragment would not load the page again
    browser.get(address)
    settle(browser)


def settle(browser):
    """Wait until what was asked for before has been drawn."""
    browser.execute_async_script(
        "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done))"
    )


def element(browser, name):
    return browser.find_element("id", name)


def numbers(browser):
    """The numbers displayed to full precision, after a check that they are the ones displayed."""
    found = browser.execute_script(
        """return Object.fromEntries([...document.querySelectorAll("data")].map((data) =>
            [data.id, [data.value, data.innerText]]))"""
    )
    for value, text in found.values():
        mantissa, _, power = text.replace("−", "-").partition(" × 10")
        exponent = int(power.translate(SUPERSCRIPTS) or 0)
        digits = len(re.sub(r"\D", "", mantissa).lstrip("0"))
        assert digits >= 2
        shown = float(mantissa) * 10.0**exponent
        assert shown == pytest.approx(float(value), rel=5.1 * 10.0**-digits)
    return {name: float(value) for name, (value, _) in found.items()}


@cache
def expected(p, ratio):
    """What should be displayed, and how closely."""
    best, table = rt.optimum(p, ratio), rt.decoder_table(p, ratio).squeeze()
    told = {name: (getattr(best, name), tolerance) for name, tolerance in OPTIMUM.items()}
    told["antipodal"] = rt.antipodal_optimum(p, ratio).loss, ANTIPODAL
    told["best-known"] = rt.best_known(p, ratio, limit=True).loss, BEST_KNOWN
    columns = {"loss": table.loss, "bayes": table.over_bayes, "oracle": table.over_oracle}
    for kind, (name, column) in product(KINDS, columns.items()):
        told[f"{kind}-{name}"] = column.sel(decoder=kind), DECODER
    return {name: pytest.approx(float(x), rel=rel) for name, (x, rel) in told.items()}


def assert_numbers(browser, p, ratio):
    """Everything displayed is what the package says of `p` and `ratio`."""
    assert numbers(browser) == expected(p, ratio)


def worst(found, true):
    """The greatest relative error."""
    error = np.abs(np.array(found) / true - 1)
    assert np.all(np.isfinite(error))
    return error.max()


def grid():
    """Even on the page's scales, corners included, and denser where b changes sign."""
    p = np.append(np.geomspace(1e-8, 1, 17)[:-1], 1.0)
    ratio = np.clip(1 / (1 + 10 ** -np.linspace(-4, 6, 21)), LEAST_RATIO, GREATEST_RATIO)
    p, ratio = (x.ravel() for x in np.meshgrid(p, ratio))
    q = np.geomspace(1e-4, 0.4, 30)
    return np.append(p, q), np.append(ratio, 1.5 * q)


class TestPort:
    def test_optimum_is_the_package_s(self, port):
        p, ratio = grid()
        found = port(
            "return points.map(([p, ratio]) => theory.optimum(p, ratio))",
            np.transpose([p, ratio]).tolist(),
        )
        best = rt.optimum(p, ratio)
        for name, tolerance in OPTIMUM.items():
            assert worst([x[name] for x in found], getattr(best, name)) <= tolerance, name

    def test_optimum_is_that_of_the_definition_at_50_digits(self, port):
        table = tables.read("optimum_uniform")
        keep = (table["p"] >= 1e-8) & (table["ratio"] >= LEAST_RATIO)
        keep &= table["ratio"] <= GREATEST_RATIO
        assert keep.sum() > 100
        found = port(
            "return points.map(([p, ratio]) => theory.optimum(p, ratio))",
            np.transpose([table["p"][keep], table["ratio"][keep]]).tolist(),
        )
        for name in ("loss", "a", "b"):
            assert worst([x[name] for x in found], table[name][keep]) <= OPTIMUM[name], name

    def test_loss_away_from_the_optimum(self, port):
        rng = np.random.default_rng(0)
        a, sigma, p = 10 ** rng.uniform([[-2], [-4], [-8]], [[1], [1.5], [0]], (3, 300))
        b = a * sigma * rng.uniform(-9, 9, 300)
        found = port(
            "return points.map((x) => theory.reducedLoss(...x))",
            np.transpose([a, b, sigma, p]).tolist(),
        )
        assert worst(found, rt.reduced_loss(a, b, sigma, p)) <= 1e-13

    def test_decoders(self, port):
        p, ratio = grid()
        found = port(
            "return points.map(([p, ratio]) => theory.decoderLosses(p, ratio))",
            np.transpose([p, ratio]).tolist(),
        )
        for kind in KINDS:
            loss = rt.optimum_decoder(kind, p, ratio).loss
            if kind == "topk":  # where all readings are kept it is linear
                loss = np.where(p == 1, rt.linear_loss(p, ratio), loss)
            assert worst([x[kind] for x in found], loss) <= DECODER, kind

    def test_antipodal_losses(self, port):
        """Interpolated: anywhere, close to ratio ½, where the noise wins, and at the corners."""
        rng = np.random.default_rng(1)
        p = 10 ** rng.uniform(-8, 0, 110)
        ratio = 10 ** rng.uniform(-4, 0, 110)
        ratio[:30] = 0.5 - 10 ** rng.uniform(-6, -1, 30)
        ratio[30:60] = np.clip(p[30:60] * 10 ** rng.uniform(0, 2, 30), LEAST_RATIO, 0.5)
        p = np.append(p, [1e-8, 1.0, 1.0, 0.3, 1e-8])
        ratio = np.append(ratio, [1e-4, 1e-4, GREATEST_RATIO, 0.5, GREATEST_RATIO])
        found = port(
            "return points.map(([p, ratio]) => theory.antipodalLoss(p, ratio))",
            np.transpose([p, ratio]).tolist(),
        )
        assert worst(found, rt.antipodal_optimum(p, ratio).loss) <= ANTIPODAL

    def test_best_known_losses(self, port):
        """Interpolated between p and ratios of a table, and never above the rug or pairs."""
        rng = np.random.default_rng(2)
        p = np.append(10 ** rng.uniform(-8, 0, 4), [1.0, 0.3])
        ratio = 1 / (1 + 10 ** -rng.uniform(-4, 6, (50, p.size)))
        p = np.broadcast_to(p, ratio.shape).ravel()
        ratio = np.clip(ratio.ravel(), LEAST_RATIO, GREATEST_RATIO)
        found = np.array(
            port(
                "return points.map(([p, ratio]) => theory.bestKnownLoss(p, ratio))",
                np.transpose([p, ratio]).tolist(),
            )
        )
        assert worst(found, rt.best_known(p, ratio, limit=True).loss) <= BEST_KNOWN
        assert np.all(found <= rt.optimum(p, ratio).loss * (1 + 1e-12))
        assert np.all(found <= rt.antipodal_optimum(p, ratio).loss * (1 + ANTIPODAL))

    @pytest.mark.parametrize("ratio", [1e-4, 0.1, 0.25, 0.5, 0.99, GREATEST_RATIO])
    def test_rug(self, port, ratio):
        found = port("return theory.rug(points)", ratio)
        assert found["nDense"] == max(1, round(64 * ratio)) == len(found["rows"])
        rug = rt.Rug(found["nSparse"], np.array(found["rows"]))
        assert found["phi"] == pytest.approx(rug.phi, abs=1e-15)

    @pytest.mark.parametrize("point", [[0, 0.5], [1.1, 0.5], [0.1, 0], [0.1, 1], [None, 0.5]])
    def test_refuses_points_outside_its_range(self, port, point):
        message = port(
            "try { theory.optimum(...points); } catch (error) { return error.message; }", point
        )
        assert "must lie in" in message


class TestPage:
    def test_opens_with_the_numbers_of_the_package(self, page):
        assert element(page, "p-text").get_attribute("value") == "0.045"
        assert element(page, "ratio-text").get_attribute("value") == "0.25"
        assert_numbers(page, 0.045, 0.25)

    def test_over_http_and_without_other_hosts(self, browser):
        class Quiet(SimpleHTTPRequestHandler):
            def log_message(self, *args):
                pass

        with ThreadingHTTPServer(
            ("127.0.0.1", 0), partial(Quiet, directory=str(EXPLORER))
        ) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            home = f"http://127.0.0.1:{server.server_port}/"
            open_page(browser, home + "#p=0.01&ratio=0.1")
            loaded = browser.execute_script(
                "return performance.getEntriesByType('resource').map((entry) => entry.name)"
            )
            server.shutdown()
        assert loaded
        assert all(name.startswith(home) for name in loaded)
        assert_numbers(browser, 0.01, 0.1)
        assert browser.get_log("browser") == []

    def test_sliders_follow_the_keyboard(self, page):
        from selenium.webdriver.common.keys import Keys

        slider = element(page, "p-slider")
        slider.send_keys(*[Keys.ARROW_LEFT] * 7)
        settle(page)
        p = float(element(page, "p-text").get_attribute("value"))
        assert p == pytest.approx(0.045 * 10**-0.07, rel=0.02)
        assert slider.get_attribute("aria-valuetext") == str(p)
        assert_numbers(page, p, 0.25)
        slider.send_keys(Keys.HOME)
        element(page, "ratio-slider").send_keys(Keys.END)
        settle(page)
        assert_numbers(page, 1e-8, GREATEST_RATIO)
        slider.send_keys(Keys.END)
        element(page, "ratio-slider").send_keys(Keys.HOME)
        settle(page)
        assert_numbers(page, 1.0, LEAST_RATIO)

    @pytest.mark.parametrize(("position", "ratio"), [(-2.3, 0.00499), (0.0, 0.5), (3.5, 0.999684)])
    def test_a_slider_moved_by_a_script(self, page, position, ratio):
        page.execute_script(
            "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))",
            element(page, "ratio-slider"),
            position,
        )
        settle(page)
        assert float(element(page, "ratio-text").get_attribute("value")) == ratio
        assert_numbers(page, 0.045, ratio)

    def test_typed_values(self, page):
        from selenium.webdriver.common.keys import Keys

        entry = element(page, "p-text")
        for text, p in (("2e-5", 2e-5), ("1.5", 2e-5), ("", 2e-5), ("abc", 2e-5), ("0.3", 0.3)):
            entry.clear()
            entry.send_keys(text, Keys.ENTER)
            settle(page)
            wrong = entry.get_attribute("aria-invalid")
            said = element(page, entry.get_attribute("aria-describedby"))
            assert (wrong, said.is_displayed()) == (
                (None, False) if text in ("2e-5", "0.3") else ("true", True)
            )
            if wrong:
                assert said.get_attribute("role") == "alert"
                assert said.text == (
                    f"p must be a number from 1e-8 to 1, got {text or 'nothing'}; "
                    "the page shows 0.00002."
                )
            assert_numbers(page, p, 0.25)
        entry.send_keys("x", Keys.ENTER)
        assert entry.get_attribute("aria-invalid") == "true"
        entry.send_keys(Keys.BACKSPACE)  # what is being typed is not yet wrong
        assert entry.get_attribute("aria-invalid") is None

    def test_the_address_keeps_the_view(self, page):
        page.execute_script("change('p', 0.0123456789); change('ratio', 0.999);")
        page.execute_async_script("setTimeout(arguments[0], 400)")
        address = page.current_url
        assert address == PAGE + "#p=0.0123456789&ratio=0.999"
        shown = page.find_element("tag name", "main").text
        open_page(page, address)
        assert_numbers(page, 0.0123456789, 0.999)
        assert page.find_element("tag name", "main").text == shown
        page.execute_script("location.hash = 'p=0.2&ratio=7'")  # a ratio out of range is clamped
        settle(page)
        assert_numbers(page, 0.2, GREATEST_RATIO)
        assert "the address has ratio = 7" in element(page, "ratio-wrong").text
        assert element(page, "p-wrong").text == ""
        open_page(page, PAGE + "#p=often&other=1")
        assert "the address has p = often" in element(page, "p-wrong").text
        assert_numbers(page, 0.045, 0.25)

    @pytest.mark.parametrize("name", ["ratio", "p"])
    def test_curves_pass_through_the_losses_displayed(self, page, name):
        """Each curve has its dot at the present point, at the height of its loss."""
        plot = page.execute_script(
            """const svg = document.getElementById(arguments[0] + "-plot");
            const paths = [...svg.querySelectorAll("path")].map((path) =>
                path.getAttribute("d").slice(1).split("L").map((xy) => xy.split(" ").map(Number)));
            const dots = [...svg.querySelectorAll("circle")].map((dot) =>
                [dot.cx.baseVal.value, dot.cy.baseVal.value]);
            const ticks = [...svg.querySelectorAll("text")].map((text) =>
                [text.textContent, text.y.baseVal[0].value - 4, text.getAttribute("text-anchor")]);
            return {paths, dots, ticks}""",
            name,
        )
        ticks = [
            (int(text[2:].translate(SUPERSCRIPTS) or 0), y)
            for text, y, anchor in plot["ticks"]
            if anchor == "end"
        ]
        slope, offset = np.polyfit(*np.transpose(ticks), 1)
        unit = float(rt.SparseSource(0.045).variance) if name == "p" else 1.0
        losses = [
            rt.linear_loss(0.045, 0.25),
            rt.optimum(0.045, 0.25).loss,
            rt.antipodal_optimum(0.045, 0.25).loss,
            rt.best_known(0.045, 0.25, limit=True).loss,
        ]
        for path, (x, y), loss in zip(plot["paths"], plot["dots"], losses, strict=True):
            assert y == pytest.approx(offset + slope * np.log10(float(loss) / unit), abs=0.5)
            assert np.interp(x, *np.transpose(path)) == pytest.approx(y, abs=0.5)

    def test_dragging_in_a_plot(self, page):
        from selenium.webdriver import ActionChains

        plot = element(page, "p-plot")
        ActionChains(page).click_and_hold(plot).move_by_offset(-60, 0).release().perform()
        settle(page)
        p = float(element(page, "p-text").get_attribute("value"))
        assert 1e-6 < p < 1e-4  # to the left of the middle of 1e-8 ... 1
        assert_numbers(page, p, 0.25)

    def test_picture_of_the_rug(self, page):
        page.execute_script("change('ratio', 0.5)")
        settle(page)
        rows, pixels = page.execute_script(
            """const image = document.getElementById("rug").getContext("2d");
            return [theory.rug(0.5).rows, [...image.getImageData(0, 0, 64, 64).data]]"""
        )
        w = rt.Rug(64, np.array(rows)).phi[np.arange(64)[:, None] ^ np.arange(64)]
        colours = np.reshape(pixels, (64, 64, 4))[..., :3]
        drawn = weight_colours()((w + 1) / 2, bytes=True)[..., :3].astype(int)
        assert np.max(np.abs(colours - drawn)) <= 2  # the map has 256 levels from -1 to 1

    def test_by_keyboard_alone_on_a_phone(self, page):
        from selenium.webdriver import ActionChains
        from selenium.webdriver.common.keys import Keys

        window(page, 390, 844)
        seen = []
        for _ in range(5):
            ActionChains(page).send_keys(Keys.TAB).perform()
            seen.append(page.switch_to.active_element.get_attribute("id"))
            if seen[-1] == "p-slider":
                ActionChains(page).send_keys(Keys.ARROW_LEFT).perform()
            if seen[-1] == "ratio-text":
                # A field that is reached by the keyboard is selected.
                ActionChains(page).send_keys("0.1", Keys.ENTER).perform()
        assert seen[1:] == ["p-text", "p-slider", "ratio-text", "ratio-slider"]
        settle(page)
        p = float(element(page, "p-text").get_attribute("value"))
        assert p < 0.045
        assert_numbers(page, p, 0.1)

    @pytest.mark.parametrize("point", ["p=0.045&ratio=0.25", "p=1e-8&ratio=0.999999", "p=often"])
    def test_nothing_sticks_out_on_a_phone(self, page, point):
        window(page, 360, 740)
        open_page(page, f"{PAGE}#{point}")
        assert page.execute_script("return document.documentElement.scrollWidth") == 360

    def test_every_control_has_a_name(self, page):
        for control in page.find_elements("css selector", "input, svg.plot, canvas"):
            assert control.accessible_name
