"""The checks. One module per section of the document, then the session lock and what breaks it."""
