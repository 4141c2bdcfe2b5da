"""Published encodings over a real socket: cached, downloaded, damaged, forged, slow and missing."""

import hashlib
import threading
import time
from http.server import BaseHTTPRequestHandler

import pytest

from jitkit.errors import RefusedError, ResourceError
from jitkit.files import Files
from jitkit.tokenization.ranks import format_ranks
from jitkit_plugins.tokenizers import published
from jitkit_plugins.tokenizers.published import PUBLISHED, Published, read_published
from jitkit_plugins.tokenizers.tiktoken import TiktokenTokenizer
from tests.web_server import WebServer

DATA = format_ranks([*(bytes([byte]) for byte in range(256)), b"th", b"the"])
SHA256 = hashlib.sha256(DATA).hexdigest()


class Handler(BaseHTTPRequestHandler):
    requests = 0

    def do_GET(self) -> None:
        type(self).requests += 1
        if self.path == "/slow":
            time.sleep(3)
        self.send_response(404 if self.path == "/absent" else 200)
        self.end_headers()
        self.wfile.write(b"<html>" if self.path == "/forged" else DATA)

    def log_message(self, *args) -> None:
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    for name in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("JITKIT_CACHE", str(tmp_path / "jitkit"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(published, "CONNECT_SECONDS", 0.3)
    monkeypatch.setattr(Handler, "requests", 0)
    server = WebServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def key(url: str) -> str:
    return hashlib.sha1(url.encode()).hexdigest()


def test_an_encoding_is_downloaded_once(server, tmp_path) -> None:
    encoding = Published(f"{server}/x", SHA256, ".")
    assert [read_published(encoding, "x") for _ in range(3)] == [DATA] * 3
    assert Handler.requests == 1
    assert (tmp_path / "jitkit" / "tiktoken" / key(encoding.url)).read_bytes() == DATA
    assert not (tmp_path / "data-gym-cache").exists(), "the shared default folder is never written"


def test_the_configured_tiktoken_cache_is_read_and_filled(server, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "own"))
    encoding = Published(f"{server}/x", SHA256, ".")
    read_published(encoding, "x")
    assert (tmp_path / "own" / key(encoding.url)).read_bytes() == DATA
    read_published(encoding, "x")
    assert Handler.requests == 1


def test_a_damaged_copy_is_never_used(server, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    encoding = Published(f"{server}/x", SHA256, ".")
    copy = tmp_path / key(encoding.url)
    copy.write_bytes(DATA[:-1])
    assert read_published(encoding, "x") == DATA
    assert copy.read_bytes() == DATA, "the damaged copy is replaced"
    copy.write_bytes(DATA[:-1])


def test_a_damaged_copy_that_cannot_be_replaced_is_an_error(server, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    encoding = Published(f"{server}/absent", SHA256, ".")
    (tmp_path / key(encoding.url)).write_bytes(DATA[:-1])
    with pytest.raises(
        ResourceError, match=f"found encoding x, whose cached copy {tmp_path / key(encoding.url)} is damaged"
    ):
        read_published(encoding, "x")


def test_a_file_with_another_hash_is_refused(server) -> None:
    with pytest.raises(RefusedError, match=r"tokenizer\.encoding: found SHA-256"):
        read_published(Published(f"{server}/forged", SHA256, "."), "x")


@pytest.mark.parametrize("path", ["/slow", "/absent"])
def test_an_unresponsive_server_is_one_quick_error(server, path: str) -> None:
    started = time.monotonic()
    with pytest.raises(ResourceError, match=r"found encoding x, not cached, and no response from the network"):
        read_published(Published(server + path, SHA256, "."), "x")
    assert time.monotonic() - started < 2


def test_an_unreachable_server_is_one_quick_error(server) -> None:
    with pytest.raises(ResourceError, match=r"\$TIKTOKEN_CACHE_DIR, or a local file"):
        read_published(Published("http://127.0.0.1:1/x", SHA256, "."), "x")


def test_a_checkpoint_embeds_its_encoding(server, monkeypatch) -> None:
    monkeypatch.setitem(PUBLISHED, "cl100k_base", Published(f"{server}/x", SHA256, PUBLISHED["cl100k_base"].pattern))
    component = TiktokenTokenizer(encoding="cl100k_base")
    tokenizer = component.build(Files(None))
    monkeypatch.setattr(published, "_download", None)
    elsewhere = component.build(Files(None, embedded=tokenizer.files()))
    assert elsewhere.fingerprint == tokenizer.fingerprint
    assert elsewhere.encode("the") == [257]


def test_published_encodings_match_those_of_tiktoken(monkeypatch) -> None:
    from tiktoken_ext import openai_public

    monkeypatch.setattr(openai_public, "load_tiktoken_bpe", lambda url, expected_hash: (url, expected_hash))
    for name, ours in PUBLISHED.items():
        theirs = getattr(openai_public, name)()
        assert (ours.url, ours.sha256) == theirs["mergeable_ranks"]
        assert ours.pattern == theirs["pat_str"]
