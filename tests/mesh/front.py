"""What brings https before a hub: some fetchers of images speak nothing else."""

from tests.certificates import write_certificate
from tests.nginx import Nginx

_INSIDE = """
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
"""


class Front(Nginx):
    """An nginx at that address that has a certificate of its own for that name, `cert.pem` in its folder."""

    def __init__(self, address: str, name: str) -> None:
        super().__init__("front", address)
        self.authority = self.folder / "cert.pem"
        self.url = f"https://{name}:{self.port}"
        write_certificate(self.folder, name)

    def start(self, hub: str) -> "Front":
        """Starts it before a hub at `address:port`."""
        self.serve(_INSIDE.format(folder=self.folder, address=self.address, port=self.port, hub=hub))
        return self
