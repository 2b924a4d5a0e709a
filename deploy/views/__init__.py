"""Targets, deployments and rollouts as they are looked at, by the JSON API and the pages alike."""
