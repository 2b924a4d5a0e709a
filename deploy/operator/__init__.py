"""The operator: the hub's own loop inside a cluster, over `FilterDeployment` objects in the place of rows."""
