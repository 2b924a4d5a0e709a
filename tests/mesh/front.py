"""What brings https before a hub: some fetchers of images speak nothing else."""

import os
import socket

from tests.certificates import write_certificate
from tests.engines import Server
from tests.peers import peer

_CONFIGURATION = """
daemon off;
master_process off;
{user}
pid {folder}/pid;
error_log {folder}/log warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/bodies;
    proxy_temp_path {folder}/answers;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {address}:{port} ssl;
        ssl_certificate {folder}/cert.pem;
        ssl_certificate_key {folder}/key.pem;
        location / {{
            proxy_pass http://{hub};
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
    }}
}}
"""


class Front(Server):
    """An nginx at that address that has a certificate of its own for that name, `cert.pem` in its folder."""

    def __init__(self, address: str, name: str) -> None:
        super().__init__("front")
        self.authority = self.folder / "cert.pem"
        self.url = f"https://{name}:{self.port}"
        self._address = address
        write_certificate(self.folder, name)

    def start(self, hub: str) -> "Front":
        """Starts it before a hub at `address:port`."""
        user = "user root;" if os.geteuid() == 0 else ""
        told = {"folder": self.folder, "address": self._address, "port": self.port, "hub": hub, "user": user}
        (self.folder / "nginx.conf").write_text(_CONFIGURATION.format(**told))
        self.launch([peer("nginx"), "-p", self.folder, "-c", self.folder / "nginx.conf"], self._answers)
        return self

    def _answers(self) -> bool:
        try:
            socket.create_connection((self._address, self.port), timeout=1).close()
        except OSError:
            return False
        return True
