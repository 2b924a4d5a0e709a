"""How each client signs in, pushes a module and pulls it back: what a user types, as a table."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.clients.home import Home
from tests.clients.image import MODULE, file_in_tar, module_in_layout, tar_of, write_layout

MODULE_TYPE = "application/vnd.module.wasm.content.layer.v1+wasm"
CONFIG_TYPE = "application/vnd.module.wasm.config.v1+json"


@dataclass(frozen=True)
class Program:
    """`push` and `pull` are given a reference HOST/REPOSITORY:TAG."""

    name: str
    login: Callable[[Home, str, str], object]
    push: Callable[[Home, str, bytes], object]
    pull: Callable[[Home, str], bytes]


def module_file(home: Home, module: bytes) -> Path:
    path = home.path(MODULE)
    path.write_bytes(module)
    return path


def login_docker(home: Home, user: str, password: str) -> None:
    home.run("docker", "login", "--username", user, "--password-stdin", home.host, stdin=password)


def push_docker(home: Home, reference: str, module: bytes) -> None:
    build_context(home, module)
    home.run("docker", "build", "--tag", reference, "context")
    home.run("docker", "push", reference)
    home.run("docker", "image", "rm", "--force", reference)


def pull_docker(home: Home, reference: str) -> bytes:
    home.run("docker", "pull", reference)
    container = home.run("docker", "create", reference, "none").decode().strip()
    copied = home.run("docker", "cp", f"{container}:/{MODULE}", "-")
    home.run("docker", "rm", container)
    home.run("docker", "image", "rm", "--force", reference)
    return file_in_tar(copied, MODULE)


def build_context(home: Home, module: bytes) -> None:
    """What `docker build` and `buildah build` are given to make an image of a module."""
    context = home.path("context")
    context.mkdir(exist_ok=True)
    (context / MODULE).write_bytes(module)
    (context / "Dockerfile").write_text(f"FROM scratch\nCOPY {MODULE} ./{MODULE}\n")


def login_crane(home: Home, user: str, password: str) -> None:
    home.run("crane", "auth", "login", "--username", user, "--password-stdin", home.host, stdin=password)


def push_crane(home: Home, reference: str, module: bytes) -> None:
    home.path("layer.tar").write_bytes(tar_of({MODULE: module}))
    home.run("crane", "append", "--oci-empty-base", "--new_layer", "layer.tar", "--new_tag", reference)


def pull_crane(home: Home, reference: str) -> bytes:
    home.run("crane", "pull", "--format", "oci", reference, "pulled-by-crane")
    return module_in_layout(home.path("pulled-by-crane"))


def login_skopeo(home: Home, user: str, password: str) -> None:
    arguments = ["--tls-verify=false", "--username", user, "--password-stdin"]
    home.run("skopeo", "login", *arguments, home.host, stdin=password)


def push_skopeo(home: Home, reference: str, module: bytes) -> None:
    write_layout(home.path("layout"), module)
    home.run("skopeo", "copy", "--dest-tls-verify=false", "oci:layout:it", f"docker://{reference}")


def pull_skopeo(home: Home, reference: str) -> bytes:
    home.run("skopeo", "copy", "--src-tls-verify=false", f"docker://{reference}", "oci:pulled-by-skopeo:it")
    return module_in_layout(home.path("pulled-by-skopeo"))


def buildah(home: Home, *arguments: str) -> bytes:
    folders = ["--root", str(home.path("storage")), "--runroot", str(home.path("run")), "--storage-driver", "vfs"]
    return home.run("buildah", *folders, *arguments, BUILDAH_ISOLATION="chroot")


def login_buildah(home: Home, user: str, password: str) -> None:
    buildah(home, "login", "--tls-verify=false", "--username", user, "--password", password, home.host)


def push_buildah(home: Home, reference: str, module: bytes) -> None:
    build_context(home, module)
    buildah(home, "build", "--quiet", "--tag", reference, "context")
    buildah(home, "push", "--tls-verify=false", reference)
    buildah(home, "rmi", "--force", reference)


def pull_buildah(home: Home, reference: str) -> bytes:
    buildah(home, "pull", "--quiet", "--tls-verify=false", reference)
    buildah(home, "push", "--quiet", reference, "oci:pulled-by-buildah:it")
    return module_in_layout(home.path("pulled-by-buildah"))


def regctl(home: Home, *arguments: str | Path, stdin: str = "") -> bytes:
    if not home.path("config/regctl.json").exists():
        home.run("regctl", "registry", "set", "--tls", "disabled", "--skip-check", home.host)
    return home.run("regctl", *arguments, stdin=stdin)


def login_regctl(home: Home, user: str, password: str) -> None:
    regctl(home, "registry", "login", "--user", user, "--pass-stdin", home.host, stdin=password)


def push_regctl(home: Home, reference: str, module: bytes) -> None:
    types = ["--artifact-type", CONFIG_TYPE, "--file-media-type", MODULE_TYPE]
    regctl(home, "artifact", "put", *types, "--file", module_file(home, module), reference)


def pull_regctl(home: Home, reference: str) -> bytes:
    return regctl(home, "artifact", "get", reference)


def login_wkg(home: Home, user: str, password: str) -> None:
    """It has no verb for this: it reads the file that docker and crane write."""
    login_crane(home, user, password)


def push_wkg(home: Home, reference: str, module: bytes) -> None:
    home.run("wkg", "oci", "push", reference, module_file(home, module))


def pull_wkg(home: Home, reference: str) -> bytes:
    home.run("wkg", "oci", "pull", reference, "--output", "pulled-by-wkg.wasm")
    return home.path("pulled-by-wkg.wasm").read_bytes()


def orasgo(home: Home, *arguments: str | Path) -> bytes:
    """The program on oras-go is signed in by its environment, kept here in a file like a client's own."""
    kept = home.path("config/orasgo")
    user, password = kept.read_text().split("\n") if kept.exists() else ("", "")
    return home.run("orasgo", *arguments, ORAS_USER=user, ORAS_PASSWORD=password)


