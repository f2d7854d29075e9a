"""The door as a real browser meets it: with the printed address, and from a page of somebody else on the machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from browser import chromium
from web_client import serving

from hpcurate.web.door import Receive, Scope, Send, answer

OWN = "<title>ours</title><form method=post action=/own><button>Send</button></form>"
FOREIGN = """<title>foreign</title><a href="TARGET/linked">see</a>
<form method=post action="TARGET/form" target=inner><button>Win</button></form><iframe name=inner></iframe>"""
ATTACK = """async (target) => {
  const tried = [
    fetch(target + "/fetch", {credentials: "include"}),
    fetch(target + "/post", {method: "POST", mode: "no-cors", credentials: "include", body: "x"}),
    fetch(target + "/delete", {method: "DELETE", credentials: "include"}),
    new Promise((ok) => { const image = new Image(); image.onload = image.onerror = ok; image.src = target + "/image"; }),
    new Promise((ok) => { const frame = document.createElement("iframe"); frame.onload = ok; frame.src = target + "/frame";
      document.body.append(frame); }),
    new Promise((ok) => { const events = new EventSource(target + "/events", {withCredentials: true});
      events.onopen = events.onerror = () => { events.close(); ok(); }; }),
    new Promise((ok) => { const socket = new WebSocket(target.replace("http", "ws") + "/socket"); socket.onclose = ok; }),
  ];
  return (await Promise.allSettled(tried)).length;
}"""


@contextmanager
def foreign(target: str) -> Iterator[str]:
    """Somebody else's page, on another port of this machine: the address of it."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(FOREIGN.replace("TARGET", target).encode())

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_printed_address_lets_a_browser_in_and_nobody_through_it() -> None:
    """Forms of our own page are taken. A foreign page, to whose requests the browser adds the cookie, reaches nothing:
    it may link here, and no more.
    """
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            seen.append(f"{scope['method']} {scope['path']}")
            await answer(send, 200, OWN, [("content-type", "text/html")])

    with serving(app) as client, foreign(client.address.base) as other, chromium() as browser:
        page = browser.new_page()
        page.goto(client.address.url)
        assert (f"{client.address.base}/", "ours") == (page.url, page.title())
        assert "" == page.evaluate("document.cookie")
        page.get_by_role("button").click()
        page.wait_for_url("**/own")
        assert {"GET /", "POST /own"} <= set(seen)
        seen.clear()

        page.goto(other)
        assert 7 == page.evaluate(ATTACK, client.address.base)
        page.get_by_role("button").click()
        page.frame(name="inner").wait_for_load_state()
        page.get_by_role("link").click()
        page.wait_for_url("**/linked")
        assert ["GET /linked"] == [one for one in seen if "favicon" not in one]
