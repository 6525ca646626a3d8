"""Sign-in against a provider of OpenID Connect that this test runs itself: menu and addresses follow the role."""

import base64
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qs, urlencode, urlparse

import pytest
from conftest import ROOT, free_port, wait_until_healthy
from joserfc import jwt
from joserfc.jwk import RSAKey
from playwright.sync_api import Page, expect
from test_browser import LIMIT_MS, settle

CLIENT, SECRET = "fivefold", "secret-of-this-test"
KEY = RSAKey.generate_key(2048, {"kid": "1", "alg": "RS256", "use": "sig"})


class Provider(BaseHTTPRequestHandler):
    """Signs everybody in as one evaluator, without asking."""

    nonces: ClassVar[dict[str, str]] = {}

    def log_message(self, *_: object) -> None:
        """Nothing."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, values: object) -> None:
        body = json.dumps(values).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        asked = urlparse(self.path)
        if asked.path == "/.well-known/openid-configuration":
            names = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "jwks"}
            fixed = {"issuer": self.url, "id_token_signing_alg_values_supported": ["RS256"]}
            self.answer(fixed | {name: f"{self.url}/{path}" for name, path in names.items()})
        elif asked.path == "/jwks":
            self.answer({"keys": [KEY.as_dict(private=False)]})
        else:
            query = {name: values[0] for name, values in parse_qs(asked.query).items()}
            assert query["client_id"] == CLIENT
            self.nonces["code"] = query["nonce"]
            self.send_response(302)
            back = urlencode({"code": "code", "state": query["state"]})
            self.send_header("Location", f"{query['redirect_uri']}?{back}")
            self.end_headers()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        expected = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        assert self.headers["Authorization"] == f"Basic {expected}"
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT, "sub": "7", "iat": now, "exp": now + 600}
        claims |= {"nonce": self.nonces["code"], "email": "eve@hospital.example", "email_verified": True}
        token = jwt.encode({"alg": "RS256", "kid": "1"}, claims, KEY)
        self.answer({"access_token": "a", "token_type": "Bearer", "expires_in": 600, "id_token": token})


@pytest.fixture
def provider() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Provider) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def guarded_app(provider: str, tmp_path: Path) -> Iterator[str]:
    """The app with a sign-in, and with its own settings: `eve@hospital.example` is an evaluator."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    secrets, roles = tmp_path / "secrets.toml", tmp_path / "fivefold.toml"
    lines = {
        "redirect_uri": f"{url}/oauth2callback",
        "cookie_secret": "a long text of this test, which nobody else knows",
        "client_id": CLIENT,
        "client_secret": SECRET,
        "server_metadata_url": f"{provider}/.well-known/openid-configuration",
    }
    secrets.write_text("[auth]\n" + "".join(f'{name} = "{value}"\n' for name, value in lines.items()))
    roles.write_text('[roles]\nevaluator = ["Eve@hospital.example"]\n')
    own = {"STREAMLIT_SECRETS_FILES": str(secrets), "FIVEFOLD_SETTINGS": str(roles)}
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)]
    with (tmp_path / "server.log").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **own}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            wait_until_healthy(url, server)
            yield url
        finally:
            server.terminate()
            server.wait(timeout=20)
    assert b"Traceback (most recent call last)" not in (tmp_path / "server.log").read_bytes()


def test_who_signs_in_sees_the_pages_of_the_role(page: Page, guarded_app: str) -> None:
    page.goto(f"{guarded_app}/hip_osteoporosis?lang=en")
    expect(page.get_by_text("Please sign in")).to_be_visible(timeout=LIMIT_MS)
    expect(page.get_by_test_id("stSidebarNavLink")).to_have_count(0)
    settle(page)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("Signed in · role: Evaluator")).to_be_visible(timeout=LIMIT_MS)
    settle(page)
    menu = page.get_by_test_id("stSidebarNavLink")
    expect(menu.filter(has_text="Evaluation")).to_be_visible(timeout=LIMIT_MS)
    expect(menu.filter(has_text="Training")).to_have_count(0)
    page.goto(f"{guarded_app}/train?lang=en")
    expect(page.get_by_text("This page needs another role")).to_be_visible(timeout=LIMIT_MS)
    expect(page.get_by_text("Needed: Administrator")).to_be_visible()
    page.goto(f"{guarded_app}/reader_study?lang=en")
    expect(page.get_by_role("heading", name="Reader study")).to_be_visible(timeout=LIMIT_MS)
    settle(page)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("Please sign in")).to_be_visible(timeout=LIMIT_MS)
