"""The reference implementation of the API in Flask."""
