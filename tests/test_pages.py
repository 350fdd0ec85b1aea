"""The pages that people open: whole without another host, under a strict policy, modest in production."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from web import pages

DEMO = ("demo@example.test", "sing along 1")
ROOT = Path(__file__).parent.parent
ASSETS = sorted(
    path.relative_to(pages.STATIC).as_posix()
    for path in pages.STATIC.rglob("*")
    if path.is_file() and path.suffix != ".html"
)
# What makes a browser fetch from an address with a host; a namespace or a link in a text does not.
FOREIGN = re.compile(
    r"""(?:\bsrc\s*=|<link[^>]*\bhref\s*=|@import|\burl\(|\bfrom|\bimport\(?|\bfetch\(|\bWorker\(|\bWebSocket\()
        \s*["'`]?(?:(?:https?|wss?):)?//[\w.$]""",
    re.VERBOSE | re.IGNORECASE,
)


class _Markup(HTMLParser):
    """The tags of a page, and how much script or style stands in the page itself."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inline = ""
        self._within = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._within = tag

    def handle_endtag(self, tag):
        self._within = ""

    def handle_data(self, data):
        if self._within in {"script", "style"}:
            self.inline += data


def get(path: str, *, production: bool = False, method: str = "GET", **headers: str) -> httpx.Response:
    routes = pages.page_routes(graphiql=not production, demo=None if production else DEMO)
    return fetch(Starlette(routes=routes), path, method=method, **headers)


def fetch(app: Starlette, path: str, *, method: str = "GET", **headers: str) -> httpx.Response:
    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://antiphon.test") as client:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            return await client.request(method, path, headers=names)

    return asyncio.run(once())


def asset_path(name: str) -> str:
    """Where the asset is served: below the digest that the landing page names."""
    prefix = re.search(r"/static/[0-9a-f]{12}", get("/").text)
    assert prefix
    return f"{prefix[0]}/{name}"


@pytest.fixture(scope="module", params=["/", "/graphiql", *ASSETS])
def served(request: pytest.FixtureRequest) -> httpx.Response:
    path: str = request.param
    return get(path if path.startswith("/") else asset_path(path))


@pytest.mark.parametrize("path", ["/", "/graphiql"])
def test_each_page_answers_in_html_and_all_that_it_names_is_there(path):
    page = get(path)
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    named = set(re.findall(r"/static/[^\"]+", page.text))
    assert len(named) >= 3
    for address in named:
        assert get(address).status_code == 200, address


def test_nothing_that_is_served_loads_from_another_host(served):
    assert served.status_code == 200
    assert FOREIGN.findall(served.text) == []


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://cdn.test/x.js">',
        "<link rel=stylesheet href=//cdn.test/x.css>",
        "@import 'https://fonts.test/css';",
        "src: url(https://fonts.test/a.woff2)",
        'import x from"https://esm.test/x"',
        'import("//esm.test/x")',
        'fetch("https://telemetry.test/")',
    ],
)
def test_the_search_for_other_hosts_finds_them(text):
    assert FOREIGN.search(text)


def test_every_answer_carries_a_strict_policy(served):
    policy = dict(part.split(" ", 1) for part in served.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    sources = {source for value in policy.values() for source in value.split()}
    assert sources <= {"'none'", "'self'", "'script'", "data:"}
    assert served.headers["x-content-type-options"] == "nosniff"
    assert served.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", ["/", "/graphiql"])
def test_a_page_holds_no_script_style_or_handler_of_its_own(path):
    markup = _Markup(get(path).text)
    assert markup.inline.strip() == ""
    names = {name for _, attributes in markup.tags for name in attributes}
    assert not {name for name in names if name.startswith("on") or name == "style"}


def test_development_fills_in_the_demo_account_and_links_graphiql():
    page = get("/").text
    assert f'data-demo-email="{DEMO[0]}"' in page
    assert f'data-demo-password="{DEMO[1]}"' in page
    assert '<a href="/graphiql">' in page


def test_production_serves_no_graphiql_and_knows_no_demo_account():
    page = get("/", production=True).text
    assert 'data-demo-email=""' in page
    assert DEMO[1] not in page
    assert "graphiql" not in page.lower()
    assert get("/graphiql", production=True).status_code == 404
    assets = re.search(r"/static/[0-9a-f]{12}", page)
    assert assets
    assert get(f"{assets[0]}/landing/landing.js", production=True).status_code == 200
    assert get(f"{assets[0]}/graphiql/graphiql.js", production=True).status_code == 404


def test_a_demo_account_cannot_break_out_of_its_attribute():
    routes = pages.page_routes(graphiql=True, demo=('"><script>x</script>', "a&b"))
    for path in ("/", "/graphiql"):
        page = fetch(Starlette(routes=routes), path).text
        assert "<script>x" not in page
        assert "a&amp;b" in page


def test_an_asset_is_kept_for_ever_and_a_page_is_asked_about_again():
    asset = get(asset_path("landing/landing.js"))
    assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert asset.headers["content-type"] == "text/javascript; charset=utf-8"
    assert get("/").headers["cache-control"] == "no-cache"


def test_what_the_browser_has_is_not_sent_again():
    first = get("/")
    again = get("/", if_none_match=f'"older", W/{first.headers["etag"]}')
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert get("/", if_none_match='"older"').status_code == 200


def test_head_answers_like_get_without_a_body():
    head, full = get("/", method="HEAD"), get("/")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(full.content))


@pytest.mark.parametrize("name", ["nothing.js", "landing.html", "../pages.py", "%2e%2e/pages.py", ""])
def test_only_assets_are_served_below_static(name):
    assert get(asset_path(name)).status_code == 404


def test_the_address_of_assets_changes_with_their_content(tmp_path, monkeypatch):
    before = asset_path("mark.svg")
    monkeypatch.setattr(pages, "STATIC", tmp_path / "static")
    shutil.copytree(ROOT / "web" / "static", tmp_path / "static")
    assert asset_path("mark.svg") == before
    (tmp_path / "static" / "mark.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    assert asset_path("mark.svg") != before
    assert get(before).status_code == 404


def test_the_vendored_graphiql_is_what_its_recipe_names_with_licences_and_below_3_mb():
    recipe = json.loads((ROOT / "web/graphiql/package.json").read_text())
    notices = (pages.STATIC / "graphiql/LICENSES.txt").read_text()
    for name, version in recipe["dependencies"].items():
        assert f"\n{name} {version} (" in notices
    assert sum(path.stat().st_size for path in (pages.STATIC / "graphiql").iterdir()) < 3_000_000


@pytest.mark.parametrize("folder", ["web/graphiql", "tests/browser"])
def test_locks_pin_contents_and_name_no_download_address(folder):
    packages = json.loads((ROOT / folder / "package-lock.json").read_text())["packages"]
    fetched = [entry for path, entry in packages.items() if path]
    assert fetched
    assert all(entry["integrity"].startswith("sha512-") and "resolved" not in entry for entry in fetched)
