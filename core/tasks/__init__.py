"""One folder a task; a task never imports another. The registry finds them by walking this package."""
