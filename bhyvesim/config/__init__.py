"""VM descriptions in YAML: read strictly, with the place of every mistake."""
