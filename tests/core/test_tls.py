"""TLS: the right certificate works, and each wrong one is told as what it is, in time and without a secret."""

import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.load import Server
from mongospec_core import MongoDocument, OptionError, ServerUnavailableError, connect
from mongospec_testing import MongoServer
from mongospec_testing.uri import MongoUri
from tests.core.test_access import all_shown_by
from tests.guarded_server import SECRET

TIMEOUT = 1
"""Seconds that a connection gets."""
SLACK = 3
"""Seconds that a busy machine may add."""

# The names of the certificates that the authority signs: the names inside, the days that they are valid.
LEAVES = {
    "good": ("IP:127.0.0.1", 2),
    "elsewhere": ("DNS:db.example.com", 2),
    "expired": ("IP:127.0.0.1", -1),
}


class Letter(MongoDocument):
    text: str = ""


class TlsServer(Server):
    """A server that speaks TLS only."""

    def answers(self) -> bool:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        try:
            with (
                socket.create_connection(("127.0.0.1", self.address.port), 2) as plain,
                context.wrap_socket(plain),
            ):
                return True
        except OSError:
            return False


def openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys and certificates of two authorities, and of what the first one signed."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl on the PATH to make certificates with")
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("authority", "stranger"):
        own = ("-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem")
        extension = ("-addext", "basicConstraints=critical,CA:TRUE")
        openssl("req", "-x509", *KEY, *own, "-days", 2, "-subj", f"/CN={name}", *extension)
    signed_by = ("-CA", folder / "authority.pem", "-CAkey", folder / "authority.key")
    for name, (names, days) in LEAVES.items():
        key, request, leaf = (folder / f"{name}.{kind}" for kind in ("key", "csr", "crt"))
        openssl("req", *KEY, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        (folder / "names").write_text(f"subjectAltName={names}\n", encoding="ascii")
        made = ("-in", request, "-out", leaf, "-days", days, "-extfile", folder / "names")
        openssl("x509", "-req", *made, *signed_by, "-CAcreateserial")
        (folder / f"{name}.pem").write_bytes(leaf.read_bytes() + key.read_bytes())
    own = (folder / "stranger.pem").read_bytes() + (folder / "stranger.key").read_bytes()
    (folder / "stranger-with-key.pem").write_bytes(own)
    return folder


type Serve = Callable[..., TlsServer]


@pytest.fixture(scope="module")
def serve(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """``serve("good")``: a server with this certificate, the same one for all tests."""
    if sys.version_info >= (3, 14):
        pytest.skip("the embedded server is for Python 3.13")
    servers: dict[tuple[str, ...], TlsServer] = {}

    def serve(name: str, *flags: str) -> TlsServer:
        if (name, *flags) not in servers:
            server = TlsServer(tmp_path_factory.mktemp(name))
            own = (
                "--tls-cert-file",
                folder / f"{name}.crt",
                "--tls-key-file",
                folder / f"{name}.key",
            )
            server.flags += [*map(str, own), *flags]
            servers[name, *flags] = server
            server.start()
        return servers[name, *flags]

    yield serve
    for server in servers.values():
        server.kill()


def uri_of(server: Server, options: str, *, user: str = "") -> str:
    return f"mongodb://{user}{server.address}/app?{options}"


async def refusal(uri: str) -> str:
    """What the error says that comes in time, of which nothing shows the password."""
    began = time.monotonic()
    with pytest.raises(ServerUnavailableError) as caught:
        async with connect(uri, document_types=[Letter], timeout=TIMEOUT):
            pass
    assert time.monotonic() - began < TIMEOUT + SLACK
    assert caught.value.outcome == "not_applied"
    assert SECRET not in all_shown_by(caught.value)
    return str(caught.value)


async def test_a_server_whose_certificate_is_right_is_used(folder: Path, serve: Serve) -> None:
    uri = uri_of(serve("good"), f"tls=true&tlsCAFile={folder}/authority.pem")
    async with connect(uri, document_types=[Letter], timeout=10):
        letter = await Letter(text="sealed").insert()
        assert await Letter.get_by_id(letter._id) == letter


@pytest.mark.parametrize(
    ("certificate", "authority", "said"),
    [
        ("good", "stranger", "UnknownIssuer.*tlsCAFile must hold"),
        ("good", None, "UnknownIssuer.*tlsCAFile must hold"),
        ("expired", "authority", "(?i)expired.*renew the server's certificate"),
        ("elsewhere", "authority", "not valid for name.*db.example.com.*into the URI"),
    ],
)
async def test_a_wrong_certificate_of_the_server_is_told(
    folder: Path, serve: Serve, certificate: str, authority: str | None, said: str
) -> None:
    options = f"tls=true&tlsCAFile={folder}/{authority}.pem" if authority else "tls=true"
    uri = uri_of(serve(certificate), options, user=f"someone:{SECRET}@")
    assert re.search(said, await refusal(uri))


async def test_a_client_without_tls_is_told_of_it(serve: Serve) -> None:
    assert "tls= in the URI" in await refusal(uri_of(serve("good"), "", user=f"someone:{SECRET}@"))


async def test_a_server_without_tls_is_told_of_it(folder: Path, mongo_server: MongoServer) -> None:
    address = MongoUri.parse(mongo_server.uri).addresses[0]
    options = f"tls=true&tlsCAFile={folder}/authority.pem"
    text = await refusal(f"mongodb://someone:{SECRET}@{address}/app?{options}")
    assert "tls= in the URI" in text


@pytest.mark.parametrize("own", [None, "stranger-with-key", "expired"])
async def test_a_client_that_the_server_does_not_trust_is_told_of_it(
    folder: Path, serve: Serve, own: str | None
) -> None:
    server = serve("good", "--tls-require-client-cert", "--tls-ca-file", f"{folder}/authority.pem")
    options = f"tls=true&tlsCAFile={folder}/authority.pem"
    good = f"{options}&tlsCertificateKeyFile={folder}/good.pem"
    async with connect(uri_of(server, good), document_types=[Letter], timeout=10):
        await Letter(text="from a friend").insert()
    mine = f"&tlsCertificateKeyFile={folder}/{own}.pem" if own else ""
    text = await refusal(uri_of(server, options + mine))
    assert "a certificate that it trusts: tlsCertificateKeyFile in the URI" in text
    assert str(folder) not in text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("tlsCAFile={folder}/absent.pem", r"root certificate from .*absent\.pem"),
        ("tlsCertificateKeyFile={folder}/absent.pem", "tlsCertificateKeyFile: .*No such file"),
        ("tlsCertificateKeyFile={folder}/good.crt", r"item from .*good\.crt: no items found"),
        ("tls=false&tlsCAFile={folder}/authority.pem", "'tlsCAFile' can't be set if tls=false"),
    ],
)
async def test_a_file_that_cannot_be_used_is_told_before_anything_is_sent(
    folder: Path, options: str, said: str
) -> None:
    wanted = options if options.startswith("tls=") else f"tls=true&{options}"
    uri = f"mongodb://someone:{SECRET}@127.0.0.1:1/app?{wanted.format(folder=folder)}"
    with pytest.raises(
        OptionError, match=rf"connect\(\): the URI cannot be used: .*{said}"
    ) as caught:
        async with connect(uri, document_types=[Letter]):
            pass
    assert SECRET not in all_shown_by(caught.value)
    assert "labels" not in str(caught.value)


def test_the_command_tells_a_wrong_certificate_in_one_line(
    folder: Path, serve: Serve, tmp_path: Path
) -> None:
    (tmp_path / "models.py").write_text(
        "from mongospec import MongoDocument\n\n\nclass Letter(MongoDocument):\n    text: str\n"
    )
    options = f"tls=true&tlsCAFile={folder}/stranger.pem&serverSelectionTimeoutMS=500"
    uri = uri_of(serve("good"), options, user=f"someone:{SECRET}@")
    done = subprocess.run(
        [sys.executable, "-m", "mongospec_cli", "plan", "models", "--uri", uri],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "UnknownIssuer" in done.stderr
    assert "tlsCAFile must hold" in done.stderr
    assert SECRET not in done.stderr
