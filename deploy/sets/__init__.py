"""Deployment sets: several deployments, on targets of any kind, that change together, wave by wave."""
