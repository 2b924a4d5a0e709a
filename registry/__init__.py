"""The OCI door: everything under /v2/, as the distribution specification 1.1 and its main branch have it."""
