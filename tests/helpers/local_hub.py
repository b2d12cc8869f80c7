"""A Hugging Face Hub of one's own, on 127.0.0.1, for as long as a test takes.

It answers the requests that the real client makes when it creates, pushes, describes, downloads and deletes
repositories of models and Spaces: branches, tags and commits, git blobs and LFS objects, private repositories, tokens,
the server's own check of README.md. What it stores it keeps in memory. `LocalHub.faults` makes chosen steps fail.

The client reads ``HF_ENDPOINT`` and its kin when it is imported, so it has to run in a process of its own: see
`LocalHub.environment`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

import uvicorn
import yaml
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

GITATTRIBUTES = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"
LFS_SUFFIXES = (".safetensors", ".bin", ".png", ".jpg", ".jpeg", ".exr")
LARGEST_REGULAR = 10 << 20
TYPES = {"models": "model", "spaces": "space", "datasets": "dataset"}
PREFIXES = {"model": "", "space": "spaces/", "dataset": "datasets/"}
SPACE_COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}


@dataclass(frozen=True)
class Blob:
    content: bytes
    lfs: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def git_oid(self) -> str:
        content = self.content
        if self.lfs:
            pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n"
            content = pointer.format(self.sha256, len(content)).encode()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.git_oid


@dataclass(frozen=True)
class Commit:
    oid: str
    title: str
    parent: str | None
    files: dict[str, Blob]


@dataclass
class Repo:
    kind: str
    name: str
    private: bool
    sdk: str | None = None
    variables: dict[str, str] = field(default_factory=dict)
    hardware: str | None = None
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def commit(self, title: str, files: dict[str, Blob], branch: str = "main") -> Commit:
        parent = self.refs.get(branch)
        seed = f"{parent}|{title}|{sorted((path, blob.git_oid) for path, blob in files.items())}"
        made = Commit(hashlib.sha1(seed.encode()).hexdigest(), title, parent, files)
        self.commits[made.oid] = made
        self.refs[branch] = made.oid
        return made

    def find(self, revision: str) -> Commit | None:
        return self.commits.get(self.refs.get(revision, revision))

    @property
    def head(self) -> Commit:
        return self.commits[self.refs["main"]]


class RefusalError(Exception):
    """An answer with a status and the headers by which the client tells errors apart."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


