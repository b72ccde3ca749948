"""Shared modules: errors, files, config fields, devices."""
