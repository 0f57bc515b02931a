"""What a merchant's data names is fetched from the open internet, and from nowhere else."""

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from time import monotonic, sleep

import pytest

from ml.content.guarded_fetch import FetchFailed, FetchRefused, GuardedFetcher, Validators
from tests.ml.content.picture_host import PUBLIC, PictureHost, answer, redirect

NOTHING = Validators()
SELF_SIGNED = [
    *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
    *("-subj", "/CN=shop.test", "-addext", "subjectAltName=DNS:shop.test"),
    *("-keyout", "shop.pem", "-out", "public.pem"),
]
INNER = (
    "127.0.0.1",
    "localhost",
    "2130706433",
    "0x7f.1",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "224.0.0.1",
    "255.255.255.255",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:169.254.169.254]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::]",
    "[fe80::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fec0::1]",
    "[ff0e::1]",
)


@pytest.mark.parametrize("place", INNER)
def test_inner_addresses_are_never_connected_to(place: str, host: PictureHost) -> None:
    with pytest.raises(FetchRefused):
        GuardedFetcher(network=host).fetch(f"http://{place}/", NOTHING)

    assert host.connected == []


@pytest.mark.parametrize(
    "url",
    [
        "ftp://shop.test/a.png",
        "file:///etc/passwd",
        "data:image/png;base64,AA",
        "http://name@shop.test/",
        "http://name:word@shop.test/",
        "http://shop.test:22/",
        "http://shop.test:443/",
        "https://shop.test:80/",
        "http://shop.test:99999/",
        "http:///a.png",
        "http://[shop/",
        "http://.shop.test/",
        "//shop.test/a.png",
        "a.png",
        "",
    ],
)
def test_other_kinds_of_addresses_are_refused(url: str, host: PictureHost) -> None:
    with pytest.raises(FetchRefused):
        host.fetcher().fetch(url, NOTHING)
    assert host.resolved == []


def test_a_host_with_one_inner_address_is_refused(host: PictureHost) -> None:
    host.addresses["shop.test"] = [[PUBLIC, "10.0.0.1"]]

    with pytest.raises(FetchRefused, match="public"):
        host.fetcher().fetch("http://shop.test/", NOTHING)
    assert host.connected == []


def test_the_address_that_was_checked_is_the_one_connected_to(host: PictureHost) -> None:
    host.addresses["shop.test"] = [[PUBLIC], ["127.0.0.1"]]
    host.pages["/"] = b"body"

    assert host.fetcher().fetch("http://shop.test/", NOTHING).body == b"body"
    assert host.resolved == ["shop.test"]
    assert host.connected == [(PUBLIC, 80)]
    assert host.asked[0].host == "shop.test"
    with pytest.raises(FetchRefused):
        host.fetcher().fetch("http://shop.test/", NOTHING)
    assert len(host.connected) == 1


@pytest.mark.parametrize(
    "location",
    ["http://169.254.169.254/latest", "http://[::1]/", "file:///etc/passwd", "//u:p@shop.test/"],
)
def test_redirects_are_checked_like_first_addresses(location: str, host: PictureHost) -> None:
    host.addresses["169.254.169.254"] = [["169.254.169.254"]]
    host.addresses["::1"] = [["::1"]]
    host.pages["/"] = redirect(location)

    with pytest.raises(FetchRefused):
        host.fetcher().fetch("http://shop.test/", NOTHING)
    assert len(host.connected) == 1


def test_a_redirect_back_to_a_name_that_now_is_inner_is_refused(host: PictureHost) -> None:
    host.addresses["shop.test"] = [[PUBLIC], ["10.0.0.1"]]
    host.pages["/"] = redirect("/again")

    with pytest.raises(FetchRefused):
        host.fetcher().fetch("http://shop.test/", NOTHING)


def test_three_redirects_are_followed_and_a_fourth_is_not(host: PictureHost) -> None:
    host.pages |= {f"/{n}": redirect(f"/{n + 1}") for n in range(4)} | {"/4": b"body"}

    assert host.fetcher().fetch("http://shop.test/1", NOTHING).body == b"body"
    with pytest.raises(FetchFailed, match="redirects"):
        host.fetcher().fetch("http://shop.test/0", NOTHING)


