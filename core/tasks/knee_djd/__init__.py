"""Grade of degenerative joint disease of both knees on a whole-body bone scan."""