def login_orasgo(home: Home, user: str, password: str) -> None:
    home.prepare()
    home.path("config/orasgo").write_text(f"{user}\n{password}")


def push_orasgo(home: Home, reference: str, module: bytes) -> None:
    orasgo(home, "push", reference, module_file(home, module))


def pull_orasgo(home: Home, reference: str) -> bytes:
    orasgo(home, "pull", reference, "pulled-by-orasgo.wasm")
    return home.path("pulled-by-orasgo.wasm").read_bytes()


def oras_python(home: Home, *arguments: str | Path, stdin: str = "") -> bytes:
    return home.run(sys.executable, Path(__file__).with_name("oras_python.py"), *arguments, stdin=stdin)


def login_oras_python(home: Home, user: str, password: str) -> None:
    oras_python(home, "login", home.host, user, stdin=password)


def push_oras_python(home: Home, reference: str, module: bytes) -> None:
    oras_python(home, "push", reference, module_file(home, module).name)


def push_oras_python_chunked(home: Home, reference: str, module: bytes) -> None:
    oras_python(home, "chunked", reference, module_file(home, module).name)


def pull_oras_python(home: Home, reference: str) -> bytes:
    oras_python(home, "pull", reference)
    return home.path(f"pulled-by-oras/{MODULE}").read_bytes()


PROGRAMS = [
    Program("docker", login_docker, push_docker, pull_docker),
    Program("crane", login_crane, push_crane, pull_crane),
    Program("skopeo", login_skopeo, push_skopeo, pull_skopeo),
    Program("buildah", login_buildah, push_buildah, pull_buildah),
    Program("regctl", login_regctl, push_regctl, pull_regctl),
    Program("wkg", login_wkg, push_wkg, pull_wkg),
    Program("oras-go", login_orasgo, push_orasgo, pull_orasgo),
    Program("oras-py", login_oras_python, push_oras_python, pull_oras_python),
    Program("oras-py-chunked", login_oras_python, push_oras_python_chunked, pull_oras_python),
]
