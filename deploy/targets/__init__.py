"""One file a kind of target: pure functions from what is wanted to what the proxy is given."""
