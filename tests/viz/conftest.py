"""Pictures are made with `dot`, and without it; pages are opened in Chromium."""

from __future__ import annotations

import shutil

import pytest

HERE = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")


@pytest.fixture(params=["builtin", pytest.param("dot", marks=HERE)])
def engine(request, monkeypatch):
    if request.param == "builtin":
        monkeypatch.setenv("PATH", "")
    return request.param


ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
]  # fmt: skip


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("Chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=program, args=ARGUMENTS)


@pytest.fixture
def visit(browser, tmp_path):
    """Opens a page; when the test ends, nothing may have failed and nothing else been asked for."""
    opened, complaints, requests = [], [], []

    def go(report, hash="", theme="light", width=1300):
        file = report.save(tmp_path / "page.html")
        page = browser.new_page(color_scheme=theme, viewport={"width": width, "height": 900})
        opened.append(page)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)

        def handle(route):
            if route.request.url.split("#")[0] == file.as_uri():
                route.continue_()
            else:
                requests.append(route.request.url)
                route.abort()

        page.route("**/*", handle)
        page.goto(file.as_uri() + hash)
        page.evaluate("tg.ready")
        return page

    yield go
    for page in opened:
        complaints += page.evaluate("tg.errors")
        page.close()
    assert (complaints, requests) == ([], [])
