"""Pictures at addresses: fetched where that is asked for, and nothing private, too large, too slow, or no picture."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from PIL import Image

import tunesmith
from tunesmith.core.errors import DataError, OptionError
from tunesmith.data import addresses
from tunesmith.data.addresses import fetch, fetched, is_public
from tunesmith.data.pictures import PictureFault
from tunesmith.data.texts import TextData


def picture() -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (40, 30), (200, 30, 30)).save(content, "PNG")
    return content.getvalue()


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        place = self.path.partition("?")[0]
        moved = {"/moved.png": "/red.png", "/round.png": "/round.png", "/inside.png": "http://10.0.0.1/red.png"}
        self.send_response(302 if place in moved else 200 if place in ("/red.png", "/page.png", "/slow.png") else 404)
        if place in moved:
            self.send_header("Location", moved[place])
        self.end_headers()
        if place == "/slow.png":
            threading.Event().wait(0.5)
        self.wfile.write(picture() if place == "/red.png" else b"<html>a page</html>")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server of this machine, which counts as public here, and no other address does that is not."""
    monkeypatch.setattr(addresses, "is_public", lambda number: number == "127.0.0.1" or is_public(number))
    found = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=found.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{found.server_port}"
    found.shutdown()
    thread.join()
    found.server_close()


@pytest.mark.parametrize("number", [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1",
    "::1", "fe80::1%eth0", "fc00::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "ff02::1",
])  # fmt: skip
def test_networks_of_ones_own_are_not_public(number: str) -> None:
    assert not is_public(number)
    assert is_public("93.184.216.34")


@pytest.mark.parametrize("address", [
    "http://127.0.0.1/a.png", "http://2130706433/a.png", "http://0x7f.1/a.png", "http://[::1]/a.png",
    "http://[::ffff:10.0.0.1]/a.png", "https://169.254.169.254/latest", "file:///etc/passwd", "gopher://example.org/a",
    "http://name:word@example.org/a.png", "http:///a.png", "ftp://example.org/a.png", "http://example.org:99999/a.png",
])  # fmt: skip
def test_what_is_no_public_address_of_the_web_is_not_asked(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses.socket, "create_connection", lambda *_, **__: pytest.fail("it was asked"))
    with pytest.raises(PictureFault, match=r"network of one's own|only http and https"):
        fetch(address)


def test_a_picture_is_fetched_and_what_is_none_is_said(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fetch(f"{server}/moved.png?size=2") == picture()
    found = fetched(["there.png", f"{server}/red.png", f"{server}/page.png", f"{server}/gone.png"])
    assert found[0] == "there.png"
    assert str(found[1]).startswith("data:image/png;base64,")
    assert [str(one) for one in found[2:]] == ["what lies there is no picture", "it can not be fetched: 404 Not Found"]
    for place, said in (("/round.png", "leads elsewhere more than 5 times"), ("/inside.png", "10.0.0.1, in a network")):
        with pytest.raises(PictureFault, match=said):
            fetch(server + place)
    monkeypatch.setattr(addresses, "MOST_BYTES", 20)
    with pytest.raises(PictureFault, match="it has more than"):
        fetch(f"{server}/red.png")
    monkeypatch.setattr(addresses, "MOST_SECONDS", 0.2)
    with pytest.raises(PictureFault, match="it took more than"):
        fetch(f"{server}/slow.png")


def test_a_model_fetches_where_it_is_asked_to(server: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for at in range(24):
        place = tmp_path / "photos" / ("warm", "cold")[at % 2]
        place.mkdir(parents=True, exist_ok=True)
        colour = (250, 9 * at, 0) if at % 2 == 0 else (0, 9 * at, 250)
        Image.new("RGB", (32, 32), colour).save(place / f"{at}.png")
    run = tunesmith.train(str(tmp_path / "photos"), model="tiny-convnet", max_steps=2, out="run")
    address = f"{server}/red.png"
    with pytest.raises(DataError, match="--allow-urls"):
        run.model.predict(address)
    assert run.model.predict(address, allow_urls=True)["label"] in ("warm", "cold")
    (tmp_path / "new.csv").write_text(f"image\n{address}\n")
    assert tunesmith.predict(run, "new.csv", allow_urls=True)["predicted"].isin(["warm", "cold"]).all()
    assert tunesmith.predict(run, "new.csv", "out.csv", allow_urls=True) == 1
    with pytest.raises(DataError, match="nothing is fetched"):
        tunesmith.predict(run, "new.csv", "out.csv")
    with pytest.raises(DataError, match="404"):
        run.model.predict([address, f"{server}/gone.png"], allow_urls=True)
    model = run.model
    model.modality = TextData()
    with pytest.raises(OptionError, match="this model reads texts, and only pictures are fetched"):
        model.fetching()
