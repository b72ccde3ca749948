"""Encoders, conditional models and guidance."""
