"""The JSON API of deploying: one file for each thing that it shows or changes, and what their bodies may hold."""