class LocalHub:
    """Start with ``with LocalHub() as hub``; ``hub.url`` is its address, ``hub.token`` the one that may write.

    Attributes:
        faults: steps that go wrong, as "<step> <kind> <repository>", e.g. "commit space tester/page": "create", "lfs"
            (the upload of a large file) and "commit" answer 507; "damage" sends large files with one bit flipped.
        requests: (method, path) of everything that was asked for.
    """

    user = "tester"
    token = "hf_localtesttoken"

    def __init__(self) -> None:
        self.repos: dict[tuple[str, str], Repo] = {}
        self.objects: dict[str, bytes] = {}
        self.faults: set[str] = set()
        self.requests: list[tuple[str, str]] = []
        self.url = ""

    def __enter__(self) -> LocalHub:
        listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        config = uvicorn.Config(self.application(), log_level="error", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listening]}, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop answering; the port is closed afterwards."""
        self._server.should_exit = True
        self._thread.join(timeout=10)

    def environment(self, home: Path, *, token: bool = False, offline: bool = False) -> dict[str, str]:
        """Environment for a client's process: this Hub, a home of its own, no login unless ``token``."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING_FACE_"))}
        own = {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }
        if token:
            own["HF_TOKEN"] = self.token
        if offline:
            own["HF_HUB_OFFLINE"] = "1"
        return inherited | own

    def add(self, name: str, files: dict[str, bytes], *, private: bool = False) -> Repo:
        """Put a model repository there without any client."""
        repo = Repo("model", name, private)
        repo.commit("initial commit", {path: Blob(data, path.endswith(LFS_SUFFIXES)) for path, data in files.items()})
        self.repos["model", name] = repo
        return repo

    # What the routes are made of

    def _user(self, request: Request) -> str | None:
        given = request.headers.get("authorization")
        if given is None:
            return None
        if given != f"Bearer {self.token}":
            raise RefusalError(401, "Invalid credentials in Authorization header")
        return self.user

    def _writer(self, request: Request) -> str:
        user = self._user(request)
        if user is None:
            raise RefusalError(401, "Invalid username or password.")
        return user

    def _readable(self, request: Request, kind: str, name: str) -> Repo:
        repo = self.repos.get((kind, name))
        user = self._user(request)
        if repo is None or (repo.private and user is None):
            # The Hub doesn't tell strangers whether a private repository exists.
            raise RefusalError(404 if user else 401, "Repository not found", "RepoNotFound")
        return repo

    def _writable(self, request: Request, kind: str, name: str) -> Repo:
        user = self._writer(request)
        if name.split("/")[0] != user:
            raise RefusalError(403, "You don't have the rights to write there")
        return self._readable(request, kind, name)

    @staticmethod
    def _at(repo: Repo, revision: str) -> Commit:
        commit = repo.find(unquote(revision))
        if commit is None:
            raise RefusalError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    def _fail_if_asked(self, step: str, kind: str, name: str) -> None:
        if f"{step} {kind} {name}" in self.faults:
            raise RefusalError(507, "Insufficient Storage")  # the client retries a 500 for half a minute

    def _describe(self, repo: Repo, commit: Commit) -> dict:
        card = commit.files.get("README.md")
        return {
            "_id": hashlib.sha1(repo.name.encode()).hexdigest()[:24],
            "id": repo.name,
            "modelId": repo.name,
            "author": repo.name.split("/")[0],
            "sha": commit.oid,
            "private": repo.private,
            "gated": False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "sdk": repo.sdk,
            "cardData": front_matter(card.content.decode()) if card else None,
            "siblings": [{"rfilename": path} for path in sorted(commit.files)],
            "createdAt": "2025-01-01T00:00:00.000Z",
            "lastModified": "2025-01-01T00:00:00.000Z",
        }

    def application(self) -> FastAPI:
        app = FastAPI(openapi_url=None)

        @app.middleware("http")
        async def record(request: Request, go_on):
            self.requests.append((request.method, request.url.path))
            return await go_on(request)

        @app.exception_handler(RefusalError)
        async def refuse(_: Request, refusal: RefusalError) -> JSONResponse:
            headers = {"X-Error-Message": refusal.message}
            if refusal.code:
                headers["X-Error-Code"] = refusal.code
            return JSONResponse({"error": refusal.message}, refusal.status, headers)

        @app.get("/api/whoami-v2")
        async def whoami(request: Request):
            return {"type": "user", "name": self._writer(request), "orgs": [], "auth": {"type": "access_token"}}

        @app.post("/api/validate-yaml")
        async def validate(request: Request):
            body = await request.json()
            errors = readme_errors(body["content"], body["repoType"])
            answer = {"errors": [{"message": text} for text in errors], "warnings": []}
            return JSONResponse(answer, 400 if errors else 200)

        @app.post("/api/repos/create")
        async def create(request: Request):
            user, body = self._writer(request), await request.json()
            kind = body.get("type") or "model"
            if (body.get("organization") or user) != user:
                raise RefusalError(403, "You don't have the rights to create a repository there")
            name = f"{user}/{body['name']}"
            self._fail_if_asked("create", kind, name)
            prefix = PREFIXES[kind]
            url = {"url": f"{self.url}/{prefix}{name}", "name": name}
            if (kind, name) in self.repos:
                return JSONResponse(url | {"error": "You already created this repo"}, 409)
            private = bool(body.get("private")) or body.get("visibility") == "private"
            variables = {entry["key"]: entry["value"] for entry in body.get("variables") or []}
            repo = Repo(kind, name, private, body.get("sdk"), variables, body.get("hardware"))
            repo.commit("initial commit", {".gitattributes": Blob(GITATTRIBUTES, False)})
            self.repos[kind, name] = repo
            return url

        @app.delete("/api/repos/delete")
        async def delete(request: Request):
            user, body = self._writer(request), await request.json()
            key = (body.get("type") or "model", f"{body.get('organization') or user}/{body['name']}")
            if self.repos.pop(key, None) is None:
                raise RefusalError(404, "Repository not found", "RepoNotFound")
            return {}

        @app.post("/api/{types}/{user}/{name}/preupload/{revision}")
        async def preupload(request: Request, types: str, user: str, name: str, revision: str):
            repo = self._writable(request, TYPES[types], f"{user}/{name}")
            commit = self._at(repo, revision)
            answers = []
            for wanted in (await request.json())["files"]:
                path, sample = wanted["path"], base64.b64decode(wanted["sample"])
                large = path.endswith(LFS_SUFFIXES) or wanted["size"] > LARGEST_REGULAR or b"\0" in sample
                there = commit.files.get(path)
                answers.append(
                    {
                        "path": path,
                        "uploadMode": "lfs" if large else "regular",
                        "shouldIgnore": False,
                        "oid": there.etag if there else None,
                    }
                )
            return {"files": answers, "commitOid": commit.oid}

        @app.post("/{path:path}.git/info/lfs/objects/batch")
        async def batch(request: Request, path: str):
            kind, name = kind_and_name(path)
            repo = self._writable(request, kind, name)
            answers = []
            for wanted in (await request.json())["objects"]:
                oid, size = wanted["oid"], wanted["size"]
                answer = {"oid": oid, "size": size}
                if oid not in self.objects:
                    answer["actions"] = {
                        "upload": {"href": f"{self.url}/lfs/{kind}/{repo.name}/{oid}"},
                        "verify": {"href": f"{self.url}/lfs/{oid}/verify"},
                    }
                answers.append(answer)
            return {"transfer": "basic", "objects": answers}

        @app.put("/lfs/{kind}/{user}/{name}/{oid}")
        async def upload(request: Request, kind: str, user: str, name: str, oid: str):
            self._fail_if_asked("lfs", kind, f"{user}/{name}")
            content = await request.body()
            if hashlib.sha256(content).hexdigest() != oid:
                raise RefusalError(400, "The content is not what its name says")
            self.objects[oid] = content
            return Response()

        @app.post("/lfs/{oid}/verify")
        async def verify(request: Request, oid: str):
            if len(self.objects.get(oid, b"")) != (await request.json())["size"]:
                raise RefusalError(404, "No such object")
            return {}

        @app.post("/api/{types}/{user}/{name}/commit/{revision}")
        async def commit(request: Request, types: str, user: str, name: str, revision: str):
            repo = self._writable(request, TYPES[types], f"{user}/{name}")
            lines = [json.loads(line) for line in (await request.body()).splitlines() if line.strip()]
            self._fail_if_asked("commit", repo.kind, repo.name)
            header = next(line["value"] for line in lines if line["key"] == "header")
            branch = unquote(revision)
            parent = self._at(repo, branch)
            asked_for_review = request.query_params.get("create_pr") == "1"
            if asked_for_review:
                branch = "refs/pr/1"
            if header.get("parentCommit") not in (None, parent.oid):
                raise RefusalError(412, "A commit has happened since. Please refresh and try again.")
            files = dict(parent.files)
            for line in lines:
                value = line["value"]
                if line["key"] == "file":
                    files[value["path"]] = Blob(base64.b64decode(value["content"]), False)
                elif line["key"] == "lfsFile":
                    if value["oid"] not in self.objects:
                        raise RefusalError(400, f"LFS object of {value['path']} was never uploaded")
                    files[value["path"]] = Blob(self.objects[value["oid"]], True)
                elif line["key"] == "deletedFile":
                    if files.pop(value["path"], None) is None:
                        raise RefusalError(404, "A file with this name doesn't exist", "EntryNotFound")
                elif line["key"] == "deletedFolder":
                    files = {p: b for p, b in files.items() if not p.startswith(value["path"].rstrip("/") + "/")}
            made = repo.commit(header["summary"], files, branch)
            base = f"{self.url}/{PREFIXES[repo.kind]}{repo.name}"
            answer = {"success": True, "commitOid": made.oid, "commitUrl": f"{base}/commit/{made.oid}"}
            pull = {"pullRequestUrl": f"{base}/discussions/1"} if asked_for_review else {}
            return {**answer, **pull, "hookOutput": ""}

        @app.post("/api/{types}/{user}/{name}/branch/{branch:path}")
        async def branch(request: Request, types: str, user: str, name: str, branch: str):
            repo = self._writable(request, TYPES[types], f"{user}/{name}")
            if repo.find(branch) is not None:
                raise RefusalError(409, "Reference already exists")
            repo.refs[branch] = repo.head.oid
            return {}

        @app.post("/api/{types}/{user}/{name}/tag/{revision}")
        async def tag(request: Request, types: str, user: str, name: str, revision: str):
            repo = self._writable(request, TYPES[types], f"{user}/{name}")
            repo.refs[(await request.json())["tag"]] = self._at(repo, revision).oid
            return {}

        @app.get("/api/{types}/{user}/{name}")
        async def info(request: Request, types: str, user: str, name: str):
            repo = self._readable(request, TYPES[types], f"{user}/{name}")
            return self._describe(repo, repo.head)

        @app.get("/api/{types}/{user}/{name}/auth-check/write")
        async def auth_check(request: Request, types: str, user: str, name: str):
            self._writable(request, TYPES[types], f"{user}/{name}")
            return {}

        @app.get("/api/{types}/{user}/{name}/revision/{revision}")
        async def revision_info(request: Request, types: str, user: str, name: str, revision: str):
            repo = self._readable(request, TYPES[types], f"{user}/{name}")
            return self._describe(repo, self._at(repo, revision))

        @app.get("/api/{types}/{user}/{name}/tree/{revision}")
        async def tree(request: Request, types: str, user: str, name: str, revision: str):
            commit = self._at(self._readable(request, TYPES[types], f"{user}/{name}"), revision)
            listed = []
            for path, blob in sorted(commit.files.items()):
                entry = {"type": "file", "path": path, "size": len(blob.content), "oid": blob.git_oid}
                if blob.lfs:
                    entry["lfs"] = {"oid": blob.sha256, "size": len(blob.content), "pointerSize": 134}
                listed.append(entry)
            return listed

        @app.api_route("/{path:path}/resolve/{revision}/{file:path}", methods=["HEAD", "GET"])
        async def resolve(request: Request, path: str, revision: str, file: str):
            kind, name = kind_and_name(path)
            repo = self._readable(request, kind, name)
            commit = self._at(repo, revision)
            blob = commit.files.get(unquote(file))
            if blob is None:
                answer = JSONResponse({"error": "Entry not found"}, 404)
                answer.headers.update({"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit.oid})
                return answer
            headers = {"X-Repo-Commit": commit.oid, "ETag": f'"{blob.etag}"', "Accept-Ranges": "bytes"}
            if blob.lfs:
                headers |= {"X-Linked-Etag": f'"{blob.sha256}"', "X-Linked-Size": str(len(blob.content))}
            content = blob.content
            if request.method == "HEAD":
                return Response(headers=headers | {"Content-Length": str(len(content))})
            if blob.lfs and f"damage {kind} {repo.name}" in self.faults:
                content = content[:-1] + bytes([content[-1] ^ 1])
            return Response(content, headers=headers, media_type="application/octet-stream")

        return app


def kind_and_name(path: str) -> tuple[str, str]:
    """Kind and ``user/name`` of a repository from its path."""
    kind = next((kind for kind, prefix in PREFIXES.items() if prefix and path.startswith(prefix)), "model")
    return kind, path.removeprefix(PREFIXES[kind])


def front_matter(text: str) -> dict | None:
    """The YAML between the first two lines of three dashes, or None."""
    parts = text.replace("\r\n", "\n").split("---\n", 2)
    if len(parts) < 3 or parts[0].strip():
        return None
    found = yaml.safe_load(parts[1])
    return found if isinstance(found, dict) else None


def readme_errors(text: str, kind: str) -> list[str]:
    """What the Hub would not accept in a README.md of a model or a Space."""
    try:
        matter = front_matter(text)
    except yaml.YAMLError as error:
        return [f"YAML: {error}"]
    if matter is None:
        return ['"sdk" is required'] if kind == "space" else []
    return space_errors(matter) if kind == "space" else model_errors(matter)


def space_errors(matter: dict) -> list[str]:
    errors = []
    if matter.get("sdk") not in ("gradio", "docker", "static"):
        errors.append('"sdk" must be one of gradio, docker, static')
    for key in ("colorFrom", "colorTo"):
        if key in matter and matter[key] not in SPACE_COLOURS:
            errors.append(f'"{key}" must be one of {", ".join(sorted(SPACE_COLOURS))}')
    for key in ("title", "emoji", "app_file", "sdk_version", "python_version", "suggested_hardware"):
        if key in matter and not isinstance(matter[key], str):
            errors.append(f'"{key}" must be a string')
    if not re.fullmatch(r"3\.\d+(\.\d+)?", str(matter.get("python_version", "3.10"))):
        errors.append('"python_version" must be 3.x or 3.x.x')
    for line in matter.get("preload_from_hub") or []:
        if not re.fullmatch(r"[\w.-]+/[\w.-]+( [\w./-]+(,[\w./-]+)*( [0-9a-f]{40})?)?", str(line)):
            errors.append('"preload_from_hub" must be lines of "user/name file,file commit"')
    if not str(matter.get("thumbnail", "http")).startswith("http"):
        errors.append('"thumbnail" must be an address')
    if len(matter.get("short_description") or "") > 60:
        errors.append('"short_description" length must be less than or equal to 60 characters long')
    if not all(isinstance(model, str) and "/" in model for model in matter.get("models") or []):
        errors.append('"models" must be ids of models')
    return errors


def model_errors(matter: dict) -> list[str]:
    errors = []
    for key in ("license", "library_name", "pipeline_tag"):
        if key in matter and not (isinstance(matter[key], str) and matter[key] == matter[key].lower()):
            errors.append(f'"{key}" must be a lower-case string')
    for key in ("tags", "datasets", "metrics"):
        values = matter.get(key, [])
        if not isinstance(values, list) or not all(isinstance(v, str) and " " not in v for v in values):
            errors.append(f'"{key}" must be a list of names')
    for entry in matter.get("model-index") or []:
        if not isinstance(entry.get("name"), str) or not entry.get("results"):
            errors.append('"model-index" needs a name and results')
            continue
        for result in entry["results"]:
            named = isinstance(result.get("task", {}).get("type"), str)
            data = result.get("dataset", {})
            named = named and all(isinstance(data.get(key), str) for key in ("name", "type"))
            if not named or not result.get("metrics"):
                errors.append('"model-index" results need task.type, dataset.name, dataset.type and metrics')
            for metric in result.get("metrics", []):
                if not isinstance(metric.get("type"), str) or not isinstance(metric.get("value"), int | float):
                    errors.append('"model-index" metrics need a type and a value')
    return errors
