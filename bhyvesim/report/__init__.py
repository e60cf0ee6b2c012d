"""What is shown: models of the output, and their plain, table and JSON forms."""
