"""A server on 127.0.0.1 that answers the calls of `huggingface_hub` which push and pull need, as huggingface.co does."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.web_server import WebServer

TOKEN = "hf_of_ada"  # may do everything
LARGE = (".safetensors", ".png")  # endings of the names of files in large file storage
MISSING = {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}


@dataclass
class Repository:
    """A repository: its commits, oldest first, and who may read it."""

    private: bool = False
    gated: bool = False
    commits: list[tuple[str, dict[str, bytes]]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def commit(self, files: dict[str, bytes], message: str = "") -> str:
        """Add a commit with these files in addition to those of the one before, and return its id."""
        whole = {**(self.commits[-1][1] if self.commits else {}), **files}
        content = repr((len(self.commits), sorted(whole.items()))).encode()
        self.commits.append((hashlib.sha1(content).hexdigest(), whole))
        self.messages.append(message)
        return self.commits[-1][0]

    def find(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """Return the commit with this id, or the last one for "main"."""
        if revision == "main":
            return self.commits[-1] if self.commits else None
        return next((commit for commit in self.commits if commit[0] == revision), None)


@dataclass
class Hub:
    """What the server has, and how it misbehaves."""

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)  # large files by SHA-256
    tampered: dict[str, bytes] = field(
        default_factory=dict
    )  # what is sent instead of a file, with the true size stated
    truncated: set[str] = field(default_factory=set)  # files of which half is sent
    status: int | None = None  # of every answer
    requests: list[str] = field(default_factory=list)

    def add(self, name: str, files: dict[str, bytes], **settings: Any) -> str:
        """Add a commit to a repository, which is created if necessary, and return its id."""
        return self.repositories.setdefault(name, Repository(**settings)).commit(files)


@contextmanager
def serving() -> Iterator[Hub]:
    """Run a server during the block."""
    hub = Hub()
    handler = type("OfHub", (Handler,), {"hub": hub})
    with WebServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        hub.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def do_HEAD(self) -> None:
        """Answer with the headers of a file."""
        self._answer(b"")

    def do_GET(self) -> None:
        """Answer with facts about a repository, or with a file."""
        self._answer(b"")

    def do_POST(self) -> None:
        """Create a repository, check a card, or make a commit."""
        self._answer(self.rfile.read(int(self.headers["Content-Length"] or 0)))

    def do_PUT(self) -> None:
        """Store a large file."""
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.hub.stored[hashlib.sha256(content).hexdigest()] = content
        self._send(200)

    def _answer(self, body: bytes) -> None:
        parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
        self.hub.requests.append(f"{self.command} {self.path}")
        if self.hub.status:
            self._send(self.hub.status)
        elif parts[:2] == ["api", "models"]:
            self._model("/".join(parts[2:4]), parts[4:], body)
        elif parts[:2] == ["api", "repos"]:
            self._create(json.loads(body))
        elif parts == ["api", "validate-yaml"]:
            self._json({"errors": [], "warnings": []})
        elif len(parts) < 3:
            self._send(404)
        elif parts[1].endswith(".git"):
            self._large_files(json.loads(body))
        elif parts[2] == "resolve":
            self._file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        else:
            self._send(404)

    def _repository(self, name: str) -> Repository | None:
        """Return a repository that the client may read. Answers otherwise."""
        found = self.hub.repositories.get(name)
        if found is None or (found.private and not self._logged_in):
            self._send(404 if self._logged_in else 401, MISSING)
            return None
        if found.gated and not self._logged_in:
            self._send(403, {"X-Error-Code": "GatedRepo"})
            return None
        return found

    @property
    def _logged_in(self) -> bool:
        return self.headers["Authorization"] == f"Bearer {TOKEN}"

    def _model(self, name: str, action: list[str], body: bytes) -> None:
        repository = self._repository(name)
        if repository is None:
            return
        if not action or action[0] == "revision":
            self._info(repository, name, action[1] if action else "main")
        elif not self._logged_in:
            self._send(403, {"X-Error-Message": "no permission to write"})
        elif action[0] == "preupload":
            files = [{"path": file["path"], "uploadMode": mode_of(file["path"])} for file in json.loads(body)["files"]]
            self._json({"files": [{**file, "shouldIgnore": False} for file in files]})
        elif action[0] == "commit":
            self._commit(repository, name, [json.loads(line) for line in body.splitlines()])

    def _info(self, repository: Repository, name: str, revision: str) -> None:
        commit = repository.find(revision)
        if commit is None and repository.commits:
            self._send(404, {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id"})
            return
        sha, files = commit or ("0" * 40, {})
        siblings = [sibling(name, content) for name, content in files.items()]
        document = {"id": name, "sha": sha, "siblings": siblings, "tags": [], "downloads": 0, "likes": 0}
        self._json({**document, "private": repository.private, "disabled": False, "gated": repository.gated})

    def _create(self, request: dict[str, Any]) -> None:
        name = f"{request['organization']}/{request['name']}"
        if not self._logged_in:
            self._send(401, {"X-Error-Message": "Invalid username or password."})
        elif name in self.hub.repositories:
            self._json({"url": f"{self.hub.url}/{name}", "error": "You already created this model repo"}, 409)
        else:
            self.hub.repositories[name] = Repository(private=request.get("visibility") == "private")
            self._json({"url": f"{self.hub.url}/{name}", "name": name})

    def _large_files(self, request: dict[str, Any]) -> None:
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.hub.url}/store/{one['oid']}"}}} for one in request["objects"]
        ]
        self._json({"transfer": "basic", "objects": objects})

    def _commit(self, repository: Repository, name: str, lines: list[dict[str, Any]]) -> None:
        values = [(line["key"], line["value"]) for line in lines]
        files = {value["path"]: base64.b64decode(value["content"]) for key, value in values if key == "file"}
        files |= {value["path"]: self.hub.stored[value["oid"]] for key, value in values if key == "lfsFile"}
        [message] = [value["summary"] for key, value in values if key == "header"]
        sha = repository.commit(files, message)
        self._json({"success": True, "commitOid": sha, "commitUrl": f"{self.hub.url}/{name}/commit/{sha}"})

    def _file(self, name: str, revision: str, path: str) -> None:
        repository = self._repository(name)
        if repository is None:
            return
        sha, files = repository.find(revision) or ("", {})
        if path not in files:
            self._send(404, {"X-Error-Code": "EntryNotFound"})
            return
        content = files[path]
        etag = hashlib.sha256(content).hexdigest()
        headers = {"X-Repo-Commit": sha, "ETag": f'"{etag}"', "X-Linked-Size": str(len(content))}
        content = self.hub.tampered.get(path, content)
        self._send(200, headers, content[: len(content) // 2] if path in self.hub.truncated else content)

    def _json(self, document: object, status: int = 200) -> None:
        self._send(status, {"Content-Type": "application/json"}, json.dumps(document).encode())

    def _send(self, status: int, headers: dict[str, str] | None = None, content: bytes = b"") -> None:
        self.send_response(status)
        for key, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def mode_of(path: str) -> str:
    """Return how a file is stored."""
    return "lfs" if path.endswith(LARGE) else "regular"


def sibling(name: str, content: bytes) -> dict[str, Any]:
    """Return what the Hub states about a file."""
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    facts = {"rfilename": name, "size": len(content), "blobId": blob}
    if mode_of(name) == "lfs":
        facts["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
    return facts
