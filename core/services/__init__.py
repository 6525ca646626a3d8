"""Long work that the pages start and that outlives them."""
