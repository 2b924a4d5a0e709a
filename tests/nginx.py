"""A real nginx with one server in it."""

import os
import socket

from tests.engines import Server
from tests.peers import peer

_CONFIGURATION = """
daemon off;
master_process off;
{user}
pid {folder}/pid;
error_log {folder}/log warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/bodies;
    proxy_temp_path {folder}/answers;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{inside}
}}
"""


class Nginx(Server):
    """Serves at an address of this machine, with what `serve` is given inside of `http`."""

    def __init__(self, name: str, address: str = "127.0.0.1") -> None:
        super().__init__(name)
        self.address = address

    def serve(self, inside: str) -> None:
        """Starts it."""
        user = "user root;" if os.geteuid() == 0 else ""
        (self.folder / "nginx.conf").write_text(_CONFIGURATION.format(folder=self.folder, user=user, inside=inside))
        self.launch([peer("nginx"), "-p", self.folder, "-c", self.folder / "nginx.conf"], self._answers)

    def _answers(self) -> bool:
        try:
            socket.create_connection((self.address, self.port), timeout=1).close()
        except OSError:
            return False
        return True
