"""From a stored filter to a running proxy: targets, deployments, and the door that Envoy asks."""
