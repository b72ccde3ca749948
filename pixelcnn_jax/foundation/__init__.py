"""Modules that all others use: errors, files, fields of configs and cards, devices, distributions."""