def test_neither_cookies_nor_credentials_travel(host: PictureHost) -> None:
    def greet(handler: BaseHTTPRequestHandler) -> None:
        answer(handler, 302, set_cookie="a=b", location="/next")

    host.pages |= {"/": greet, "/next": b"body"}
    host.fetcher().fetch("http://shop.test/", NOTHING)

    sent = {name for asked in host.asked for name in asked.headers}
    assert sent == {"host", "accept", "accept-encoding", "user-agent"}


def test_a_body_is_read_up_to_its_limit(host: PictureHost) -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        with suppress(OSError):
            while True:
                handler.wfile.write(bytes(10_000))

    host.pages |= {"/full": bytes(1000), "/more": bytes(1001), "/endless": endless}
    fetcher = host.fetcher(limit_bytes=1000)

    assert len(fetcher.fetch("http://shop.test/full", NOTHING).body) == 1000
    for path in ("/more", "/endless"):
        with pytest.raises(FetchFailed, match="1000 bytes"):
            fetcher.fetch(f"http://shop.test{path}", NOTHING)


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\na: ", b"HTTP/1.1 200 OK\r\n\r\n", b""])
def test_a_host_that_drips_is_left(start: bytes, host: PictureHost) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(start)
        with suppress(OSError):
            for _ in range(200):
                handler.wfile.write(b"a")
                sleep(0.05)

    host.pages["/"] = drip
    since = monotonic()
    with pytest.raises(FetchFailed, match="too long"):
        host.fetcher(limit_s=0.3).fetch("http://shop.test/", NOTHING)
    assert monotonic() - since < 3


def test_addresses_in_any_script_are_asked_for(host: PictureHost) -> None:
    host.pages["/%D1%88%D0%B0%D1%80%D1%84%201.png?v=%E7%B4%85&w=a%20b"] = b"body"
    url = "http://магазин.test/шарф 1.png?v=紅&w=a%20b"

    assert host.fetcher().fetch(url, NOTHING).body == b"body"
    assert host.resolved == ["xn--80aairftm.test"]


def test_what_a_server_knows_the_answer_by_is_said_back_to_it(host: PictureHost) -> None:
    def page(handler: BaseHTTPRequestHandler) -> None:
        if handler.headers["if-none-match"] == '"one"':
            answer(handler, 304)
        else:
            answer(handler, 200, b"body", etag='"one"', last_modified="Mon")

    host.pages["/"] = page
    first = host.fetcher().fetch("http://shop.test/", NOTHING)
    second = host.fetcher().fetch("http://shop.test/", first.validators)

    assert first.validators == Validators('"one"', "Mon")
    assert host.asked[1].headers["if-modified-since"] == "Mon"
    assert (second.status, second.body) == (304, b"")


def test_messages_hold_no_queries(host: PictureHost) -> None:
    host.addresses["gone.test"] = [[]]
    host.addresses["inner.test"] = [["10.0.0.1"]]
    host.pages["/?secret"] = lambda handler: handler.wfile.write(b"nonsense\r\n\r\n")

    for name in ("shop.test", "gone.test", "inner.test", "shop.test:1"):
        with pytest.raises(FetchFailed) as caught:
            host.fetcher().fetch(f"http://{name}/?secret", NOTHING)
        assert "secret" not in str(caught.value)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Of shop.test, signed by itself, with its key."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here")
    made = tmp_path / "shop.pem"
    subprocess.run(
        SELF_SIGNED,
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    made.write_text(made.read_text() + (tmp_path / "public.pem").read_text())
    return made


@pytest.fixture
def secure_host(certificate: Path) -> Iterator[PictureHost]:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    running = PictureHost(tls)
    yield running
    running.close()


def test_a_certificate_must_be_trusted_and_of_the_host(
    certificate: Path, secure_host: PictureHost
) -> None:
    secure_host.pages["/"] = b"body"
    trusting = secure_host.fetcher(tls=ssl.create_default_context(cafile=certificate))

    assert trusting.fetch("https://shop.test/", NOTHING).body == b"body"
    assert secure_host.connected == [(PUBLIC, 443)]
    with pytest.raises(FetchFailed, match="not valid for"):
        trusting.fetch("https://other.test/", NOTHING)
    with pytest.raises(FetchFailed, match="self-signed"):
        secure_host.fetcher().fetch("https://shop.test/", NOTHING)
