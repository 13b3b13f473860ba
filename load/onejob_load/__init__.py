"""Contention load tests for the session lock."""
