"""A VM or a crash as one page of HTML, which loads nothing from elsewhere."""
